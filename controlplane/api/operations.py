"""/api/v1/operations."""

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts import roles
from controlplane.accounts.access import access_require
from controlplane.api.base import Api
from controlplane.api.idempotency import Answer
from controlplane.api.tenants import operation_answer
from controlplane.core import clock
from controlplane.operations import selectors, services


class OperationsApi(Api):
    """Filters: state, kind, tenant (slug)."""

    scopes = {"GET": roles.OPERATIONS_READ}

    @extend_schema(responses={200: dict})
    def get(self, request: Request) -> Response:
        found = selectors.operations_visible(principal=self.principal)
        for name, column in (("state", "state"), ("kind", "kind"), ("tenant", "tenant__slug")):
            if value := request.query_params.get(name):
                found = found.filter(**{column: value})
        rows, links = self.page(found)
        results = [selectors.operation_representation(row, slug=row.tenant.slug) for row in rows]
        return Response({"results": results, **links})


class OperationApi(Api):
    scopes = {"GET": roles.OPERATIONS_READ}

    @extend_schema(responses={200: dict})
    def get(self, request: Request, operation_id: UUID) -> Response:
        operation = selectors.operation_get(principal=self.principal, operation_id=operation_id)
        return Response(selectors.operation_representation(operation, slug=operation.tenant.slug))


class OperationPlanApi(Api):
    """The plan as the engine computed it; values of properties are never part of it."""

    scopes = {"GET": roles.OPERATIONS_READ}

    @extend_schema(responses={200: dict})
    def get(self, request: Request, operation_id: UUID) -> Response:
        operation = selectors.operation_get(principal=self.principal, operation_id=operation_id)
        return Response(selectors.plan_representation(operation))


class OperationVerbApi(Api):
    """`approve`, `reject`, `cancel`, `retry`."""

    scopes = {"POST": roles.OPERATIONS_READ}

    class InputSerializer(serializers.Serializer[Any]):
        reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")

    @extend_schema(request=InputSerializer, responses={202: dict})
    def post(self, request: Request, operation_id: UUID, verb: str) -> Response:
        approves = verb in ("approve", "reject")
        operation = selectors.operation_get(principal=self.principal, operation_id=operation_id)
        access_require(self.principal, roles.OPERATIONS_APPROVE if approves else roles.OPERATIONS_WRITE)
        body = self.checked(self.InputSerializer)
        actor, now = self.principal.actor, clock.now()

        def work() -> Answer:
            match verb:
                case "approve":
                    moved = services.operation_approve(operation=operation, actor=actor, now=now)
                case "reject":
                    moved = services.operation_reject(
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
