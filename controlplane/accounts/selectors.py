"""Reads of people, teams and keys."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet
from django.db.models.functions import Lower

from controlplane.accounts.access import Principal, access_allows
from controlplane.accounts.models import ApiKey, Invitation, Membership, SavedView, User
from controlplane.accounts.roles import ADMIN, ADMINISTRATOR, CUSTOMER, GRANTS, ROLE_SCOPES
from controlplane.accounts.tokens import token_hash, token_prefix

#: Keys may make keys; further than this nobody looks.
_KEY_CHAIN = 20
_LAST_USED_STEP = timedelta(seconds=60)


def principal_of_token(*, token: str, now: datetime) -> Principal | None:
    """The principal behind an API key's token; None when it is malformed, unknown, expired or revoked."""
    prefix = token_prefix(token)
    if prefix is None:
        return None
    key = ApiKey.objects.filter(prefix=prefix, revoked_at__isnull=True).first()
    if key is None or not hmac.compare_digest(key.token_hash, token_hash(token)):
        return None
    if key.expires_at is not None and key.expires_at <= now:
        return None
    # Recorded at most once a minute, so that a busy key does not cost a write per request.
    ApiKey.objects.filter(
        Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - _LAST_USED_STEP), pk=key.pk
    ).update(last_used_at=now)
    return Principal(
        actor=f"key:{key.prefix}",
        team_id=key.team_id,
        scopes=frozenset(key.scopes),
        tenant_ids=None if key.tenant_ids is None else frozenset(key.tenant_ids),
        api_key_id=key.id,
    )


def actor_person(*, actor: str) -> str:
    """Who stands behind an actor: of a key the person, or the system, that made it, also through other keys."""
    for _ in range(_KEY_CHAIN):
        if not actor.startswith("key:"):
            return actor
        maker = ApiKey.objects.filter(prefix=actor.removeprefix("key:")).values_list("created_by", flat=True)
        found = maker.first()
        if found is None:
            return actor
        actor = found
    return actor


@dataclass(frozen=True)
class Customer:
    """A signed-in person of one tenant. Deliberately no Principal: nothing that asks for one ever opens to them."""

    email: str
    team_id: UUID
    tenant_id: UUID


def customer_of_user(*, user: User) -> Customer | None:
    """Whose customer a signed-in person is; None for everybody else."""
    membership = _membership_of(user)
    if membership is None or membership.role != CUSTOMER:
        return None
    match membership.tenant_ids:
        case [tenant_id]:
            return Customer(email=user.email, team_id=membership.team_id, tenant_id=tenant_id)
    return None


def principal_of_user(*, user: User) -> Principal | None:
    """The principal of a signed-in person in the first team they joined; None without a team, and for a customer."""
    membership = _membership_of(user)
    if membership is None or membership.role == CUSTOMER:
        return None
    return Principal(
        actor=f"user:{user.email}",
        team_id=membership.team_id,
        scopes=ROLE_SCOPES[membership.role],
        tenant_ids=None if membership.tenant_ids is None else frozenset(membership.tenant_ids),
        user_id=user.id,
        role=membership.role,
    )


def _membership_of(user: User) -> Membership | None:
    if not user.is_active:
        return None
    return Membership.objects.filter(user=user).order_by("created_at", "pk").first()


def people_emails(*, team_id: UUID, user_ids: Iterable[UUID]) -> dict[UUID, str]:
    """E-mail addresses of those among the users who belong to the team."""
    rows = Membership.objects.filter(team_id=team_id, user_id__in=list(user_ids))
    return dict(rows.values_list("user_id", "user__email"))


def role_of(principal: Principal) -> str:
    """As it is now, not as it was when the request began; an API key with the scope admin acts as an admin."""
    if principal.user_id is None:
        return ADMINISTRATOR if ADMIN in principal.scopes else ""
    held = Membership.objects.filter(team_id=principal.team_id, user_id=principal.user_id)
    return held.values_list("role", flat=True).first() or ""


def roles_grantable(role: str) -> frozenset[str]:
    return GRANTS.get(role, frozenset())


def members_of(*, team_id: UUID) -> QuerySet[Membership]:
    """With the people at hand, by address."""
    return Membership.objects.filter(team_id=team_id).select_related("user").order_by("user__email")


def customers_of(*, team_id: UUID, tenant_id: UUID) -> QuerySet[Membership]:
    """The tenant's own people who may sign in, by address."""
    return members_of(team_id=team_id).filter(role=CUSTOMER, tenant_ids=[tenant_id])


def invitations_open(*, team_id: UUID, now: datetime) -> QuerySet[Invitation]:
    found = Invitation.objects.filter(team_id=team_id, accepted_at__isnull=True, revoked_at__isnull=True)
    return found.filter(expires_at__gt=now).order_by("-created_at", "-pk")


def keys_made_by(*, team_id: UUID, actor: str, now: datetime) -> list[ApiKey]:
    """Valid keys that this person made, also through other keys."""
    keys = list(ApiKey.objects.filter(team_id=team_id))
    makers = {f"key:{key.prefix}": key.created_by for key in keys}

    def person(maker: str) -> str:
        for _ in range(_KEY_CHAIN):
            if maker not in makers:
                return maker
            maker = makers[maker]
        return maker

    return [
        key
        for key in keys
        if person(key.created_by) == actor
        and key.revoked_at is None
        and (key.expires_at is None or key.expires_at > now)
    ]


def api_keys_visible(*, principal: Principal) -> QuerySet[ApiKey]:
    """The team's keys; for a principal limited to some tenants those limited to some of the same."""
    keys = api_keys_of_team(team_id=principal.team_id)
    if principal.tenant_ids is None:
        return keys
    return keys.filter(tenant_ids__contained_by=list(principal.tenant_ids))


def api_keys_of_team(*, team_id: UUID) -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(team_id=team_id).order_by("-created_at")


def saved_views_visible(*, principal: Principal) -> QuerySet[SavedView]:
    """The person's own and those that teammates share, by name."""
    mine = Q(user_id=principal.user_id)
    found = SavedView.objects.filter(mine | Q(shared=True), team_id=principal.team_id)
    return found.select_related("user").order_by(Lower("name"), "pk")


def saved_view_removable(view: SavedView, *, principal: Principal) -> bool:
    """By its maker; a shared one also by those who decide about the team."""
    return view.user_id == principal.user_id or (view.shared and access_allows(principal, ADMIN))
