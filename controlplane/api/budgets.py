"""/api/v1/tenants/{slug}/budgets, /api/v1/budgets for the fleet, and /api/v1/tenants/{slug}/standing."""

import secrets
from typing import Any
from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.budgets.evaluate import budget_evaluate
from billing.budgets.figures import Spends
from billing.budgets.models import CLOSED, OPEN, Budget
from billing.budgets.selectors import budget_etag, budget_get, budget_representation, budgets_of
from billing.budgets.services import budget_create, budget_delete, budget_update
from billing.budgets.thresholds import ACTIONS, MEASURES
from billing.standing.selectors import standing_of
from controlplane.accounts import roles
from controlplane.accounts.access import access_require_team
from controlplane.api import budget_shapes as shapes
from controlplane.api.base import Api, etags_wanted
from controlplane.api.document import ETAG, IDEMPOTENT, IF_MATCH, PAGED, SLUG, documented, in_path
from controlplane.api.idempotency import Answer
from controlplane.api.shapes import page_of
from controlplane.core import clock
from controlplane.tenants.models import StandingEnactment, Tenant
from controlplane.tenants.selectors import tenant_get

BUDGET_ID = in_path("budget_id", "the budget's id", OpenApiTypes.UUID)
#: Random bytes of a webhook's secret (Standard Webhooks: 24 to 64).
SECRET_BYTES = 32
_MONEY = "Amounts are decimal strings; a threshold is reached when its percentage of the budget is."


