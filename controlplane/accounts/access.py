"""Who is asking, and whether they may. Deny by default: a principal has the scopes it has and no others."""

from dataclasses import dataclass, field
from uuid import UUID

from controlplane.accounts import roles
from controlplane.core.errors import NotFound, PermissionDenied


@dataclass(frozen=True)
class Principal:
    """The person or key behind a request. `tenant_ids` None means every tenant of the team; a key has no `role`.

    Django and DRF ask a request's user for `is_authenticated`; a Principal stands in for it.
    """

    actor: str
    team_id: UUID
    scopes: frozenset[str]
    tenant_ids: frozenset[UUID] | None = None
    user_id: UUID | None = None
    api_key_id: UUID | None = None
    role: str = ""
    is_authenticated: bool = field(default=True, init=False)

    @property
    def pk(self) -> str:
        return self.actor


def access_allows(principal: Principal, scope: str) -> bool:
    return scope in principal.scopes or roles.ADMIN in principal.scopes


def access_require(principal: Principal, scope: str) -> None:
    """Raises PermissionDenied, naming the scope that is missing."""
    if not access_allows(principal, scope):
        raise PermissionDenied(
            f"This needs the scope {scope}.",
            hint="Ask an owner of your team for a role or an API key that has it.",
            extra={"required_scope": scope},
        )


def access_require_team(principal: Principal) -> None:
    """Raises PermissionDenied for a principal limited to some tenants: what is asked for is the whole team's."""
    if principal.tenant_ids is not None:
        raise PermissionDenied(
            "A key limited to some tenants cannot do this: it concerns the whole team.",
            hint="Use a key without that limit.",
        )


def access_sees_tenant(principal: Principal, *, team_id: UUID, tenant_id: UUID) -> bool:
    if team_id != principal.team_id:
        return False
    return principal.tenant_ids is None or tenant_id in principal.tenant_ids


def access_require_tenant(principal: Principal, *, team_id: UUID, tenant_id: UUID) -> None:
    """A stranger gets the answer of a tenant that does not exist."""
    if not access_sees_tenant(principal, team_id=team_id, tenant_id=tenant_id):
        raise NotFound(
            "There is no such tenant.", hint="Check the slug; GET /api/v1/tenants lists those you can see."
        )
