"""Saved views of lists: each is its maker's, and the team's as well where they share it."""

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from controlplane.accounts.access import Principal
from controlplane.accounts.locks import user_lock_by_id
from controlplane.accounts.models import SavedView
from controlplane.accounts.selectors import saved_view_removable, saved_views_visible
from controlplane.core.audit import audit_record
from controlplane.core.errors import Conflict, NotFound, PermissionDenied, ValidationFailed

#: Of one person, over all lists.
MOST: Final = 50
MOST_NAME: Final = 60
MOST_QUERY: Final = 1000


@transaction.atomic
def saved_view_create(
    *, principal: Principal, subject: str, name: str, query: str, shared: bool, now: datetime
) -> SavedView:
    """Raises ValidationFailed for a name that is empty, too long or taken, Conflict (`too_many_views`)."""
    name = name.strip()
    if not 1 <= len(name) <= MOST_NAME or not name.isprintable():
        raise ValidationFailed.of("name", f"must be 1 to {MOST_NAME} printable characters")
    if not query or len(query) > MOST_QUERY:
        raise ValidationFailed.of("query", f"must be 1 to {MOST_QUERY} characters")
    # The person's row is held, so that two requests at once cannot both take the last place or the same name.
    person = user_lock_by_id(principal.user_id) if principal.user_id else None
    if person is None:
        raise NotFound("An API key has no saved views.", hint="Sign in to the portal.")
    own = SavedView.objects.filter(team_id=principal.team_id, user=person)
    if own.filter(subject=subject, name__iexact=name).exists():
        raise ValidationFailed.of("name", "is the name of another view of yours")
    if own.count() >= MOST:
        raise Conflict(f"You saved {MOST} views.", code="too_many_views", hint="Delete one of them first.")
    view = SavedView.objects.create(
        team_id=principal.team_id,
        user=person,
        subject=subject,
        name=name,
        query=query,
        shared=shared,
        created_at=now,
    )
    _audit(view, "saved_view.created", principal, now)
    return view


@transaction.atomic
def saved_view_delete(*, principal: Principal, view_id: UUID, now: datetime) -> SavedView:
    """Raises NotFound for what the person does not see, PermissionDenied for a teammate's that is shared."""
    view = saved_views_visible(principal=principal).filter(pk=view_id).first()
    if view is None:
        raise NotFound("There is no such saved view.")
    if not saved_view_removable(view, principal=principal):
        raise PermissionDenied(
            "Somebody else shares this view.", hint="They, or an administrator of the team, may delete it."
        )
    if SavedView.objects.filter(pk=view.pk).delete()[0] != 1:
        raise Conflict("The view was deleted meanwhile.", code="already_deleted")
    _audit(view, "saved_view.deleted", principal, now)
    return view


def _audit(view: SavedView, action: str, principal: Principal, now: datetime) -> None:
    audit_record(
        at=now,
        actor=principal.actor,
        action=action,
        subject_type="saved_view",
        subject_id=str(view.id),
        team_id=principal.team_id,
        data={"list": view.subject, "name": view.name, "shared": view.shared},
    )
