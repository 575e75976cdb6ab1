"""/api/v1/tenants: one class per operation path; rules live in tenants.services and selectors."""

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from contracts.stack import SLUG_PATTERN
from controlplane.accounts import roles
from controlplane.api import shapes
from controlplane.api.base import Api, choice_of, etags_wanted
from controlplane.api.document import (
    ETAG,
    IDEMPOTENT,
    IF_MATCH,
    LOCATION,
    PAGED,
    SLUG,
    documented,
    in_path,
    query,
)
from controlplane.api.idempotency import Answer
from controlplane.core import clock
from controlplane.core.errors import ValidationFailed
from controlplane.operations import states as kinds
from controlplane.operations.models import Operation
from controlplane.operations.selectors import operation_representation, operations_visible, stack_of
from controlplane.tenants import selectors, services, states
from controlplane.tenants.exporting import stack_export
from controlplane.tenants.models import Tenant
from controlplane.tenants.runtime_tokens import RUNTIME_ROLES

CHOICES = {"lifecycle": states.LIFECYCLES, "health": states.HEALTHS, "billing": states.STANDINGS}
EXAMPLE = OpenApiExample(
    "starter",
    value={"slug": "globex", "name": "Globex", "plan": "starter", "target": "local"},
    request_only=True,
)


@extend_schema_field({"type": "string", "pattern": SLUG_PATTERN, "minLength": 2, "maxLength": 40})
class SlugField(serializers.CharField):
    """Documented by its pattern; tenants.services checks it, with the reserved ones."""


class LabelsField(serializers.DictField):
    child = serializers.CharField(max_length=200, allow_blank=True)


def operation_answer(operation: Operation, *, tenant: Tenant | None = None) -> Answer:
    """202 with the operation and its Location."""
    slug = operation.tenant.slug
    body: dict[str, Any] = {"operation": operation_representation(operation, slug=slug)}
    if tenant is not None:
        body["tenant"] = selectors.tenant_representation(tenant)
    return Answer(202, body, {"Location": f"/api/v1/operations/{operation.id}"})


# What says which stack a tenant is to have. No docstring: it would stand in the API's document.
class TenantWanted(serializers.Serializer[Any]):
    slug = SlugField(max_length=200, trim_whitespace=False)
    name = serializers.CharField(max_length=200)
    plan = serializers.CharField(max_length=40)
    target = serializers.CharField(max_length=40)
    region = serializers.CharField(max_length=40, required=False, allow_null=True)
    contact_email = serializers.CharField(max_length=254, required=False, allow_blank=True)
    labels = LabelsField(required=False)
    overrides = serializers.DictField(required=False)


