"""/api/v1/members and /api/v1/invitations."""

import secrets
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts import roles
from controlplane.accounts.access import access_require_team
from controlplane.accounts.invitations import (
    DEFAULT_DAYS,
    LONGEST_DAYS,
    invitation_create,
    invitation_resend,
    invitation_revoke,
)
from controlplane.accounts.mails import invitation_link
from controlplane.accounts.members import member_remove, member_role_set
from controlplane.accounts.models import Invitation, User
from controlplane.accounts.selectors import invitations_open
from controlplane.api import member_shapes as shapes
from controlplane.api.base import Api
from controlplane.api.document import IDEMPOTENT, PAGED, documented, in_path
from controlplane.api.idempotency import Answer
from controlplane.api.shapes import page_of
from controlplane.core import clock
from controlplane.core.errors import NotFound, ValidationFailed
from controlplane.core.outbound.services import email_goes_out
from controlplane.tenants.rotation import runtime_key_ids
from controlplane.tenants.selectors import tenant_get

USER_ID = in_path("user_id", "the person's id", OpenApiTypes.UUID)
INVITATION_ID = in_path("invitation_id", "the invitation's id", OpenApiTypes.UUID)
_TENANTS_HELP = "slugs; absent or null: every tenant"
_ROLE_HELP = ", ".join(roles.ROLES)


class _AccessApi(Api):
    def limits(self, slugs: Iterable[str] | None) -> list[UUID] | None:
        if slugs is None:
            return None
        found, unknown = [], []
        for slug in slugs:
            try:
                found.append(tenant_get(principal=self.principal, slug=slug).id)
            except NotFound:
                unknown.append(slug)
        if unknown:
            raise ValidationFailed.of("tenants", f"there is no tenant {', '.join(unknown)}")
        return found


