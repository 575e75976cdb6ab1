"""/api/v1/api-keys and /api/v1/audit-events."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts import roles, services
from controlplane.accounts.access import access_require_team
from controlplane.accounts.key_rotation import LONGEST_OVERLAP, api_key_rotate
from controlplane.accounts.models import ApiKey
from controlplane.accounts.selectors import api_keys_visible
from controlplane.accounts.tokens import PREFIX
from controlplane.api import shapes
from controlplane.api.base import Api, limit_of, whole_number
from controlplane.api.document import IDEMPOTENT, LIMIT, PAGED, documented, in_path, query
from controlplane.api.idempotency import Answer
from controlplane.core import clock
from controlplane.core.audit import audit_verify
from controlplane.core.errors import NotFound, PermissionDenied, ValidationFailed
from controlplane.core.models import AuditEvent
from controlplane.tenants.rotation import runtime_key_refuse
from controlplane.tenants.selectors import tenant_get


def _key(key: ApiKey) -> dict[str, Any]:
    return {
        "id": str(key.id),
        "name": key.name,
        "prefix": f"{PREFIX}{key.prefix}",
        "scopes": key.scopes,
        "tenant_ids": None if key.tenant_ids is None else [str(pk) for pk in key.tenant_ids],
        "created_by": key.created_by,
        "created_at": clock.moment_text_or_none(key.created_at),
        "expires_at": clock.moment_text_or_none(key.expires_at),
        "revoked_at": clock.moment_text_or_none(key.revoked_at),
        "last_used_at": clock.moment_text_or_none(key.last_used_at),
    }


class ApiKeysApi(Api):
    scopes = {"GET": roles.ADMIN, "POST": roles.ADMIN}

    @extend_schema_serializer(component_name="ApiKeyRequest")
    class InputSerializer(serializers.Serializer[Any]):
        name = serializers.CharField(max_length=200)
        scopes = serializers.ListField(child=serializers.CharField(max_length=40), allow_empty=False)
        tenants = serializers.ListField(
            child=serializers.CharField(max_length=40), required=False, allow_null=True
        )
        expires_at = serializers.DateTimeField(required=False, allow_null=True)

    @documented(
        "api_keys_list",
        "List API keys",
        tag="access",
        description="A key limited to some tenants sees the keys limited to some of the same.",
        parameters=PAGED,
        answers={200: shapes.page_of(shapes.ApiKeyShape)},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        rows, links = self.page(api_keys_visible(principal=self.principal))
        return Response({"results": [_key(row) for row in rows], **links})

    @documented(
        "api_keys_create",
        "Make an API key",
        tag="access",
        description="The key is shown in this answer only; `tenants` limits it to some tenants (slugs).",
        request=InputSerializer,
        parameters=IDEMPOTENT,
        answers={201: shapes.ApiKeyCreatedShape},
        problems=[404, 409],
        examples=[
            OpenApiExample("reader", value={"name": "ci", "scopes": ["tenants:read"]}, request_only=True)
        ],
    )
    def post(self, request: Request) -> Response:
        body = self.checked(self.InputSerializer)
        slugs = body.get("tenants")
        limited = (
            None if slugs is None else [tenant_get(principal=self.principal, slug=slug).id for slug in slugs]
        )
        if self.principal.tenant_ids is not None and limited is None:
            raise PermissionDenied("A key limited to some tenants cannot make one that is not.")

        def work() -> Answer:
            key, token = services.api_key_create(
                team_id=self.principal.team_id,
                name=body["name"],
                scopes=body["scopes"],
                tenant_ids=limited,
                expires_at=body.get("expires_at"),
                actor=self.principal.actor,
                now=clock.now(),
            )
            return Answer(201, {**_key(key), "api_key": token}, {"Cache-Control": "no-store"})

        return self.once(work)


class ApiKeyApi(Api):
    scopes = {"DELETE": roles.ADMIN}

    @documented(
        "api_keys_revoke",
        "Revoke an API key",
        tag="access",
        parameters=[in_path("api_key_id", "the key's id", OpenApiTypes.UUID)],
        answers={204: None},
        problems=[404],
    )
    def delete(self, request: Request, api_key_id: UUID) -> Response:
        if not api_keys_visible(principal=self.principal).filter(pk=api_key_id).exists():
            raise NotFound("There is no such API key.")
        services.api_key_revoke(
            team_id=self.principal.team_id, api_key_id=api_key_id, actor=self.principal.actor, now=clock.now()
        )
        return Response(status=204)


class ApiKeyRotateApi(Api):
    scopes = {"POST": roles.ADMIN}

    @extend_schema_serializer(component_name="ApiKeyRotateRequest")
    class InputSerializer(serializers.Serializer[Any]):
        overlap_hours = serializers.IntegerField(
            min_value=0,
            max_value=int(LONGEST_OVERLAP.total_seconds()) // 3600,
            default=24,
            required=False,
            help_text="so long the old key stays valid; 0 ends it at once",
        )

    @documented(
        "api_keys_rotate",
        "Rotate an API key with overlap",
        tag="access",
        description="The new key has the same name, scopes and tenants, and is shown in this answer only. 409 for a "
        "key that is over or has a replacement, and for those of tenants' runtimes (`key_of_a_runtime`): rotate the "
        "tenant's credentials instead.",
        request=InputSerializer,
        parameters=[in_path("api_key_id", "the key's id", OpenApiTypes.UUID), *IDEMPOTENT],
        answers={201: shapes.ApiKeyCreatedShape},
        problems=[404, 409],
    )
    def post(self, request: Request, api_key_id: UUID) -> Response:
        if not api_keys_visible(principal=self.principal).filter(pk=api_key_id).exists():
            raise NotFound("There is no such API key.")
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            runtime_key_refuse(team_id=self.principal.team_id, api_key_id=api_key_id)
            key, token = api_key_rotate(
                team_id=self.principal.team_id,
                api_key_id=api_key_id,
                overlap=timedelta(hours=body["overlap_hours"]),
                actor=self.principal.actor,
                now=clock.now(),
            )
            return Answer(201, {**_key(key), "api_key": token}, {"Cache-Control": "no-store"})

        return self.once(work)


class AuditEventsApi(Api):
    """Newest first; `before` is a sequence number, as given in `next`."""

    scopes = {"GET": roles.ADMIN}

    @documented(
        "audit_events_list",
        "Read the audit log",
        tag="access",
        description="403 for a key limited to some tenants: the log is the whole team's.",
        parameters=[LIMIT, query("before", "a sequence number", {"type": "integer", "minimum": 0})],
        answers={200: shapes.page_of(shapes.AuditEventShape)},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        access_require_team(self.principal)
        limit = limit_of(request)
        found = AuditEvent.objects.filter(team_id=self.principal.team_id)
        if raw := request.query_params.get("before"):
            before = whole_number(raw)
            if before is None:
                raise ValidationFailed.of("before", "must be a sequence number")
            found = found.filter(sequence__lt=before)
        rows = list(found.order_by("-sequence")[: limit + 1])
        following = None
        if len(rows) > limit:
            following = request.build_absolute_uri(
                f"{request.path}?limit={limit}&before={rows[limit - 1].sequence}"
            )
        results = [
            {
                "sequence": row.sequence,
                "at": clock.moment_text(row.at),
                "actor": row.actor,
                "action": row.action,
                "subject": {"type": row.subject_type, "id": row.subject_id},
                "data": row.data,
                "hash": row.hash,
            }
            for row in rows[:limit]
        ]
        return Response({"results": results, "next": following, "previous": None})


class AuditVerifyApi(Api):
    """Walks the whole chain: {checked, broken_at}."""

    scopes = {"GET": roles.ADMIN}

    @documented(
        "audit_events_verify",
        "Verify the audit log",
        tag="access",
        answers={200: shapes.AuditVerifyShape},
    )
    def get(self, request: Request) -> Response:
        access_require_team(self.principal)
        report = audit_verify()
        return Response(
            {"checked": report.checked, "broken_at": report.broken_at, "ok": report.broken_at is None}
        )
