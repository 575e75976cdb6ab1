"""Puts the portal's pages and assets into the wheel, where Django looks for an app's own.

In a checkout they lie in `templates/` and `static/`, which settings name; an editable installation needs no copy.
"""

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelAssets(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"] |= {
                "templates": "controlplane/portal/templates",
                "static": "controlplane/portal/static",
            }
