"""Invitations to a team: made, shown once as a link, accepted once, revoked.

Their tokens are those of controlplane/core/link_tokens.py.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction

from controlplane.accounts import locks, roles
from controlplane.accounts.access import Principal, access_require, access_require_team
from controlplane.accounts.mails import invitation_mail
from controlplane.accounts.members import actor_of, grant_require, limits_parse
from controlplane.accounts.models import Invitation, Membership, User
from controlplane.accounts.services import email_parse, password_check, user_create, user_set_password
from controlplane.core.audit import audit_record
from controlplane.core.clock import moment_text
from controlplane.core.errors import Conflict, NotFound, ValidationFailed
from controlplane.core.link_tokens import LinkTokens, token_fits, token_hash

LONGEST_DAYS: Final = 30
DEFAULT_DAYS: Final = 7
_TOKENS: Final = LinkTokens("freehold.invitation")
#: Of a team, neither accepted nor revoked nor expired.
MOST_OPEN: Final = 200


@transaction.atomic
def invitation_create(
    *,
    principal: Principal,
    email: str,
    role: str,
    secret: str,
    now: datetime,
    tenant_ids: Iterable[UUID] | None = None,
    days: int = DEFAULT_DAYS,
) -> tuple[Invitation, str]:
    """The invitation and its token, which is nowhere else; an open one to the same address ends. `secret` is random,
    256 bits as text without a dot.

    Raises ValidationFailed, PermissionDenied for a role above the principal's own, Conflict (`already_member`,
    `too_many_invitations`).
    """
    access_require(principal, roles.ADMIN)
    access_require_team(principal)
    locks.team_lock(principal.team_id)
    address, limits = email_parse(email), limits_parse(role, tenant_ids)
    grant_require(principal, role)
    if not 1 <= days <= LONGEST_DAYS:
        raise ValidationFailed.of("days", f"must be 1 to {LONGEST_DAYS}")
    if Membership.objects.filter(team_id=principal.team_id, user__email=address).exists():
        raise Conflict(f"{address} is on the team already.", code="already_member")
    unused = Invitation.objects.filter(
        team_id=principal.team_id, accepted_at__isnull=True, revoked_at__isnull=True
    )
    if unused.filter(expires_at__gt=now).exclude(email=address).count() >= MOST_OPEN:
        raise Conflict(f"{MOST_OPEN} invitations are open.", code="too_many_invitations", hint="Revoke some.")
    unused.filter(email=address).update(revoked_at=now)
    invitation = Invitation(
        team_id=principal.team_id,
        email=address,
        role=role,
        tenant_ids=limits,
        created_by=principal.actor,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    token = _TOKENS.make(invitation.pk, secret)
    invitation.token_hash = token_hash(token)
    invitation.save(force_insert=True)
    told = {"expires_at": moment_text(invitation.expires_at), "tenant_ids": limits}
    _audit(invitation, "created", principal.actor, now, told)
    invitation_mail(invitation=invitation, token=token, now=now)
    return invitation, token


@transaction.atomic
def invitation_resend(
    *, principal: Principal, invitation_id: UUID, secret: str, now: datetime
) -> tuple[Invitation, str]:
    """The open invitation with a fresh link and as much time as it had at first; the link before lets nobody in any
    more. Raises NotFound for another team's, PermissionDenied as for a new one, Conflict for one that has ended."""
    access_require(principal, roles.ADMIN)
    access_require_team(principal)
    invitation = Invitation.objects.filter(pk=invitation_id, team_id=principal.team_id).first()
    if invitation is None:
        raise NotFound("There is no such invitation.")
    grant_require(principal, invitation.role)
    token = _TOKENS.make(invitation.pk, secret)
    fresh = {
        "token_hash": token_hash(token),
        "expires_at": now + (invitation.expires_at - invitation.created_at),
        "created_at": now,
        "created_by": principal.actor,
    }
    unused = Invitation.objects.filter(pk=invitation_id, accepted_at__isnull=True, revoked_at__isnull=True)
    if unused.update(**fresh) != 1:
        raise Conflict("The invitation was accepted or revoked before.", code="invitation_ended")
    invitation.refresh_from_db()
    _audit(invitation, "sent_again", principal.actor, now, {"expires_at": moment_text(invitation.expires_at)})
    invitation_mail(invitation=invitation, token=token, now=now)
    return invitation, token


