"""/api/v1/tenants/{slug}/snapshots, and the verbs `snapshot` and `restore`."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts import roles
from controlplane.api import snapshot_shapes as shapes
from controlplane.api.base import Api, choice_of
from controlplane.api.document import IDEMPOTENT, LOCATION, PAGED, SLUG, SNAPSHOT_ID, documented, query
from controlplane.api.idempotency import Answer
from controlplane.api.shapes import OperationAnswerShape, page_of
from controlplane.api.tenants import operation_answer
from controlplane.core import clock
from controlplane.tenants.selectors import tenant_get
from controlplane.tenants.snapshots import states
from controlplane.tenants.snapshots.requests import tenant_restore, tenant_snapshot
from controlplane.tenants.snapshots.selectors import (
    snapshot_get,
    snapshot_representation,
    snapshots_of_slug,
)
from controlplane.tenants.snapshots.services import snapshot_delete


class TenantSnapshotsApi(Api):
    """A tenant's snapshots, newest first."""

    scopes = {"GET": roles.TENANTS_READ}

    @documented(
        "tenants_snapshots",
        "List a tenant's snapshots",
        tag="snapshots",
        description="Of every tenant that has or had this slug, so that a deleted one's final snapshot is found.",
        parameters=[
            SLUG,
            query("state", "in this state", enum=states.STATES),
            query("kind", "of this kind", enum=states.KINDS),
            *PAGED,
        ],
        answers={200: page_of(shapes.SnapshotShape)},
        problems=[404, 422],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant_get(principal=self.principal, slug=slug)
        found = snapshots_of_slug(principal=self.principal, slug=slug)
        for name, choices in (("state", states.STATES), ("kind", states.KINDS)):
            if (wanted := choice_of(request, name, choices)) is not None:
                found = found.filter(**{name: wanted})
        rows, links = self.page(found)
        return Response({"results": [snapshot_representation(row) for row in rows], **links})


class TenantSnapshotApi(Api):
    """One snapshot."""

    scopes = {"GET": roles.TENANTS_READ, "DELETE": roles.TENANTS_WRITE}

    @documented(
        "tenants_snapshot_get",
        "Read a snapshot",
        tag="snapshots",
        parameters=[SLUG, SNAPSHOT_ID],
        answers={200: shapes.SnapshotShape},
        problems=[404],
    )
    def get(self, request: Request, slug: str, snapshot_id: UUID) -> Response:
        found = snapshot_get(principal=self.principal, snapshot_id=snapshot_id, slug=slug)
        return Response(snapshot_representation(found))

    @documented(
        "tenants_snapshot_delete",
        "Delete a snapshot",
        tag="snapshots",
        description="Its key is forgotten and its files are removed. 409 `snapshot_in_use` while it is taken or "
        "about to be restored.",
        parameters=[SLUG, SNAPSHOT_ID],
        answers={200: shapes.SnapshotShape},
        problems=[404, 409],
    )
    def delete(self, request: Request, slug: str, snapshot_id: UUID) -> Response:
        found = snapshot_get(principal=self.principal, snapshot_id=snapshot_id, slug=slug)
        gone = snapshot_delete(principal=self.principal, snapshot=found, now=clock.now())
        return Response(snapshot_representation(gone))


class TenantSnapshotTakeApi(Api):
    scopes = {"POST": roles.OPERATIONS_WRITE}

    @extend_schema_serializer(component_name="TenantSnapshotRequest")
    class InputSerializer(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True)
        requires_approval = serializers.BooleanField(
            required=False, help_text="accepted, without effect: a snapshot changes nothing"
        )

    @documented(
        "tenants_snapshot_take",
        "Take a snapshot of a tenant's data",
        tag="snapshots",
        description="The tenant goes on running. 409 `not_supported_on_target` for a tenant in a cloud.",
        request=InputSerializer,
        parameters=[SLUG, *IDEMPOTENT, LOCATION],
        answers={202: OperationAnswerShape},
        problems=[404, 409],
    )
    def post(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            return operation_answer(
                tenant_snapshot(principal=self.principal, tenant=tenant, now=clock.now(), **body)
            )

        return self.once(work)


class TenantRestoreApi(Api):
    scopes = {"POST": roles.OPERATIONS_WRITE}

    @extend_schema_serializer(component_name="TenantRestoreRequest")
    class InputSerializer(serializers.Serializer[Any]):
        snapshot_id = serializers.UUIDField(
            required=False, help_text="of any tenant you see; by default this tenant's newest complete one"
        )
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True)
        requires_approval = serializers.BooleanField(required=False)

    @documented(
        "tenants_restore",
        "Restore a snapshot into a tenant",
        tag="snapshots",
        description="Replaces the tenant's data; what it holds now is gone. Unless the tenant's plan says `never`, "
        "somebody must approve it. The runtime stands still for seconds. 409 `not_supported_on_target` for a tenant in "
        "a cloud.",
        request=InputSerializer,
        parameters=[SLUG, *IDEMPOTENT, LOCATION],
        answers={202: OperationAnswerShape},
        problems=[404, 409],
    )
    def post(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            return operation_answer(
                tenant_restore(principal=self.principal, tenant=tenant, now=clock.now(), **body)
            )

        return self.once(work)
