"""E-mails to people: an invitation's link, and one to a new password. Their texts are sealed until they are sent."""

from datetime import datetime
from uuid import UUID

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from controlplane.accounts.models import Invitation, User
from controlplane.core.link_tokens import token_hash
from controlplane.core.outbound.services import email_goes_out, email_queue


def invitation_link(token: str) -> str:
    return f"{settings.FREEHOLD_PUBLIC_URL}/join/{token}/"


def password_link(uid: str, token: str) -> str:
    return f"{settings.FREEHOLD_PUBLIC_URL}/account/password/{uid}/{token}/"


def invitation_mail(*, invitation: Invitation, token: str, now: datetime) -> bool:
    """Queues the link, in the transaction of the change; False where no mail server is set."""
    if not email_goes_out():
        return False
    team = invitation.team.name
    email_queue(
        team_id=invitation.team_id,
        # The same invitation may be sent again, with another token.
        key=f"invitation:{invitation.pk}:{token_hash(token)[:16]}",
        recipients=[invitation.email],
        subject=_("Invitation to %(team)s") % {"team": team},
        text=_(
            "You are invited to %(team)s, as %(role)s.\n\n"
            "Choose a password here. The link works once, until %(until)s UTC:\n\n"
            "%(link)s\n\n"
            "If you expected no invitation, ignore this e-mail: without the link nothing happens.\n"
        )
        % {
            "team": team,
            "role": pgettext("word", invitation.role),
            "until": f"{invitation.expires_at:%Y-%m-%d %H:%M}",
            "link": invitation_link(token),
        },
        at=now,
        secret=True,
    )
    return True


def password_mail(*, user: User, team_id: UUID, uid: str, token: str, minutes: int, now: datetime) -> None:
    email_queue(
        team_id=team_id,
        key=f"password:{user.pk}:{token_hash(token)[:16]}",
        recipients=[user.email],
        subject=_("A new password for Freehold"),
        text=_(
            "Somebody asked for a new password for %(email)s. If it was you, choose one here within %(minutes)d "
            "minutes:\n\n%(link)s\n\n"
            "If it was not, ignore this e-mail: your password stays as it is.\n"
        )
        % {"email": user.email, "minutes": minutes, "link": password_link(uid, token)},
        at=now,
        secret=True,
    )
