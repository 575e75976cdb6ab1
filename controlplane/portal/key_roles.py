"""Which roles a form offers for a key of a tenant's runtime: the least first, so that it is what is had unasked."""

from typing import Final

from django.http import HttpRequest
from django.utils.translation import gettext, gettext_noop

from controlplane.accounts.access import Principal
from controlplane.tenants.runtime_tokens import runtime_roles_granted

#: What each may do there; from the least for a program that calls agents to the most.
ABOUT: Final = {
    "user": gettext_noop("runs agents, on threads of its own"),
    "developer": gettext_noop("also assistants, crons and documents"),
    "operator": gettext_noop("also everybody's threads and runs"),
    "auditor": gettext_noop("looks at the log and the runs, runs nothing"),
    "admin": gettext_noop("everything, keys and limits too"),
}
LEAST: Final = "user"


def key_roles(principal: Principal) -> list[tuple[str, str]]:
    granted = runtime_roles_granted(principal)
    return [(role, gettext(about)) for role, about in ABOUT.items() if role in granted]


def key_role_of(request: HttpRequest) -> str:
    return request.POST.get("role", "")[:40] or LEAST


def key_command(slug: str) -> str:
    return f"freehold tenants credentials {slug} --role {LEAST}"
