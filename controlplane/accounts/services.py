"""Changes to people, teams and keys."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from controlplane.accounts import roles
from controlplane.accounts.models import ApiKey, Membership, Team, User
from controlplane.accounts.tokens import token_hash, token_make
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, NotFound, ValidationFailed

#: Records keep who acted as `user:` and the address, in 200 characters.
MAX_EMAIL = 190


@transaction.atomic
def team_create(*, name: str, actor: str, now: datetime) -> Team:
    team = Team.objects.create(name=name, created_at=now)
    audit_record(
        at=now,
        actor=actor,
        action="team.created",
        subject_type="team",
        subject_id=str(team.id),
        team_id=team.id,
    )
    return team


def email_parse(email: str) -> str:
    """The address as it is kept. Raises ValidationFailed."""
    address = email.strip().lower()
    try:
        validate_email(address)
    except ValidationError as error:
        raise ValidationFailed.of("email", "is not an e-mail address") from error
    if len(address) > MAX_EMAIL:
        raise ValidationFailed.of("email", f"must be at most {MAX_EMAIL} characters")
    return address


@transaction.atomic
def user_create(
    *, email: str, password: str, name: str, actor: str, now: datetime, team_id: UUID | None = None
) -> User:
    """Creates a person. Raises ValidationFailed for a bad address, a weak password or a taken address. `team_id` is
    in whose audit log it is."""
    address = email_parse(email)
    if User.objects.filter(email=address).exists():
        raise ValidationFailed.of("email", "is taken")
    user = User(email=address, name=name, created_at=now)
    password_check(password, user)
    user.set_password(password)
    user.save(force_insert=True)
    audit_record(
        at=now,
        actor=actor,
        action="user.created",
        subject_type="user",
        subject_id=str(user.id),
        team_id=team_id,
        data={"email": address},
    )
    return user


def password_check(password: str, user: User) -> None:
    """Raises ValidationFailed naming what the configured validators object to."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise ValidationFailed.of("password", " ".join(error.messages)) from error


@transaction.atomic
def user_set_password(
    *, user: User, password: str, actor: str, now: datetime, team_id: UUID | None = None
) -> None:
    """Ends every session of theirs: each carries a hash of the password it was begun with."""
    user.set_password(password)
    user.save(update_fields=["password"])
    audit_record(
        at=now,
        actor=actor,
        action="user.password_set",
        subject_type="user",
        subject_id=str(user.id),
        team_id=team_id,
    )


@transaction.atomic
def membership_set(*, team: Team, user: User, role: str, actor: str, now: datetime) -> Membership:
    if role not in roles.ROLES:
        raise ValidationFailed.of("role", f"must be one of {', '.join(roles.ROLES)}")
    membership, _ = Membership.objects.update_or_create(
        team=team, user=user, defaults={"role": role}, create_defaults={"role": role, "created_at": now}
    )
    audit_record(
        at=now,
        actor=actor,
        action="membership.set",
        subject_type="user",
        subject_id=str(user.id),
        team_id=team.id,
        data={"role": role},
    )
    return membership


@transaction.atomic
def api_key_create(
    *,
    team_id: UUID,
    name: str,
    scopes: Iterable[str],
    actor: str,
    now: datetime,
    tenant_ids: Iterable[UUID] | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Creates a key and returns it with its token, which is never to be had again."""
    wanted = sorted(set(scopes))
    unknown = [scope for scope in wanted if scope not in roles.SCOPES]
    if unknown or not wanted:
        raise ValidationFailed.of("scopes", f"must be some of {', '.join(sorted(roles.SCOPES))}")
    if expires_at is not None and expires_at <= now:
        raise ValidationFailed.of("expires_at", "is in the past")
    prefix, token = token_make()
    key = ApiKey.objects.create(
        team_id=team_id,
        name=name,
        prefix=prefix,
        token_hash=token_hash(token),
        scopes=wanted,
        tenant_ids=None if tenant_ids is None else list(tenant_ids),
        created_by=actor,
        created_at=now,
        expires_at=expires_at,
    )
    audit_record(
        at=now,
        actor=actor,
        action="api_key.created",
        subject_type="api_key",
        subject_id=str(key.id),
        team_id=team_id,
        data={"name": name, "prefix": prefix, "scopes": wanted},
    )
    return key, token


@transaction.atomic
def api_key_revoke(*, team_id: UUID, api_key_id: UUID, actor: str, now: datetime) -> None:
    """Revokes at once. Raises NotFound for another team's key, Conflict when it was revoked before."""
    if not ApiKey.objects.filter(pk=api_key_id, team_id=team_id).exists():
        raise NotFound("There is no such API key.")
    if ApiKey.objects.filter(pk=api_key_id, revoked_at__isnull=True).update(revoked_at=now) != 1:
        raise Conflict("The API key was revoked before.", code="already_revoked")
    audit_record(
        at=now,
        actor=actor,
        action="api_key.revoked",
        subject_type="api_key",
        subject_id=str(api_key_id),
        team_id=team_id,
    )
