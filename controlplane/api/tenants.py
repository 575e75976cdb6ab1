"""/api/v1/tenants: one class per operation path; rules live in tenants.services and selectors."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts import roles
from controlplane.api.base import Api
from controlplane.api.idempotency import Answer
from controlplane.core import clock
from controlplane.core.errors import PreconditionFailed
from controlplane.operations.models import Operation
from controlplane.operations.selectors import operation_representation, operations_visible, stack_of
from controlplane.tenants import selectors, services
from controlplane.tenants.models import Tenant


class LabelsField(serializers.DictField):
    child = serializers.CharField(max_length=200, allow_blank=True)


def operation_answer(operation: Operation, *, tenant: Tenant | None = None) -> Answer:
    """202 with the operation and its Location."""
    slug = operation.tenant.slug
    body: dict[str, Any] = {"operation": operation_representation(operation, slug=slug)}
    if tenant is not None:
        body["tenant"] = selectors.tenant_representation(tenant)
    return Answer(202, body, {"Location": f"/api/v1/operations/{operation.id}"})


def etag_of(tenant: Tenant) -> str:
    return f'"{int(tenant.updated_at.timestamp() * 1_000_000):x}"'


class TenantsApi(Api):
    """List and create."""

    scopes = {"GET": roles.TENANTS_READ, "POST": roles.TENANTS_WRITE}

    class InputSerializer(serializers.Serializer[Any]):
        slug = serializers.CharField(max_length=200, trim_whitespace=False)
        name = serializers.CharField(max_length=200)
        plan = serializers.CharField(max_length=40)
        target = serializers.CharField(max_length=40)
        region = serializers.CharField(max_length=40, required=False, allow_null=True)
        contact_email = serializers.CharField(max_length=254, required=False, allow_blank=True)
        labels = LabelsField(required=False)
        overrides = serializers.DictField(required=False)
        requires_approval = serializers.BooleanField(required=False)
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True)

    @extend_schema(responses={200: dict})
    def get(self, request: Request) -> Response:
        params = request.query_params
        filters = {key: str(params[key]) for key in selectors.SEARCH if key in params}
        rows, links = self.page(selectors.tenants_search(principal=self.principal, filters=filters))
        return Response({"results": [selectors.tenant_representation(row) for row in rows], **links})

    @extend_schema(request=InputSerializer, responses={202: dict})
    def post(self, request: Request) -> Response:
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            tenant, operation = services.tenant_create(principal=self.principal, now=clock.now(), **body)
            return operation_answer(operation, tenant=tenant)

        return self.once(work)


class TenantApi(Api):
    """One tenant."""

    scopes = {"GET": roles.TENANTS_READ, "PATCH": roles.TENANTS_WRITE, "DELETE": roles.TENANTS_WRITE}

    class InputSerializer(serializers.Serializer[Any]):
        name = serializers.CharField(max_length=200, required=False)
        labels = LabelsField(required=False)
        plan = serializers.CharField(max_length=40, required=False)
        overrides = serializers.DictField(required=False)
        deletion_protection = serializers.BooleanField(required=False)

    @extend_schema(responses={200: dict})
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        return Response(selectors.tenant_representation(tenant), headers={"ETag": etag_of(tenant)})

    @extend_schema(request=InputSerializer, responses={200: dict, 202: dict})
    def patch(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        wanted = request.headers.get("If-Match")
        if wanted not in (None, "*", etag_of(tenant)):
            raise PreconditionFailed(
                "The tenant changed since it was read.", hint="Read it again, then repeat."
            )
        changes = self.checked(self.InputSerializer, partial=True)
        updated, operation = services.tenant_update(
            principal=self.principal, tenant=tenant, changes=changes, now=clock.now()
        )
        fresh = selectors.tenant_get(principal=self.principal, slug=updated.slug)
        if operation is not None:
            answer = operation_answer(operation, tenant=fresh)
            return Response(answer.body, status=202, headers={**answer.headers, "ETag": etag_of(fresh)})
        return Response(selectors.tenant_representation(fresh), headers={"ETag": etag_of(fresh)})

    @extend_schema(responses={202: dict})
    def delete(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)

        def work() -> Answer:
            operation = services.tenant_delete(principal=self.principal, tenant=tenant, now=clock.now())
            return operation_answer(operation)

        return self.once(work)


class TenantVerbApi(Api):
    """`preview`, `update`, `refresh`: queue an operation on the stack."""

    scopes = {"POST": roles.OPERATIONS_WRITE}

    class InputSerializer(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True)
        requires_approval = serializers.BooleanField(required=False)

    @extend_schema(request=InputSerializer, responses={202: dict})
    def post(self, request: Request, slug: str, verb: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            operation = services.tenant_operate(
                principal=self.principal, tenant=tenant, kind=verb, now=clock.now(), **body
            )
            return operation_answer(operation)

        return self.once(work)


class TenantResourcesApi(Api):
    scopes = {"GET": roles.TENANTS_READ}

    @extend_schema(responses={200: dict})
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        stack = stack_of(tenant_id=tenant.id)
        return Response({"results": stack.resources if stack else [], "next": None, "previous": None})


class TenantOutputsApi(Api):
    """What the stack exports; of secrets only the names."""

    scopes = {"GET": roles.TENANTS_READ}

    @extend_schema(responses={200: dict})
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        return Response(selectors.tenant_outputs(tenant=tenant))


class TenantHealthApi(Api):
    scopes = {"GET": roles.TENANTS_READ}

    @extend_schema(responses={200: dict})
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        checked_at = tenant.health_checked_at
        return Response(
            {
                "health": tenant.health,
                "checks": tenant.health_checks,
                "checked_at": checked_at.isoformat().replace("+00:00", "Z") if checked_at else None,
            }
        )


class TenantTimelineApi(Api):
    """The tenant's operations, newest first."""

    scopes = {"GET": roles.OPERATIONS_READ}

    @extend_schema(responses={200: dict})
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        rows, links = self.page(operations_visible(principal=self.principal).filter(tenant_id=tenant.id))
        return Response({"results": [operation_representation(row, slug=slug) for row in rows], **links})


class TenantCredentialsApi(Api):
    scopes = {"POST": roles.TENANTS_WRITE}

    class InputSerializer(serializers.Serializer[Any]):
        name = serializers.CharField(max_length=100, required=False, default="api")

    @extend_schema(request=InputSerializer, responses={201: dict})
    def post(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            issued = services.tenant_credentials_issue(
                principal=self.principal, tenant=tenant, name=body["name"], now=clock.now()
            )
            return Answer(status.HTTP_200_OK, issued, {"Cache-Control": "no-store"})

        return self.once(work)
