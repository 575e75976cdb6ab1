"""The audit log of the team: searched, unfolded, exported, verified. For those with the scope admin."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from asgiref.sync import sync_to_async
from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict, StreamingHttpResponse
from django.urls import reverse
from django.utils.translation import gettext

from billing.reports.sheet import cell_safe
from controlplane.accounts import roles
from controlplane.accounts.access import Principal, access_require_team
from controlplane.core.audit import audit_verify
from controlplane.core.audit_search import AuditFilter, audit_chunks, audit_search
from controlplane.core.clock import moment_text
from controlplane.core.errors import ValidationFailed
from controlplane.core.models import AuditEvent
from controlplane.core.redaction import own_redactor
from controlplane.portal.figures import quantity_text
from controlplane.portal.listing import page_of
from controlplane.portal.pages import page, show
from controlplane.tenants.audited import audit_about
from controlplane.tenants.selectors import tenants_visible

#: Rows of one export; the last line of a longer one says so.
EXPORT_ROWS = 50_000
COLUMNS = ("sequence", "at", "actor", "action", "subject_type", "subject_id", "data", "hash")
#: Kinds of subjects that have a page of their own, by id.
PAGES = {
    "operation": "portal:operation",
    "invoice": "portal:invoice",
    "bulk_request": "portal:tenants-bulk-outcome",
}
FILTERS = ("actor", "action", "about", "from", "to")


@page(roles.ADMIN)
def audit(request: HttpRequest, principal: Principal) -> HttpResponse:
    access_require_team(principal)
    filters = {name: request.GET.get(name, "").strip()[:200] for name in FILTERS}
    found = page_of(_found(principal, filters), request.GET)
    query = QueryDict(mutable=True)
    query.update({name: value for name, value in filters.items() if value})
    context = {
        "found": found,
        "rows": _rows(principal, found.object_list),
        "filters": filters,
        "filtered": any(filters.values()),
        "export": f"{reverse('portal:audit-export')}?{query.urlencode()}".rstrip("?"),
        "export_rows": EXPORT_ROWS,
    }
    return show(
        request, principal, "portal/audit.html", context, section="audit", crumbs=((gettext("Audit"), ""),)
    )


@page(roles.ADMIN)
def audit_export(request: HttpRequest, principal: Principal) -> HttpResponse:
    """The filtered list as CSV, written while it is read."""
    access_require_team(principal)
    filters = {name: request.GET.get(name, "").strip()[:200] for name in FILTERS}
    # A stream is no HttpResponse to type checkers, and is one to everything that handles it.
    answer: Any = StreamingHttpResponse(
        _stream(_found(principal, filters)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="audit.csv"', "X-Accel-Buffering": "no"},
    )
    return answer  # type: ignore[no-any-return]


@page(roles.ADMIN, methods=("POST",))
def audit_check(request: HttpRequest, principal: Principal) -> HttpResponse:
    """Walks the chain; it takes as long as the log is, so nobody has it done by looking at the page."""
    access_require_team(principal)
    report = audit_verify()
    if report.broken_at is None:
        messages.success(
            request,
            gettext("The chain is intact: all %(checked)s events of this installation fit.")
            % {"checked": quantity_text(report.checked)},
        )
    else:
        messages.error(
            request,
            gettext(
                "The chain is broken at event %(broken_at)s: it, or one before it, was changed or removed. "
                "The %(checked)s events before it fit."
            )
            % {"broken_at": report.broken_at, "checked": quantity_text(report.checked)},
        )
    return HttpResponseRedirect(reverse("portal:audit"))


def _found(principal: Principal, filters: Mapping[str, str]) -> QuerySet[AuditEvent]:
    until = _day(filters["to"], "to")
    wanted = AuditFilter(
        actor=filters["actor"],
        action=filters["action"],
        since=_day(filters["from"], "from"),
        until=until + timedelta(days=1) if until else None,
    )
    about = audit_about(team_id=principal.team_id, text=filters["about"]) if filters["about"] else None
    return audit_search(team_id=principal.team_id, wanted=wanted, about=about)


def _day(raw: str, field: str) -> datetime | None:
    if not raw:
        return None
    try:
        return datetime.strptime(raw, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise ValidationFailed.of(field, gettext("must be a day as YYYY-MM-DD")) from error


def _rows(principal: Principal, events: Any) -> list[dict[str, Any]]:
    listed: list[AuditEvent] = list(events)
    tenants = {pk for event in listed if event.subject_type == "tenant" and (pk := _uuid(event.subject_id))}
    slugs: dict[UUID, str] = {}
    if tenants:
        visible = tenants_visible(principal=principal).filter(pk__in=tenants)
        slugs = dict(visible.values_list("pk", "slug"))
    return [_row(event, slugs) for event in listed]


def _row(event: AuditEvent, slugs: Mapping[UUID, str]) -> dict[str, Any]:
    key = _uuid(event.subject_id)
    slug = slugs.get(key, "") if key and event.subject_type == "tenant" else ""
    link = reverse("portal:tenant", args=[slug]) if slug else ""
    if key and event.subject_type in PAGES:
        link = reverse(PAGES[event.subject_type], args=[key])
    shown = own_redactor().value(event.data)
    return {
        "event": event,
        "subject": slug or event.subject_id,
        "link": link,
        "data": [(name, _told(value)) for name, value in shown.items()],
        "hides": shown != event.data,
    }


def _told(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


async def _stream(found: QuerySet[AuditEvent]) -> AsyncIterator[str]:
    yield _line(COLUMNS)
    chunks, count = audit_chunks(found, at_most=EXPORT_ROWS), 0
    while rows := await sync_to_async(_next)(chunks):
        count += len(rows)
        yield "".join(_line(_cells(event)) for event in rows)
    if count >= EXPORT_ROWS:
        yield _line((f"The export ends after {EXPORT_ROWS} events: narrow the filter for what is older.",))


def _next(chunks: Iterator[list[AuditEvent]]) -> list[AuditEvent]:
    return next(chunks, [])


def _cells(event: AuditEvent) -> tuple[str, ...]:
    data = json.dumps(own_redactor().value(event.data), ensure_ascii=False, sort_keys=True)
    return (
        str(event.sequence),
        moment_text(event.at),
        event.actor,
        event.action,
        event.subject_type,
        event.subject_id,
        data,
        event.hash,
    )


def _line(cells: tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([cell_safe(cell) for cell in cells])
    return out.getvalue()