class ExactField(serializers.DecimalField):
    """A decimal string or a whole number; 0.1 as a float is not 0.1."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_digits=20, decimal_places=3, coerce_to_string=True, **kwargs)

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, float | bool):
            raise serializers.ValidationError("must be a decimal string or a whole number")
        return super().to_internal_value(data)


@extend_schema_serializer(component_name="ThresholdRequest")
class ThresholdSerializer(serializers.Serializer[Any]):
    percent = serializers.CharField(max_length=10)
    on = serializers.ChoiceField(choices=[(word, word) for word in MEASURES], required=False)
    actions = serializers.ListField(
        child=serializers.ChoiceField(choices=[(word, word) for word in ACTIONS]), required=False
    )


class BudgetChangeSerializer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    amount = ExactField()
    thresholds = ThresholdSerializer(many=True, required=False)
    on_unknown = serializers.ChoiceField(choices=[(word, word) for word in (OPEN, CLOSED)], required=False)
    resume_afterwards = serializers.BooleanField(required=False)
    emails = serializers.ListField(child=serializers.CharField(max_length=254), required=False)
    webhook_url = serializers.CharField(max_length=2000, required=False, allow_null=True)


@extend_schema_serializer(component_name="BudgetRequest")
class BudgetSerializer(BudgetChangeSerializer):
    currency = serializers.CharField(min_length=3, max_length=3, required=False)


class _BudgetsApi(Api):
    """What a tenant's budgets and the fleet's have in common; `slug` None is the fleet."""

    scopes = {
        "GET": roles.BILLING_READ,
        "POST": roles.BILLING_WRITE,
        "PATCH": roles.BILLING_WRITE,
        "DELETE": roles.BILLING_WRITE,
    }

    def tenant_of(self, slug: str | None) -> Tenant | None:
        if slug is None:
            access_require_team(self.principal)
            return None
        return tenant_get(principal=self.principal, slug=slug)

    def listed(self, slug: str | None) -> Response:
        tenant = self.tenant_of(slug)
        found = budgets_of(team_id=self.principal.team_id, tenant_id=tenant.id if tenant else None)
        rows, links = self.page(found)
        now = clock.now()
        results = [budget_representation(row, tenant=slug, now=now) for row in rows]
        return Response({"results": results, **links})

    def created(self, slug: str | None) -> Response:
        tenant = self.tenant_of(slug)
        body = self.checked(BudgetSerializer)

        def work() -> Answer:
            now = clock.now()
            budget, secret = budget_create(
                team_id=self.principal.team_id,
                tenant_id=tenant.id if tenant else None,
                actor=self.principal.actor,
                now=now,
                secret_bytes=secrets.token_bytes(SECRET_BYTES),
                **{"currency": "USD", **body},
            )
            headers = {"Cache-Control": "no-store"}
            return Answer(201, {**_evaluated(budget, slug), "webhook_secret": secret}, headers)

        return self.once(work)

    def budget_of(self, slug: str | None, budget_id: UUID) -> Budget:
        tenant = self.tenant_of(slug)
        return budget_get(
            team_id=self.principal.team_id,
            tenant_id=tenant.id if tenant else None,
            budget_id=budget_id,
        )

    def shown(self, slug: str | None, budget_id: UUID) -> Response:
        budget = self.budget_of(slug, budget_id)
        shown = budget_representation(budget, tenant=slug, now=clock.now())
        return Response(shown, headers={"ETag": budget_etag(budget)})

    def changed(self, request: Request, slug: str | None, budget_id: UUID) -> Response:
        budget = self.budget_of(slug, budget_id)
        changes = self.checked(BudgetChangeSerializer, partial=True)
        updated, secret = budget_update(
            budget=budget,
            changes=changes,
            actor=self.principal.actor,
            now=clock.now(),
            secret_bytes=secrets.token_bytes(SECRET_BYTES),
            etags=etags_wanted(request),
        )
        headers = {"ETag": budget_etag(updated), "Cache-Control": "no-store"}
        return Response({**_evaluated(updated, slug), "webhook_secret": secret}, headers=headers)

    def removed(self, slug: str | None, budget_id: UUID) -> Response:
        budget = self.budget_of(slug, budget_id)
        budget_delete(budget=budget, actor=self.principal.actor, now=clock.now())
        return Response(status=204)

    def evaluated(self, slug: str | None, budget_id: UUID) -> Response:
        budget = self.budget_of(slug, budget_id)
        return self.once(lambda: Answer(200, _evaluated(budget, slug), {}))


def _evaluated(budget: Budget, slug: str | None) -> dict[str, Any]:
    now = clock.now()
    fresh = budget_evaluate(budget_id=budget.pk, spends=Spends(now)) or budget
    return budget_representation(fresh, tenant=slug, now=now)


class TenantBudgetsApi(_BudgetsApi):
    @documented(
        "tenants_budgets_list",
        "List a tenant's budgets",
        tag="budgets",
        parameters=[SLUG, *PAGED],
        answers={200: page_of(shapes.BudgetShape)},
        problems=[404, 422],
    )
    def get(self, request: Request, slug: str) -> Response:
        return self.listed(slug)

    @documented(
        "tenants_budgets_create",
        "Set a budget for a tenant",
        tag="budgets",
        description=f"{_MONEY} Without `thresholds` it alerts at 50, 80 and 100 % spent and at 100 % forecast. The "
        "webhook's secret is shown in this answer only.",
        request=BudgetSerializer,
        parameters=[SLUG, *IDEMPOTENT],
        answers={201: shapes.BudgetChangedShape},
        problems=[404, 409],
    )
    def post(self, request: Request, slug: str) -> Response:
        return self.created(slug)


class TenantBudgetApi(_BudgetsApi):
    @documented(
        "tenants_budgets_get",
        "Read a tenant's budget",
        tag="budgets",
        parameters=[SLUG, BUDGET_ID, ETAG],
        answers={200: shapes.BudgetShape},
        problems=[404],
    )
    def get(self, request: Request, slug: str, budget_id: UUID) -> Response:
        return self.shown(slug, budget_id)

    @extend_schema_serializer(component_name="BudgetChange")
    class InputSerializer(BudgetChangeSerializer):
        """What may be changed; a budget keeps its currency."""

    @documented(
        "tenants_budgets_change",
        "Change a tenant's budget",
        tag="budgets",
        description="A new `webhook_url` gets a secret of its own; null takes the webhook away.",
        request=InputSerializer,
        parameters=[SLUG, BUDGET_ID, IF_MATCH, ETAG],
        answers={200: shapes.BudgetChangedShape},
        problems=[404, 412],
    )
    def patch(self, request: Request, slug: str, budget_id: UUID) -> Response:
        return self.changed(request, slug, budget_id)

    @documented(
        "tenants_budgets_delete",
        "Delete a tenant's budget",
        tag="budgets",
        description="What it blocked is free again, unless another budget blocks it.",
        parameters=[SLUG, BUDGET_ID],
        answers={204: None},
        problems=[404],
    )
    def delete(self, request: Request, slug: str, budget_id: UUID) -> Response:
        return self.removed(slug, budget_id)


class TenantBudgetEvaluateApi(_BudgetsApi):
    @documented(
        "tenants_budgets_evaluate",
        "Evaluate a tenant's budget now",
        tag="budgets",
        request=None,
        parameters=[SLUG, BUDGET_ID, *IDEMPOTENT],
        answers={200: shapes.BudgetShape},
        problems=[404, 409, 422],
    )
    def post(self, request: Request, slug: str, budget_id: UUID) -> Response:
        return self.evaluated(slug, budget_id)


class FleetBudgetsApi(_BudgetsApi):
    @documented(
        "budgets_list",
        "List the budgets of all tenants together",
        tag="budgets",
        description="403 for a key limited to some tenants.",
        parameters=PAGED,
        answers={200: page_of(shapes.BudgetShape)},
        problems=[422],
    )
    def get(self, request: Request) -> Response:
        return self.listed(None)

    @documented(
        "budgets_create",
        "Set a budget for all tenants together",
        tag="budgets",
        description=f"{_MONEY} Its actions concern every tenant of the team.",
        request=BudgetSerializer,
        parameters=IDEMPOTENT,
        answers={201: shapes.BudgetChangedShape},
        problems=[409],
    )
    def post(self, request: Request) -> Response:
        return self.created(None)


class FleetBudgetApi(_BudgetsApi):
    @documented(
        "budgets_get",
        "Read a budget of all tenants together",
        tag="budgets",
        parameters=[BUDGET_ID, ETAG],
        answers={200: shapes.BudgetShape},
        problems=[404],
    )
    def get(self, request: Request, budget_id: UUID) -> Response:
        return self.shown(None, budget_id)

    @documented(
        "budgets_change",
        "Change a budget of all tenants together",
        tag="budgets",
        request=TenantBudgetApi.InputSerializer,
        parameters=[BUDGET_ID, IF_MATCH, ETAG],
        answers={200: shapes.BudgetChangedShape},
        problems=[404, 412],
    )
    def patch(self, request: Request, budget_id: UUID) -> Response:
        return self.changed(request, None, budget_id)

    @documented(
        "budgets_delete",
        "Delete a budget of all tenants together",
        tag="budgets",
        parameters=[BUDGET_ID],
        answers={204: None},
        problems=[404],
    )
    def delete(self, request: Request, budget_id: UUID) -> Response:
        return self.removed(None, budget_id)


class FleetBudgetEvaluateApi(_BudgetsApi):
    @documented(
        "budgets_evaluate",
        "Evaluate a budget of all tenants together now",
        tag="budgets",
        request=None,
        parameters=[BUDGET_ID, *IDEMPOTENT],
        answers={200: shapes.BudgetShape},
        problems=[404, 409, 422],
    )
    def post(self, request: Request, budget_id: UUID) -> Response:
        return self.evaluated(None, budget_id)


class TenantStandingApi(Api):
    """What billing says of the tenant, why, since when, and what was done about it."""

    scopes = {"GET": roles.BILLING_READ}

    @documented(
        "tenants_standing",
        "Read a tenant's billing standing",
        tag="budgets",
        description="`causes` are what holds it now, such as one budget; it is the worst of them.",
        parameters=[SLUG],
        answers={200: shapes.StandingShape},
        problems=[404],
    )
    def get(self, request: Request, slug: str) -> Response:
        tenant = tenant_get(principal=self.principal, slug=slug)
        done = StandingEnactment.objects.filter(pk=tenant.pk).first()
        enacted = {
            "runs_paused": done.runs_paused if done else False,
            "told_at": clock.moment_text_or_none(done.told_at) if done else None,
            "suspend_operation": str(done.suspend_operation) if done and done.suspend_operation else None,
            "problem": done.problem if done else "",
        }
        return Response({**standing_of(tenant_id=tenant.id), "enacted": enacted})