class MembersApi(_AccessApi):
    scopes = {"GET": roles.ADMIN}

    @documented(
        "members_list",
        "List the people of the team",
        tag="access",
        description="403 for a key limited to some tenants: the people are the whole team's.",
        parameters=PAGED,
        answers={200: page_of(shapes.MemberShape)},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        access_require_team(self.principal)
        rows, links = self.page(_people(self.principal.team_id))
        return Response({"results": [_member(row) for row in rows], **links})


class MemberApi(_AccessApi):
    scopes = {"PATCH": roles.ADMIN, "DELETE": roles.ADMIN}

    @extend_schema_serializer(component_name="MemberRequest")
    class InputSerializer(serializers.Serializer[Any]):
        role = serializers.CharField(max_length=20, help_text=_ROLE_HELP)
        tenants = serializers.ListField(
            child=serializers.CharField(max_length=40),
            required=False,
            allow_null=True,
            allow_empty=False,
            help_text=_TENANTS_HELP,
        )

    @documented(
        "members_change",
        "Change somebody's role and limits",
        tag="access",
        description="Holds from the person's next request on. Nobody gives or takes a role above their own (a key acts "
        "as an admin), and a team keeps an owner (409 `last_owner`).",
        request=InputSerializer,
        parameters=[USER_ID],
        answers={200: shapes.MemberShape},
        problems=[404, 409, 422],
    )
    def patch(self, request: Request, user_id: UUID) -> Response:
        access_require_team(self.principal)
        body = self.checked(self.InputSerializer)
        member_role_set(
            principal=self.principal,
            user_id=user_id,
            role=body["role"],
            tenant_ids=self.limits(body.get("tenants")),
            now=clock.now(),
        )
        return Response(_member(_people(self.principal.team_id).get(pk=user_id)))

    @documented(
        "members_remove",
        "Take somebody off the team",
        tag="access",
        description="Their sessions find no team at the next request; invitations they made end, and so do API keys "
        "that they made, but for those of tenants' runtimes.",
        parameters=[USER_ID],
        answers={204: None},
        problems=[404, 409],
    )
    def delete(self, request: Request, user_id: UUID) -> Response:
        member_remove(
            principal=self.principal,
            user_id=user_id,
            revoke_keys=True,
            spared=runtime_key_ids(team_id=self.principal.team_id),
            now=clock.now(),
        )
        return Response(status=204)


class InvitationsApi(_AccessApi):
    scopes = {"GET": roles.ADMIN, "POST": roles.ADMIN}

    @extend_schema_serializer(component_name="InvitationRequest")
    class InputSerializer(serializers.Serializer[Any]):
        email = serializers.CharField(max_length=254)
        role = serializers.CharField(max_length=20, help_text=_ROLE_HELP)
        tenants = serializers.ListField(
            child=serializers.CharField(max_length=40),
            required=False,
            allow_null=True,
            allow_empty=False,
            help_text=_TENANTS_HELP,
        )
        expires_in_days = serializers.IntegerField(
            min_value=1, max_value=LONGEST_DAYS, default=DEFAULT_DAYS, required=False
        )

    @documented(
        "invitations_list",
        "List open invitations",
        tag="access",
        parameters=PAGED,
        answers={200: page_of(shapes.InvitationShape)},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        access_require_team(self.principal)
        rows, links = self.page(invitations_open(team_id=self.principal.team_id, now=clock.now()))
        return Response({"results": [_invitation(row) for row in rows], **links})

    @documented(
        "invitations_create",
        "Invite somebody",
        tag="access",
        description="The link is in this answer only, and in an e-mail where a mail server is set. Whoever opens it "
        "chooses a password and is on the team; it works once. An open invitation to the same address ends.",
        request=InputSerializer,
        parameters=IDEMPOTENT,
        answers={201: shapes.InvitationCreatedShape},
        problems=[409],
        examples=[
            OpenApiExample(
                "operator", value={"email": "ada@example.com", "role": "operator"}, request_only=True
            )
        ],
    )
    def post(self, request: Request) -> Response:
        access_require_team(self.principal)
        body = self.checked(self.InputSerializer)
        limits = self.limits(body.get("tenants"))

        def work() -> Answer:
            invitation, token = invitation_create(
                principal=self.principal,
                email=body["email"],
                role=body["role"],
                tenant_ids=limits,
                days=body["expires_in_days"],
                secret=secrets.token_urlsafe(32),
                now=clock.now(),
            )
            return Answer(201, _with_link(invitation, token), {"Cache-Control": "no-store"})

        return self.once(work)


class InvitationApi(_AccessApi):
    scopes = {"DELETE": roles.ADMIN}

    @documented(
        "invitations_revoke",
        "Revoke an invitation",
        tag="access",
        parameters=[INVITATION_ID],
        answers={204: None},
        problems=[404, 409],
    )
    def delete(self, request: Request, invitation_id: UUID) -> Response:
        invitation_revoke(principal=self.principal, invitation_id=invitation_id, now=clock.now())
        return Response(status=204)


class InvitationResendApi(_AccessApi):
    scopes = {"POST": roles.ADMIN}

    @documented(
        "invitations_resend",
        "Give an invitation a fresh link",
        tag="access",
        description="The link before lets nobody in any more, and the invitation lasts as long again as it did at "
        "first, also after it expired. The link is in this answer only, and in an e-mail where a mail server is set.",
        request=None,
        parameters=[INVITATION_ID, *IDEMPOTENT],
        answers={200: shapes.InvitationCreatedShape},
        problems=[404, 409, 422],
    )
    def post(self, request: Request, invitation_id: UUID) -> Response:
        def work() -> Answer:
            invitation, token = invitation_resend(
                principal=self.principal,
                invitation_id=invitation_id,
                secret=secrets.token_urlsafe(32),
                now=clock.now(),
            )
            return Answer(200, _with_link(invitation, token), {"Cache-Control": "no-store"})

        return self.once(work)


def _people(team_id: UUID) -> QuerySet[Any]:
    """People carry what a page's cursor goes by; each with their place on this team."""
    return User.objects.filter(memberships__team_id=team_id).annotate(
        member_role=F("memberships__role"),
        member_tenant_ids=F("memberships__tenant_ids"),
        member_since=F("memberships__created_at"),
    )


def _member(person: Any) -> dict[str, Any]:
    return {
        "user_id": str(person.pk),
        "email": person.email,
        "name": person.name,
        "role": person.member_role,
        "tenant_ids": _ids(person.member_tenant_ids),
        "member_since": clock.moment_text(person.member_since),
        "last_login_at": clock.moment_text_or_none(person.last_login),
    }


def _invitation(invitation: Invitation) -> dict[str, Any]:
    return {
        "id": str(invitation.pk),
        "email": invitation.email,
        "role": invitation.role,
        "tenant_ids": _ids(invitation.tenant_ids),
        "created_by": invitation.created_by,
        "created_at": clock.moment_text(invitation.created_at),
        "expires_at": clock.moment_text(invitation.expires_at),
    }


def _with_link(invitation: Invitation, token: str) -> dict[str, Any]:
    return {**_invitation(invitation), "url": invitation_link(token), "mailed": email_goes_out()}


def _ids(ids: Iterable[UUID] | None) -> list[str] | None:
    return None if ids is None else [str(pk) for pk in ids]
