"""Webhooks in forms: what is sent to one, shown before it is set, and its secret, shown once afterwards."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from billing.budgets import notices
from billing.reports import schedules
from controlplane.core.clock import moment_text
from controlplane.core.ids import uuid7


def budget_sample(*, currency: str, tenant: str | None, now: datetime) -> str:
    return _message(notices.EVENT, notices.notice_sample(currency=currency, tenant=tenant, now=now), now)


def report_sample(*, tenant: str | None, now: datetime) -> str:
    period = f"{now:%Y-%m}"
    path = f"/api/v1/tenants/{tenant}/usage-report" if tenant else "/api/v1/usage-report"
    data = schedules.ready_data(
        schedule_id=uuid7(), period=period, tenant=tenant, report={f"as GET {path}?period={period}": "..."}
    )
    return _message(schedules.EVENT, data, now)


def _message(type: str, data: Mapping[str, Any], now: datetime) -> str:
    body = {"type": type, "timestamp": moment_text(now), "data": data}
    return json.dumps(body, indent=2, cls=DjangoJSONEncoder)
