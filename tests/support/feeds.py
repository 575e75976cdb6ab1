"""Bills as providers send them: CUR 2.0, the older CUR and FOCUS, with only the columns that matter and some that do
not."""

import csv
import io
import json
from typing import Any

CUR2 = {
    "bill_invoice_id": "",
    "bill_billing_period_start_date": "2026-11-01T00:00:00.000Z",
    "identity_line_item_id": "l-1",
    "identity_time_interval": "2026-11-03T00:00:00Z/2026-11-04T00:00:00Z",
    "line_item_usage_start_date": "2026-11-03T00:00:00.000Z",
    "line_item_unblended_cost": "10.5",
    "line_item_currency_code": "USD",
    "line_item_product_code": "AmazonEC2",
    "resource_tags": '{"user_freehold_tenant":"acme"}',
    "pricing_unit": "Hrs",
}
FOCUS = {
    "BilledCost": "10.5",
    "EffectiveCost": "9",
    "BillingCurrency": "USD",
    "BillingPeriodStart": "2026-11-01T00:00:00Z",
    "ChargePeriodStart": "2026-11-03T00:00:00Z",
    "ServiceName": "Virtual machines",
    "ResourceId": "vm-1",
    "InvoiceId": "",
    "Tags": json.dumps({"freehold:tenant": "acme"}),
}


def cur(*rows: dict[str, Any], **every: Any) -> str:
    """Each row is what differs from CUR2; rows get ids of their own unless they name one."""
    numbered = [{"identity_line_item_id": f"l-{n}", **row} for n, row in enumerate(rows, start=1)]
    return table([{**CUR2, **every, **row} for row in numbered])


def focus(*rows: dict[str, Any]) -> str:
    return table([{**FOCUS, **row} for row in rows])


def table(rows: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def tag(slug: str) -> str:
    return json.dumps({"user_freehold_tenant": slug} if slug else {})