class TenantsApi(Api):
    """List and create."""

    scopes = {"GET": roles.TENANTS_READ, "POST": roles.TENANTS_WRITE}

    @extend_schema_serializer(component_name="TenantRequest")
    class InputSerializer(TenantWanted):
        requires_approval = serializers.BooleanField(required=False)
        restore_from = serializers.UUIDField(
            required=False, help_text="a snapshot whose data the tenant gets once it is active"
        )
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True)

    @documented(
        "tenants_list",
        "List tenants",
        tag="tenants",
        description="Deprovisioned tenants show only when asked for by `lifecycle`.",
        parameters=[
            query("lifecycle", "in this lifecycle", enum=states.LIFECYCLES),
            query("health", "of this health", enum=states.HEALTHS),
            query("billing", "of this standing", enum=states.STANDINGS),
            query("plan", "on this plan"),
            query("target", "on this target"),
            query("label", "`key=value`, or `key` for any value"),
            query("q", "part of the slug or the name"),
            *PAGED,
        ],
        answers={200: shapes.page_of(shapes.TenantShape)},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        params = request.query_params
        for name, choices in CHOICES.items():
            choice_of(request, name, choices)
        filters = {key: str(params[key]) for key in selectors.SEARCH if key in params}
        rows, links = self.page(selectors.tenants_search(principal=self.principal, filters=filters))
        return Response({"results": [selectors.tenant_representation(row) for row in rows], **links})

    @documented(
        "tenants_create",
        "Request a tenant",
        tag="tenants",
        description="Queues its provisioning; follow the operation.",
        request=InputSerializer,
        parameters=[*IDEMPOTENT, LOCATION],
        answers={202: shapes.TenantOperationAnswerShape},
        problems=[404, 409, 503],
        examples=[EXAMPLE],
    )
    def post(self, request: Request) -> Response:
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            tenant, operation = services.tenant_create(principal=self.principal, now=clock.now(), **body)
            return operation_answer(operation, tenant=tenant)

        return self.once(work)


class TenantApi(Api):
    """One tenant."""

    scopes = {"GET": roles.TENANTS_READ, "PATCH": roles.TENANTS_WRITE, "DELETE": roles.TENANTS_WRITE}

    @extend_schema_serializer(component_name="TenantChange")
    class InputSerializer(serializers.Serializer[Any]):
        name = serializers.CharField(max_length=200, required=False)
        labels = LabelsField(required=False)
        plan = serializers.CharField(max_length=40, required=False)
        overrides = serializers.DictField(required=False)
        runtime_version = serializers.CharField(max_length=64, required=False)
        deletion_protection = serializers.BooleanField(required=False)

    class DeletionSerializer(serializers.Serializer[Any]):
        skip_final_snapshot = serializers.BooleanField(required=False)
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True)

    @documented(
        "tenants_get",
        "Read a tenant",
        tag="tenants",
        parameters=[SLUG, ETAG],
        answers={200: shapes.TenantShape},
        problems=[404],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        return Response(
            selectors.tenant_representation(tenant), headers={"ETag": selectors.tenant_etag(tenant)}
        )

    @documented(
        "tenants_change",
        "Change a tenant",
        tag="tenants",
        description="200 where only the record changes; 202 with an operation where infrastructure must follow.",
        request=InputSerializer,
        parameters=[SLUG, IF_MATCH, ETAG, LOCATION],
        answers={200: shapes.TenantShape, 202: shapes.TenantOperationAnswerShape},
        problems=[404, 409, 412],
    )
    def patch(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        changes = self.checked(self.InputSerializer, partial=True)
        updated, operation = services.tenant_update(
            principal=self.principal,
            tenant=tenant,
            changes=changes,
            now=clock.now(),
            etags=etags_wanted(request),
        )
        fresh = selectors.tenant_get(principal=self.principal, slug=updated.slug)
        if operation is not None:
            answer = operation_answer(operation, tenant=fresh)
            return Response(
                answer.body, status=202, headers={**answer.headers, "ETag": selectors.tenant_etag(fresh)}
            )
        return Response(
            selectors.tenant_representation(fresh), headers={"ETag": selectors.tenant_etag(fresh)}
        )

    @documented(
        "tenants_delete",
        "Deprovision a tenant",
        tag="tenants",
        description="409 `deletion_protected` while it is protected. A final snapshot is taken and proven first, "
        'unless the body is `{"skip_final_snapshot": true}`, which not every plan allows. A production tenant '
        "waits for another person's approval. The body may hold a `reason` too. In AWS the final snapshot is RDS's; "
        "in a cluster there is none, so there a plan that wants one is refused with 409 `not_supported_on_target` "
        "until the body says that it is to be skipped.",
        parameters=[SLUG, *IDEMPOTENT, LOCATION],
        answers={202: shapes.OperationAnswerShape},
        problems=[404, 409, 413, 422],
    )
    def delete(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.DeletionSerializer)

        def work() -> Answer:
            operation = services.tenant_delete(
                principal=self.principal, tenant=tenant, now=clock.now(), **body
            )
            return operation_answer(operation)

        return self.once(work)


class TenantVerbApi(Api):
    """One path a verb: queues an operation on the stack."""

    scopes = {"POST": roles.OPERATIONS_WRITE}

    @extend_schema_serializer(component_name="TenantVerbRequest")
    class InputSerializer(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True)
        requires_approval = serializers.BooleanField(required=False)
        version = serializers.CharField(
            max_length=64, required=False, help_text="of an upgrade: to this release of the runtime"
        )

    @documented(
        "tenants_operate",
        "Queue an operation on a tenant's stack",
        tag="tenants",
        description="`suspend` ends the runtime and gives back the GPUs; databases and data stay. `resume` brings "
        "them back. `rotate-credentials` renews the passwords, the admin key and the usage token without downtime; the "
        "old ones end with the operation. `upgrade` moves the runtime to the release that the control plane ships, or "
        "to `version`; 422 names those it knows. 409 where the tenant's lifecycle does not allow it.",
        request=InputSerializer,
        parameters=[SLUG, in_path("verb", "what to do", enum=list(states.VERBS)), *IDEMPOTENT, LOCATION],
        answers={202: shapes.OperationAnswerShape},
        problems=[404, 409],
    )
    def post(self, request: Request, slug: str, verb: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)
        if "version" in body and states.VERBS[verb] != kinds.UPGRADE:
            detail = "belongs to an upgrade"
            raise ValidationFailed(f"version: {detail}.", errors=[{"pointer": "/version", "detail": detail}])

        def work() -> Answer:
            operation = services.tenant_operate(
                principal=self.principal, tenant=tenant, kind=states.VERBS[verb], now=clock.now(), **body
            )
            return operation_answer(operation)

        return self.once(work)


class TenantResourcesApi(Api):
    scopes = {"GET": roles.TENANTS_READ}

    @documented(
        "tenants_resources",
        "List a stack's resources",
        tag="tenants",
        parameters=[SLUG],
        answers={200: shapes.page_of(shapes.ResourceShape)},
        problems=[404],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        stack = stack_of(tenant_id=tenant.id)
        return Response({"results": stack.resources if stack else [], "next": None, "previous": None})


class TenantOutputsApi(Api):
    """What the stack exports; of secrets only the names."""

    scopes = {"GET": roles.TENANTS_READ}

    @documented(
        "tenants_outputs",
        "Read a stack's outputs",
        tag="tenants",
        parameters=[SLUG],
        answers={200: shapes.TenantOutputsShape},
        problems=[404],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        return Response(selectors.tenant_outputs(tenant=tenant))


class TenantStackExportApi(Api):
    """For previews by another release's program: deploy/ci."""

    scopes = {"GET": roles.OPERATIONS_READ}

    @documented(
        "tenants_stack_export",
        "Export a stack without its secrets",
        tag="tenants",
        description="Specification and state, for a preview by a program elsewhere. Secrets are placeholders. "
        "Audited. 409 for a tenant whose stack is gone.",
        parameters=[SLUG],
        answers={200: shapes.StackExportShape},
        problems=[404, 409, 503],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        exported = stack_export(principal=self.principal, tenant=tenant, now=clock.now())
        return Response(exported.model_dump(mode="json"), headers={"Cache-Control": "no-store"})


class TenantHealthApi(Api):
    scopes = {"GET": roles.TENANTS_READ}

    @documented(
        "tenants_health",
        "Read a tenant's health",
        tag="tenants",
        parameters=[SLUG],
        answers={200: shapes.TenantHealthShape},
        problems=[404],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        return Response(selectors.tenant_health(tenant=tenant, now=clock.now()))


class TenantTimelineApi(Api):
    """The tenant's operations, newest first."""

    scopes = {"GET": roles.OPERATIONS_READ}

    @documented(
        "tenants_timeline",
        "List a tenant's operations",
        tag="tenants",
        parameters=[SLUG, *PAGED],
        answers={200: shapes.page_of(shapes.OperationShape)},
        problems=[404, 422],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        rows, links = self.page(operations_visible(principal=self.principal).filter(tenant_id=tenant.id))
        return Response({"results": [operation_representation(row, slug=slug) for row in rows], **links})


class TenantCredentialsApi(Api):
    scopes = {"POST": roles.TENANTS_WRITE}

    @extend_schema_serializer(component_name="TenantCredentialsRequest")
    class InputSerializer(serializers.Serializer[Any]):
        name = serializers.CharField(max_length=100, required=False, default="api")
        role = serializers.ChoiceField(choices=RUNTIME_ROLES, required=False, default=selectors.KEY_ROLE)

    @documented(
        "tenants_credentials",
        "Issue a key for a tenant's runtime",
        tag="tenants",
        description="The key is shown in this answer only. `role` is what it may do in the runtime: `user` runs agents "
        "on threads of its own, `operator` sees everybody's. Those who may write tenants give out operator, developer "
        "and user; administrators every role.",
        request=InputSerializer,
        parameters=[SLUG, *IDEMPOTENT],
        answers={200: shapes.TenantCredentialsShape},
        problems=[404, 409, 503],
    )
    def post(self, request: Request, slug: str) -> Response:
        tenant = selectors.tenant_get(principal=self.principal, slug=slug)
        body = self.checked(self.InputSerializer)

        def work() -> Answer:
            issued = services.tenant_credentials_issue(
                principal=self.principal, tenant=tenant, name=body["name"], role=body["role"], now=clock.now()
            )
            return Answer(200, issued, {"Cache-Control": "no-store"})

        return self.once(work)
