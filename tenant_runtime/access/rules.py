"""Which role may use which path: one table, read from the top, the first match counts. What is in no row is closed.

A row says who may come in. Whose rows they then see is `visibility.py`'s answer.
"""

import re
from dataclasses import dataclass
from typing import Final

from tenant_runtime.access.principals import ROLES, Role

EVERY_ROLE: Final = frozenset(ROLES)
#: Those who run agents; auditors only look at what was done.
WORKING: Final[frozenset[Role]] = frozenset({"admin", "operator", "developer", "user"})
BUILDING: Final[frozenset[Role]] = frozenset({"admin", "operator", "developer"})
AUDITING: Final[frozenset[Role]] = frozenset({"admin", "auditor"})
#: Those who look at what everybody's runs did and took; what was said in them is for others.
WATCHING: Final[frozenset[Role]] = frozenset({"admin", "operator", "auditor"})
ADMINISTERING: Final[frozenset[Role]] = frozenset({"admin"})


@dataclass(frozen=True)
class Rule:
    """`path` is a regular expression over the whole path. `roles` None: open to everybody, without a key."""

    path: re.Pattern[str]
    roles: frozenset[Role] | None
    methods: frozenset[str] | None = None

    def matches(self, method: str, path: str) -> bool:
        return (self.methods is None or method in self.methods) and self.path.fullmatch(path) is not None


def _rule(path: str, roles: frozenset[Role] | None, *methods: str) -> Rule:
    return Rule(re.compile(path), roles, frozenset(methods) or None)


RULES: Final = (
    _rule(r"/live|/ready|/ping", None, "GET", "HEAD"),
    # A trigger's message is signed: the signature is its key.
    _rule(r"/triggers/[^/]+", None, "POST"),
    _rule(r"/info", EVERY_ROLE),
    _rule(r"/metrics", EVERY_ROLE - {"user"}),
    _rule(r"/admin/audit", AUDITING, "GET"),
    _rule(r"/admin/runs(/[^/]+)?", WATCHING, "GET"),
    _rule(r"/admin(/.*)?", ADMINISTERING),
    # Long-term memory is everybody's: what is written there, everybody's agents read.
    _rule(r"/documents", BUILDING),
    _rule(r"/assistants/(search|count)", WORKING),
    _rule(r"/assistants/[^/]+/versions", WORKING),
    _rule(r"/assistants(/.*)?", WORKING, "GET", "HEAD"),
    _rule(r"/assistants(/.*)?", BUILDING),
    _rule(r"/threads(/.*)?", WORKING),
    _rule(r"/runs(/.*)?", WORKING),
    _rule(r"/invocations", WORKING, "POST"),
    _rule(r"/store/.*", WORKING),
    # The same under the Agent Protocol's names.
    _rule(r"/agents/.*", WORKING),
    _rule(r"/openapi\.json", WORKING),
    # Other protocols (doors/).
    _rule(r"/v1/.+", WORKING),
    # The card says which credentials the rest wants.
    _rule(r"(/a2a/[^/]+)?/\.well-known/agent-card\.json", None, "GET", "HEAD"),
    _rule(r"(/a2a/[^/]+)?/(message:(send|stream)|tasks(/.+)?|extendedAgentCard)", WORKING),
    _rule(r"/a2a/[^/]+", WORKING, "POST"),
    _rule(r"/mcp", WORKING),
)


def rule_of(method: str, path: str) -> Rule | None:
    """The rule that decides about a request; None where there is none, and so no way in."""
    return next((rule for rule in RULES if rule.matches(method, path)), None)
