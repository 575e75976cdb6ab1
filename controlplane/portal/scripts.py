"""What the portal's scripts say. In other languages than English a page brings the words along."""

import json
from typing import Final

from django.utils.translation import get_language, gettext, gettext_noop, pgettext

from controlplane.portal.figures import numeral

#: As the scripts have them (static/portal/js); values are `%(name)s`.
SCRIPT_WORDS: Final = (
    gettext_noop("just now"),
    gettext_noop("in a moment"),
    gettext_noop("in %(time)s"),
    gettext_noop("%(time)s ago"),
    gettext_noop("not live"),
    gettext_noop("live"),
    gettext_noop("reconnecting"),
    gettext_noop("polling every 2 s"),
    gettext_noop("Attempt %(number)s: another worker goes on with the run."),
    gettext_noop("Step %(name)s"),
    gettext_noop("Failed: %(code)s"),
    gettext_noop("Waiting for a worker"),
    gettext_noop("The connection was lost; it is tried again."),
    gettext_noop("You"),
    gettext_noop("What you wrote is back. It was not sent."),
)
#: States of a step, beside its name.
SCRIPT_STATES: Final = ("failed", "asks")


def script_words() -> str:
    """As JSON; empty where the scripts' own English is right."""
    if (get_language() or "en").startswith("en"):
        return ""
    said = {text: gettext(text) for text in SCRIPT_WORDS}
    said |= {state: pgettext("word", state) for state in SCRIPT_STATES}
    said["day"], said["days"] = pgettext("time", "day"), pgettext("time", "days")
    return json.dumps({**said, ".": numeral(".")}, ensure_ascii=False)
