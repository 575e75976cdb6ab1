"""/api/v1/usage/corrections: taking back and replacing usage events."""

from typing import Any

from django.db.models import F
from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from billing.metering.corrections import AMEND, LONGEST_REASON, VOID, event_amend, event_void
from billing.metering.models import UsageCorrection
from controlplane.accounts import roles
from controlplane.api import money_shapes as shapes
from controlplane.api.base import Api
from controlplane.api.document import IDEMPOTENT, PAGED, documented, query
from controlplane.api.idempotency import Answer
from controlplane.api.shapes import AnyField, page_of
from controlplane.core import clock
from controlplane.core.errors import ValidationFailed
from controlplane.tenants.selectors import tenant_get, tenants_visible


class UsageCorrectionsApi(Api):
    scopes = {"GET": roles.BILLING_READ, "POST": roles.BILLING_WRITE}

    @extend_schema_serializer(component_name="UsageCorrectionRequest")
    class InputSerializer(serializers.Serializer[Any]):
        tenant = serializers.CharField(max_length=40, help_text="slug")
        source = serializers.CharField(max_length=255)  # type: ignore[assignment]
        id = serializers.CharField(max_length=255)
        action = serializers.ChoiceField(choices=[VOID, AMEND])
        reason = serializers.CharField(max_length=LONGEST_REASON)
        event = serializers.DictField(
            child=AnyField(), required=False, help_text="for `amend`: the whole event as it should have been"
        )

    @documented(
        "usage_corrections_create",
        "Take back or replace a usage event",
        tag="usage",
        description=(
            "`void`: the event counts for nothing. `amend`: `event`, of the same source, id and type, counts in its "
            "place. The event stays stored as it came; totals, and what was billed as known earlier, can be asked for "
            "with and without the correction."
        ),
        request=InputSerializer,
        parameters=IDEMPOTENT,
        answers={201: shapes.UsageCorrectionShape},
        problems=[404, 409],
        examples=[
            OpenApiExample(
                "void",
                value={
                    "tenant": "acme",
                    "source": "/tenants/acme/runtime/r0",
                    "id": "0193:call:model:1",
                    "action": "void",
                    "reason": "a test run by our own staff",
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request) -> Response:
        given = self.checked(self.InputSerializer)
        tenant = tenant_get(principal=self.principal, slug=given["tenant"])

        def work() -> Answer:
            what = {
                "tenant_id": tenant.id,
                "source": given["source"],
                "event_id": given["id"],
                "reason": given["reason"],
                "actor": self.principal.actor,
                "at": clock.now(),
                "team_id": tenant.team_id,
            }
            if given["action"] == VOID:
                if "event" in given:
                    raise ValidationFailed.of("event", "a void has no event")
                correction = event_void(**what)
            else:
                if "event" not in given:
                    raise ValidationFailed.of("event", "an amendment needs the whole event")
                correction = event_amend(**what, body=given["event"])
            return Answer(201, _correction(correction, tenant.slug), {})

        return self.once(work)

    @documented(
        "usage_corrections_list",
        "List corrections of usage events",
        tag="usage",
        parameters=[*PAGED, query("tenant", "slug; all you can see if absent")],
        answers={200: page_of(shapes.UsageCorrectionShape)},
        problems=[404, 422],
    )
    def get(self, request: Request) -> Response:
        slug = request.query_params.get("tenant")
        if slug:
            tenant = tenant_get(principal=self.principal, slug=slug)
            slugs = {tenant.id: tenant.slug}
        else:
            slugs = dict(tenants_visible(principal=self.principal).values_list("id", "slug"))
        found = UsageCorrection.objects.filter(tenant_id__in=slugs).annotate(created_at=F("recorded_at"))
        rows, links = self.page(found)
        return Response({"results": [_correction(row, slugs[row.tenant_id]) for row in rows], **links})


def _correction(row: UsageCorrection, slug: str) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "tenant": slug,
        "source": row.source,
        "event_id": row.event_id,
        "action": row.action,
        "event": row.body,
        "reason": row.reason,
        "actor": row.actor,
        "recorded_at": clock.moment_text(row.recorded_at),
    }
