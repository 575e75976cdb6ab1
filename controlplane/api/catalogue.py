"""/api/v1/plans and /api/v1/targets: what a tenant may be made of."""

from dataclasses import asdict

from rest_framework.request import Request
from rest_framework.response import Response

from controlplane.accounts import roles
from controlplane.api.base import Api
from controlplane.api.document import documented
from controlplane.api.shapes import PlanShape, TargetShape, page_of
from controlplane.tenants.plans import plans
from controlplane.tenants.targets import targets_offered


class PlansApi(Api):
    scopes = {"GET": roles.TENANTS_READ}

    @documented("plans_list", "List plans", tag="catalogue", answers={200: page_of(PlanShape)})
    def get(self, request: Request) -> Response:
        results = [plan.model_dump(mode="json") for plan in plans().values()]
        return Response({"results": results, "next": None, "previous": None})


class TargetsApi(Api):
    scopes = {"GET": roles.TENANTS_READ}

    @documented("targets_list", "List targets", tag="catalogue", answers={200: page_of(TargetShape)})
    def get(self, request: Request) -> Response:
        results = [{"key": key, **asdict(target)} for key, target in targets_offered().items()]
        return Response({"results": results, "next": None, "previous": None})
