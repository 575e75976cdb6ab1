"""Imports what a manifest's target names: `module:attribute`, or `./file.py:attribute` relative to the manifest."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_FILES: Final = "freehold_agent_"
#: Never imported afresh, wherever a manifest lies: the process is made of them.
_NEVER: Final = ("__main__", "contracts", "tenant_runtime")
_EXAMPLES: Final = "tenant_runtime.agents.examples."


def _module(target: str, folder: Path) -> ModuleType:
    place = target.rpartition(":")[0]
    if not place.endswith(".py"):
        return importlib.import_module(place)
    path = (folder / place).resolve()
    if not path.is_file():
        raise ImportError(f"no file {place}")
    name = _FILES + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{place} is not Python")
    module = importlib.util.module_from_spec(spec)
    # Registered before it runs, so that its own type hints resolve; taken out again when it fails.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def target_load(target: str, folder: Path) -> Any:
    """The object a target names. Raises whatever its import raises."""
    attribute = target.rpartition(":")[2]
    module = _module(target, folder)
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise ImportError(f"{target}: the module has no {attribute!r}") from None


def foreign(part: str) -> bool:
    """Whether a part of a path says that what lies below is hidden, or installed and not edited."""
    return part.startswith(".") or part in ("__pycache__", "node_modules", "site-packages", "dist-packages")


def _edited(root: Path) -> dict[str, ModuleType]:
    """Loaded modules whose source lies below `root`. The runtime's own are none of them, its examples are."""
    found: dict[str, ModuleType] = {}
    for name, module in list(sys.modules.items()):
        source = getattr(module, "__file__", None)
        ours = name.partition(".")[0] in _NEVER and not name.startswith(_EXAMPLES)
        if not source or ours:
            continue
        path = Path(source).resolve()
        if path.is_relative_to(root) and not any(foreign(part) for part in path.relative_to(root).parts):
            found[name] = module
    return found


@contextmanager
def imported_anew(folder: Path) -> Iterator[None]:
    """Inside, modules whose source lies below `folder` are imported afresh. If the block fails they are as before.

    Code that runs keeps the modules it has: only new imports find the new ones.
    """
    root = folder.resolve()
    before = _edited(root)
    for name in before:
        del sys.modules[name]
    importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        for name in _edited(root):
            del sys.modules[name]
        sys.modules.update(before)
        raise
