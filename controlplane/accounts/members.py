"""Who is on a team and as what. Nobody gives or takes a role above their own, and a team keeps an owner."""

from collections.abc import Collection, Iterable
from datetime import datetime
from uuid import UUID

from django.db import transaction

from controlplane.accounts import locks, roles
from controlplane.accounts.access import Principal, access_require, access_require_team
from controlplane.accounts.models import Invitation, Membership, User
from controlplane.accounts.selectors import keys_made_by, role_of, roles_grantable
from controlplane.accounts.services import api_key_revoke
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, NotFound, PermissionDenied, ValidationFailed


@transaction.atomic
def member_role_set(
    *,
    principal: Principal,
    user_id: UUID,
    role: str,
    now: datetime,
    tenant_ids: Iterable[UUID] | None = None,
) -> Membership:
    """The role, and the tenants it is for: None is all of them. It holds from the person's next request on.

    Raises NotFound for somebody who is not on the team, PermissionDenied for a role above the principal's own,
    Conflict (`last_owner`), ValidationFailed.
    """
    member = _member_locked(principal, user_id)
    limits = limits_parse(role, tenant_ids)
    grant_require(principal, member.role, role)
    if role != roles.OWNER:
        _owner_keep(member)
    before = {"role": member.role, "tenant_ids": _texts(member.tenant_ids)}
    after = {"role": role, "tenant_ids": _texts(limits)}
    if before == after:
        return member
    moved = Membership.objects.filter(pk=member.pk, role=member.role).update(role=role, tenant_ids=limits)
    if moved != 1:
        raise Conflict("The membership changed meanwhile.", hint="Look at it again.")
    if not roles_grantable(role):
        _invitations_end(principal.team_id, member.user, now)
    _audit(principal, "changed", member.user, now, {"before": before, "after": after})
    member.role, member.tenant_ids = role, limits
    return member


@transaction.atomic
def member_remove(
    *,
    principal: Principal,
    user_id: UUID,
    now: datetime,
    revoke_keys: bool,
    spared: Collection[UUID] = (),
) -> int:
    """Takes somebody off the team, with the invitations they gave. How many of their keys were revoked: with
    `revoke_keys` all that they made, but for `spared`, which the product itself needs.

    Their sessions find no team at the next request. Raises as member_role_set does.
    """
    member = _member_locked(principal, user_id)
    grant_require(principal, member.role)
    _owner_keep(member)
    if Membership.objects.filter(pk=member.pk, role=member.role).delete()[0] != 1:
        raise Conflict("The membership changed meanwhile.", hint="Look at it again.")
    _invitations_end(principal.team_id, member.user, now)
    made = (
        keys_made_by(team_id=principal.team_id, actor=actor_of(member.user), now=now) if revoke_keys else []
    )
    gone = [key for key in made if key.pk not in spared]
    for key in gone:
        api_key_revoke(team_id=principal.team_id, api_key_id=key.pk, actor=principal.actor, now=now)
    _audit(principal, "removed", member.user, now, {"role": member.role, "keys_revoked": len(gone)})
    return len(gone)


def grant_require(principal: Principal, *wanted: str) -> None:
    """Raises PermissionDenied unless the principal may give and take all these roles. Read now: whoever lost theirs
    since the request began may not."""
    own = role_of(principal)
    if not set(wanted) <= roles_grantable(own):
        raise PermissionDenied(
            f"Only an owner decides about owners; you act as {own or 'nobody'}.",
            hint="Ask an owner of your team.",
        )


def limits_parse(role: str, tenant_ids: Iterable[UUID] | None) -> list[UUID] | None:
    if role not in roles.ROLES:
        raise ValidationFailed.of("role", f"must be one of {', '.join(roles.ROLES)}")
    limits = None if tenant_ids is None else sorted(set(tenant_ids))
    if role == roles.CUSTOMER and (limits is None or len(limits) != 1):
        raise ValidationFailed.of("tenants", "must name the one tenant whose customer this is")
    if limits is None:
        return None
    if not limits:
        raise ValidationFailed.of("tenants", "must name at least one tenant, or be left out for all of them")
    if role == roles.OWNER:
        raise ValidationFailed.of("tenants", "an owner cannot be limited to some tenants")
    return limits


def actor_of(user: User) -> str:
    return f"user:{user.email}"


def _member_locked(principal: Principal, user_id: UUID) -> Membership:
    access_require(principal, roles.ADMIN)
    access_require_team(principal)
    locks.team_lock(principal.team_id)
    member = (
        Membership.objects.filter(team_id=principal.team_id, user_id=user_id).select_related("user").first()
    )
    if member is None:
        raise NotFound("Nobody of your team is that.")
    return member


def _owner_keep(member: Membership) -> None:
    """Raises Conflict if nobody else could decide about owners afterwards. The team is locked."""
    if member.role != roles.OWNER:
        return
    others = Membership.objects.filter(team_id=member.team_id, role=roles.OWNER, user__is_active=True)
    if not others.exclude(pk=member.pk).exists():
        raise Conflict(
            f"{member.user.email} is the team's last owner.",
            code="last_owner",
            hint="Make somebody else an owner first.",
        )


def _invitations_end(team_id: UUID, user: User, now: datetime) -> None:
    """What somebody promised who may promise nothing any more."""
    Invitation.objects.filter(
        team_id=team_id, created_by=actor_of(user), accepted_at__isnull=True, revoked_at__isnull=True
    ).update(revoked_at=now)


def _texts(ids: Iterable[UUID] | None) -> list[str] | None:
    return None if ids is None else [str(pk) for pk in ids]


def _audit(principal: Principal, what: str, user: User, now: datetime, data: dict[str, object]) -> None:
    audit_record(
        at=now,
        actor=principal.actor,
        action=f"membership.{what}",
        subject_type="user",
        subject_id=str(user.pk),
        team_id=principal.team_id,
        data={"email": user.email, **data},
    )