@transaction.atomic
def invitation_revoke(*, principal: Principal, invitation_id: UUID, now: datetime) -> None:
    """Ends it at once. Raises NotFound for another team's, Conflict for one that was accepted or revoked."""
    access_require(principal, roles.ADMIN)
    access_require_team(principal)
    invitation = Invitation.objects.filter(pk=invitation_id, team_id=principal.team_id).first()
    if invitation is None:
        raise NotFound("There is no such invitation.")
    unused = Invitation.objects.filter(pk=invitation_id, accepted_at__isnull=True, revoked_at__isnull=True)
    if unused.update(revoked_at=now) != 1:
        raise Conflict("The invitation was accepted or revoked before.", code="invitation_ended")
    _audit(invitation, "revoked", principal.actor, now, {})


def invitation_follow(*, token: str, now: datetime) -> Invitation:
    """The open invitation of a token. Raises NotFound, with the same words, for any other."""
    invitation = Invitation.objects.filter(pk=_id_of(token)).select_related("team").first()
    return _open_or_refuse(invitation, token, now)


@transaction.atomic
def invitation_accept(*, token: str, name: str, password: str, now: datetime) -> User:
    """Makes the person, or lets one without a team in again with this password, and puts them on the team.

    Raises NotFound for a token that lets nobody in, ValidationFailed for a weak password, Conflict
    (`already_in_a_team`): a link must not set the password of an account that somebody works with.
    """
    invitation = _open_or_refuse(locks.invitation_lock(_id_of(token)), token, now)
    actor = f"user:{invitation.email}"
    name = " ".join(name.split())[:200]
    user = locks.user_lock(invitation.email)
    if user is None:
        user = user_create(
            email=invitation.email,
            password=password,
            name=name,
            actor=actor,
            now=now,
            team_id=invitation.team_id,
        )
    else:
        if not user.is_active or Membership.objects.filter(user=user).exists():
            raise Conflict(
                "This address has an account that works elsewhere.",
                code="already_in_a_team",
                hint="Ask for an invitation to another address.",
            )
        password_check(password, user)
        user_set_password(user=user, password=password, actor=actor, now=now)
        User.objects.filter(pk=user.pk).update(name=name or user.name)
    Membership.objects.create(
        team_id=invitation.team_id,
        user=user,
        role=invitation.role,
        tenant_ids=invitation.tenant_ids,
        created_at=now,
    )
    Invitation.objects.filter(pk=invitation.pk).update(accepted_at=now)
    _audit(invitation, "accepted", actor_of(user), now, {"invited_by": invitation.created_by})
    return user


def _id_of(token: str) -> UUID:
    found = _TOKENS.id_of(token)
    if found is None:
        raise _no_invitation()
    return found


def _open_or_refuse(invitation: Invitation | None, token: str, now: datetime) -> Invitation:
    if (
        invitation is None
        or not token_fits(token, invitation.token_hash)
        or invitation.accepted_at is not None
        or invitation.revoked_at is not None
        or invitation.expires_at <= now
    ):
        raise _no_invitation()
    return invitation


def _no_invitation() -> NotFound:
    return NotFound(
        "This invitation is not valid, has expired, or was used or revoked.",
        hint="Ask whoever sent it to you for a new one.",
    )


def _audit(invitation: Invitation, what: str, actor: str, now: datetime, data: dict[str, Any]) -> None:
    audit_record(
        at=now,
        actor=actor,
        action=f"invitation.{what}",
        subject_type="invitation",
        subject_id=str(invitation.pk),
        team_id=invitation.team_id,
        data={"email": invitation.email, "role": invitation.role, **data},
    )
