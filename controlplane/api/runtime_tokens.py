"""/api/v1/tenants/{slug}/tokens."""

from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts import roles
from controlplane.api import shapes
from controlplane.api.base import Api
from controlplane.api.document import SLUG, documented
from controlplane.core import clock
from controlplane.tenants import selectors
from controlplane.tenants.runtime_tokens import RUNTIME_ROLES, runtime_token_issue


class TenantTokensApi(Api):
    scopes = {"POST": roles.TENANTS_READ}

    @extend_schema_serializer(component_name="RuntimeTokenRequest")
    class InputSerializer(serializers.Serializer[Any]):
        role = serializers.ChoiceField(choices=RUNTIME_ROLES, required=False)
        user = serializers.CharField(max_length=200, required=False)

    @documented(
        "tenants_token",
        "Sign a token for a tenant's runtime",
        tag="tenants",
        description="A JWT of 15 minutes for who asks, in the role that fits theirs: an owner is admin, an operator is "
        "operator, others are auditor. `role` asks for less, and `user` for a token of somebody else as user or "
        "developer. It cannot be revoked.",
        request=InputSerializer,
        parameters=[SLUG],
        answers={200: shapes.RuntimeTokenShape},
        problems=[404, 409],
    )
    def post(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)
        issued = runtime_token_issue(
            principal=self.principal,
            tenant=tenant,
            role=body.get("role"),
            user=body.get("user"),
            now=clock.now(),
        )
        return Response(issued, headers={"Cache-Control": "no-store"})
