"""/api/v1/operations."""

from typing import Any
from uuid import UUID

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts import roles
from controlplane.accounts.access import access_require
from controlplane.api import shapes
from controlplane.api.base import Api, choice_of
from controlplane.api.document import IDEMPOTENT, LOCATION, OPERATION_ID, PAGED, documented, in_path, query
from controlplane.api.idempotency import Answer
from controlplane.api.plan_shapes import OperationPlanShape
from controlplane.api.tenants import operation_answer
from controlplane.core import clock
from controlplane.operations import approvals, selectors, services, states
from controlplane.operations.logs import operation_log_text

VERBS = ("approve", "reject", "cancel", "retry")


class OperationsApi(Api):
    """Filters: state, kind, tenant (slug)."""

    scopes = {"GET": roles.OPERATIONS_READ}

    @documented(
        "operations_list",
        "List operations",
        tag="operations",
        parameters=[
            query("state", "in this state", enum=states.STATES),
            query("kind", "of this kind", enum=states.KINDS),
            query("tenant", "of the tenant of this slug"),
            *PAGED,
        ],
        answers={200: shapes.page_of(shapes.OperationShape)},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        found = selectors.operations_visible(principal=self.principal)
        if state := choice_of(request, "state", states.STATES):
            found = found.filter(state=state)
        if kind := choice_of(request, "kind", states.KINDS):
            found = found.filter(kind=kind)
        if slug := request.query_params.get("tenant"):
            found = found.filter(tenant__slug=slug)
        rows, links = self.page(found)
        results = [selectors.operation_representation(row, slug=row.tenant.slug) for row in rows]
        return Response({"results": results, **links})


class OperationApi(Api):
    scopes = {"GET": roles.OPERATIONS_READ}

    @documented(
        "operations_get",
        "Read an operation",
        tag="operations",
        parameters=[OPERATION_ID],
        answers={200: shapes.OperationShape},
        problems=[404],
    )
    def get(self, request: Request, operation_id: UUID) -> Response:
        operation = selectors.operation_get(principal=self.principal, operation_id=operation_id)
        return Response(selectors.operation_representation(operation, slug=operation.tenant.slug))


class OperationPlanApi(Api):
    """The plan as the engine computed it; values of properties are never part of it."""

    scopes = {"GET": roles.OPERATIONS_READ}

    @documented(
        "operations_plan",
        "Read an operation's plan",
        tag="operations",
        parameters=[OPERATION_ID],
        answers={200: OperationPlanShape},
        problems=[404],
    )
    def get(self, request: Request, operation_id: UUID) -> Response:
        operation = selectors.operation_get(principal=self.principal, operation_id=operation_id)
        return Response(selectors.plan_representation(operation))


class OperationLogApi(Api):
    """The whole log as a text to read or keep: the timeline, the failure and the runner's own output."""

    scopes = {"GET": roles.OPERATIONS_READ}

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        # A text whatever is accepted; only problems are JSON.
        return self.get_renderers()[0], "application/json"

    @documented(
        "operations_log",
        "Download an operation's log",
        tag="operations",
        parameters=[OPERATION_ID],
        answers={(200, "text/plain"): OpenApiTypes.STR},
        problems=[404],
    )
    def get(self, request: Request, operation_id: UUID) -> HttpResponse:
        operation = selectors.operation_get(principal=self.principal, operation_id=operation_id)
        lines = operation_log_text(operation, slug=operation.tenant.slug)
        name = f"{operation.tenant.slug}-{operation.kind}-{operation.id}.log"
        return HttpResponse(
            "\n".join(lines) + "\n",
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )


class OperationVerbApi(Api):
    """`approve`, `reject`, `cancel`, `retry`."""

    scopes = {"POST": roles.OPERATIONS_READ}

    @extend_schema_serializer(component_name="OperationVerbRequest")
    class InputSerializer(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")
        plan_id = serializers.UUIDField(required=False, allow_null=True, default=None)

    @documented(
        "operations_act",
        "Approve, reject, cancel or retry an operation",
        tag="operations",
        description="`approve` and `reject` need the scope operations:approve, the others operations:write.",
        request=InputSerializer,
        parameters=[OPERATION_ID, in_path("verb", "what to do", enum=VERBS), *IDEMPOTENT, LOCATION],
        answers={202: shapes.OperationVerbAnswerShape},
        problems=[404, 409],
    )
    def post(self, request: Request, operation_id: UUID, verb: str) -> Response:
        approves = verb in ("approve", "reject")
        operation = selectors.operation_get(principal=self.principal, operation_id=operation_id)
        access_require(self.principal, roles.OPERATIONS_APPROVE if approves else roles.OPERATIONS_WRITE)
        body = self.checked(self.InputSerializer)
        actor, now = self.principal.actor, clock.now()

        def work() -> Answer:
            match verb:
                case "approve":
                    moved = approvals.operation_approve(
                        operation=operation,
                        actor=actor,
                        now=now,
                        plan_id=body["plan_id"],
                        comment=body["reason"],
                    )
                case "reject":
                    moved = approvals.operation_reject(
                        operation=operation, actor=actor, reason=body["reason"], now=now
                    )
                case "cancel":
                    moved = services.operation_cancel(operation=operation, actor=actor, now=now)
                case _:
                    moved = services.operation_retry(operation=operation, actor=actor, now=now)
            moved = selectors.operation_get(principal=self.principal, operation_id=moved.id)
            answer = operation_answer(moved)
            # The operation's own fields stand at the top too: a verb answers what GET answers.
            return Answer(202, {**answer.body["operation"], **answer.body}, answer.headers)

        return self.once(work)
