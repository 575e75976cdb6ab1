"""Roles and scopes, and what each role may do. Pure data; contract.md section 3 fixes the names."""

from typing import Final

TENANTS_READ: Final = "tenants:read"
TENANTS_WRITE: Final = "tenants:write"
OPERATIONS_READ: Final = "operations:read"
OPERATIONS_WRITE: Final = "operations:write"
OPERATIONS_APPROVE: Final = "operations:approve"
BILLING_READ: Final = "billing:read"
BILLING_WRITE: Final = "billing:write"
USAGE_WRITE: Final = "usage:write"
FLEET_WRITE: Final = "fleet:write"
ADMIN: Final = "admin"

SCOPES: Final = frozenset(
    {
        TENANTS_READ,
        TENANTS_WRITE,
        OPERATIONS_READ,
        OPERATIONS_WRITE,
        OPERATIONS_APPROVE,
        BILLING_READ,
        BILLING_WRITE,
        USAGE_WRITE,
        FLEET_WRITE,
        ADMIN,
    }
)

OWNER: Final = "owner"
ADMINISTRATOR: Final = "admin"
OPERATOR: Final = "operator"
FINANCE: Final = "finance"
VIEWER: Final = "viewer"
#: One of a tenant's own people: nobody of the team, so it has no scope and is no principal (selectors.py).
CUSTOMER: Final = "customer"

_READS = frozenset({TENANTS_READ, OPERATIONS_READ, BILLING_READ})

ROLE_SCOPES: Final[dict[str, frozenset[str]]] = {
    OWNER: SCOPES,
    ADMINISTRATOR: SCOPES,
    OPERATOR: _READS | {TENANTS_WRITE, OPERATIONS_WRITE, OPERATIONS_APPROVE, FLEET_WRITE},
    FINANCE: _READS | {BILLING_WRITE},
    VIEWER: _READS,
    CUSTOMER: frozenset(),
}
ROLES: Final = tuple(ROLE_SCOPES)

#: Which roles each may give to people and take from them: nobody raises anybody above themselves. An API key with the
#: scope admin does as an administrator does.
GRANTS: Final[dict[str, frozenset[str]]] = {
    OWNER: frozenset(ROLES),
    ADMINISTRATOR: frozenset(ROLES) - {OWNER},
}
