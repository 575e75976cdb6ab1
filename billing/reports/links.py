"""Links to a tenant's own pages for people without a login: made, shown once, followed, revoked.

Their tokens are those of controlplane/core/link_tokens.py.
"""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from billing.reports.models import ALL, INVOICES, LINK_SCOPES, USAGE, ReportLink
from controlplane.core.audit import audit_record
from controlplane.core.clock import moment_text, moment_text_or_none
from controlplane.core.errors import Conflict, NotFound, ValidationFailed
from controlplane.core.link_tokens import LinkTokens, token_fits, token_hash

LONGEST_DAYS: Final = 366
DEFAULT_DAYS: Final = 30
#: Links of one tenant that are neither revoked nor expired.
MOST_LINKS: Final = 50
#: Pages of a tenant for its own people, in the order of their navigation.
PAGES: Final = ("usage", "invoices", "health", "agents")
#: scope -> the pages that it opens.
SHOWS: Final = {USAGE: PAGES[:1], INVOICES: PAGES[:2], ALL: PAGES}
_TOKENS: Final = LinkTokens("freehold.report-link")
_USED_STEP: Final = timedelta(minutes=1)


@transaction.atomic
def report_link_create(
    *,
    team_id: UUID,
    tenant_id: UUID,
    label: str,
    days: int,
    secret: str,
    actor: str,
    now: datetime,
    scope: str = USAGE,
) -> tuple[ReportLink, str]:
    """The link and its token, which is nowhere else. `secret` is random, 256 bits as text without a dot; the link
    ends after `days`."""
    if scope not in LINK_SCOPES:
        raise ValidationFailed.of("scope", f"must be one of {', '.join(LINK_SCOPES)}")
    if not 1 <= days <= LONGEST_DAYS:
        raise ValidationFailed.of("expires_in_days", f"must be 1 to {LONGEST_DAYS}")
    living = ReportLink.objects.filter(tenant_id=tenant_id, revoked_at__isnull=True, expires_at__gt=now)
    if living.count() >= MOST_LINKS:
        raise Conflict(f"There are {MOST_LINKS} links already.", code="too_many_links", hint="Revoke one.")
    link = ReportLink(
        team_id=team_id,
        tenant_id=tenant_id,
        label=" ".join(label.split())[:100],
        scope=scope,
        created_by=actor,
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    token = _TOKENS.make(link.pk, secret)
    link.token_hash = token_hash(token)
    link.save(force_insert=True)
    _audit(link, actor, "created", now, {"expires_at": moment_text(link.expires_at)})
    return link, token


def report_link_follow(*, token: str, now: datetime) -> ReportLink:
    """The living link of a token. Raises NotFound, with the same words, for any other."""
    link_id = _TOKENS.id_of(token)
    if link_id is None:
        raise _no_link()
    link = ReportLink.objects.filter(pk=link_id, revoked_at__isnull=True, expires_at__gt=now).first()
    if link is None or not token_fits(token, link.token_hash):
        raise _no_link()
    # At most once a minute, so that a page that is read often does not cost a write each time.
    ReportLink.objects.filter(
        Q(last_used_at__isnull=True) | Q(last_used_at__lt=now - _USED_STEP), pk=link.pk
    ).update(last_used_at=now)
    return link


@transaction.atomic
def report_link_revoke(*, link: ReportLink, actor: str, now: datetime) -> None:
    """Ends it at once; one that has ended stays as it is."""
    if ReportLink.objects.filter(pk=link.pk, revoked_at__isnull=True).update(revoked_at=now) == 1:
        _audit(link, actor, "revoked", now, {})


def report_links_of(*, tenant_id: UUID) -> QuerySet[ReportLink]:
    return ReportLink.objects.filter(tenant_id=tenant_id)


def report_link_representation(link: ReportLink, *, now: datetime) -> dict[str, Any]:
    ended = "revoked" if link.revoked_at else "expired" if link.expires_at <= now else "active"
    return {
        "id": str(link.pk),
        "label": link.label,
        "scope": link.scope,
        "state": ended,
        "created_by": link.created_by,
        "created_at": moment_text(link.created_at),
        "expires_at": moment_text(link.expires_at),
        "revoked_at": moment_text_or_none(link.revoked_at),
        "last_used_at": moment_text_or_none(link.last_used_at),
    }


def _no_link() -> NotFound:
    return NotFound(
        "This link is not valid, has expired, or was revoked.",
        hint="Ask whoever sent it to you for a new one.",
    )


def _audit(link: ReportLink, actor: str, what: str, now: datetime, data: dict[str, Any]) -> None:
    audit_record(
        at=now,
        actor=actor,
        action=f"billing.report_link.{what}",
        subject_type="report_link",
        subject_id=str(link.pk),
        team_id=link.team_id,
        data={"tenant_id": str(link.tenant_id), "label": link.label, "scope": link.scope, **data},
    )
