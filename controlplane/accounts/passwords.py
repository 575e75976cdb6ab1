"""A new password for somebody who forgot theirs: a link by e-mail, good once and for a while.

The link's token is Django's: it is made of the password's hash and the last sign-in, so it ends with either.
"""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from controlplane.accounts.mails import password_mail
from controlplane.accounts.members import actor_of
from controlplane.accounts.models import Membership, User
from controlplane.accounts.services import email_parse, user_set_password
from controlplane.core.audit import audit_record


@transaction.atomic
def password_reset_ask(*, email: str, now: datetime) -> None:
    """Sends the link to somebody who is on a team. Says nothing of whether there is such a person; raises
    ValidationFailed for what is no address."""
    address = email_parse(email)
    user = User.objects.filter(email=address, is_active=True).first()
    team_id = _team_of(user) if user is not None else None
    if user is None or team_id is None:
        return
    password_mail(
        user=user,
        team_id=team_id,
        uid=urlsafe_base64_encode(force_bytes(user.pk)),
        token=default_token_generator.make_token(user),
        minutes=settings.PASSWORD_RESET_TIMEOUT // 60,
        now=now,
    )
    audit_record(
        at=now,
        actor="visitor",
        action="user.password_reset_asked",
        subject_type="user",
        subject_id=str(user.pk),
        team_id=team_id,
        data={"email": address},
    )


@transaction.atomic
def password_reset_set(*, user: User, password: str, now: datetime) -> None:
    """For whoever came by the link: the caller has checked its token, and the password."""
    user_set_password(user=user, password=password, actor=actor_of(user), now=now, team_id=_team_of(user))


def _team_of(user: User) -> UUID | None:
    held = Membership.objects.filter(user=user).order_by("created_at", "pk")
    return held.values_list("team_id", flat=True).first()
