"""/api/v1/tenant-previews: what a tenant's stack would be and cost, before anything of it exists."""

from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_serializer
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts import roles
from controlplane.api.base import Api
from controlplane.api.document import IDEMPOTENT, documented, in_path, location
from controlplane.api.idempotency import Answer
from controlplane.api.plan_shapes import TenantPreviewShape
from controlplane.api.tenants import EXAMPLE, TenantWanted
from controlplane.core import clock
from controlplane.tenants.drafts import draft_plan_get, draft_plan_request, draft_representation

PREVIEW_ID = in_path("preview_id", "the preview's id", OpenApiTypes.UUID)


class TenantPreviewsApi(Api):
    scopes = {"POST": roles.TENANTS_WRITE}

    @extend_schema_serializer(component_name="TenantPreviewRequest")
    class InputSerializer(TenantWanted):
        pass

    @documented(
        "tenant_previews_create",
        "Plan a tenant that does not exist",
        tag="tenants",
        description="The engine plans its stack over an empty state that is thrown away: nothing is made, reserved or "
        "kept beyond 15 minutes. Takes what a request for a tenant takes, and refuses what that refuses. Ask for the "
        "preview until it is `planned` or `failed`.",
        request=InputSerializer,
        parameters=[*IDEMPOTENT, location("the preview to ask for")],
        answers={202: TenantPreviewShape},
        problems=[409, 503],
        examples=[EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            preview_id = draft_plan_request(principal=self.principal, now=clock.now(), **body)
            made = draft_plan_get(principal=self.principal, draft_id=preview_id)
            where = {"Location": f"/api/v1/tenant-previews/{preview_id}"}
            return Answer(202, draft_representation(made, draft_id=preview_id), where)

        return self.once(work)


class TenantPreviewApi(Api):
    scopes = {"GET": roles.TENANTS_WRITE}

    @documented(
        "tenant_previews_get",
        "Read the plan of a tenant that does not exist",
        tag="tenants",
        description="404 once it is kept no longer.",
        parameters=[PREVIEW_ID],
        answers={200: TenantPreviewShape},
        problems=[404, 503],
    )
    def get(self, request: Request, preview_id: UUID) -> Response:
        found = draft_plan_get(principal=self.principal, draft_id=preview_id)
        return Response(draft_representation(found, draft_id=preview_id))
