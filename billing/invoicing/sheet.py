"""Invoices as CSV (RFC 4180): plain, and in the columns of FOCUS."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

HEADER: Final = (
    "invoice", "state", "tenant", "line", "kind", "description", "meter", "from", "to", "used", "included",
    "quantity", "unit", "unit_price", "amount", "currency", "rate_card",
)  # fmt: skip
#: Columns of the FinOps Open Cost and Usage Specification 1.2 (https://focus.finops.org), in its alphabetical order:
#: the mandatory ones, and those of the others that an invoice of ours can fill. x_ is the specification's prefix for
#: columns of one's own.
FOCUS_HEADER: Final = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit",
    "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost",
    "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ResourceId", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceId",
    "SubAccountId", "SubAccountName", "Tags", "x_InvoiceState", "x_LineId", "x_RateCard",
)  # fmt: skip
#: A cell that begins like this is a formula to spreadsheets, whoever wrote the name in it; numbers of ours are none.
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n")
_AI: Final = ("AI and Machine Learning", "Generative AI")
_SERVICES: Final[Mapping[str, tuple[str, str]]] = {
    "gpu_hours": ("Compute", "Virtual Machines"),
    "runtime_hours": ("Compute", "Containers"),
    "database_hours": ("Databases", "Relational Databases"),
    "storage_gb_months": ("Storage", "Block Storage"),
}
_FEES: Final = ("base_fee", "one_off", "minimum")


def invoice_csv(invoices: Iterable[dict[str, Any]]) -> str:
    """One row a line, with the tax and the credits as rows of their own, so that the rows add up to the totals."""
    return _written(HEADER, (row for invoice in invoices for row in _rows(invoice)))


def invoice_focus_csv(invoices: Iterable[dict[str, Any]]) -> str:
    """One row a line, tax or credit; BilledCost adds up to the invoices' totals."""
    return _written(FOCUS_HEADER, (row for invoice in invoices for row in _focus_rows(invoice)))


def _rows(invoice: dict[str, Any]) -> Iterable[dict[str, str]]:
    shared = {
        "invoice": invoice["number"] or "",
        "state": invoice["state"],
        "tenant": invoice["tenant"],
        "currency": invoice["currency"],
        **invoice["period"],
    }
    for line in invoice["lines"]:
        names = (
            "kind",
            "description",
            "meter",
            "used",
            "included",
            "quantity",
            "unit",
            "unit_price",
            "amount",
        )
        yield {
            **shared,
            "line": line["id"],
            **line["period"],
            **{name: line[name] for name in names},
            "rate_card": _card(line),
        }
    for tax in invoice["taxes"]:
        yield {
            **shared,
            "line": tax["id"],
            "kind": "tax",
            "description": tax["description"],
            "amount": tax["amount"],
        }
    if Decimal(invoice["credits"]):
        yield {
            **shared,
            "kind": "credits",
            "description": "Credits applied",
            "amount": f"-{invoice['credits']}",
        }


def _focus_rows(invoice: dict[str, Any]) -> Iterable[dict[str, str]]:
    seller = invoice["seller"] or {"name": ""}
    shared = {
        "BillingAccountId": invoice["tenant"],
        "BillingAccountName": invoice["customer"]["name"],
        "BillingAccountType": "Tenant",
        "BillingCurrency": invoice["currency"],
        "BillingPeriodStart": invoice["period"]["from"],
        "BillingPeriodEnd": invoice["period"]["to"],
        "ChargePeriodStart": invoice["period"]["from"],
        "ChargePeriodEnd": invoice["period"]["to"],
        "InvoiceId": invoice["number"] or "",
        "InvoiceIssuerName": seller["name"],
        "ProviderName": seller["name"],
        "PublisherName": seller["name"],
        "SubAccountId": invoice["tenant"],
        "SubAccountName": invoice["customer"]["name"],
        "ServiceCategory": _AI[0],
        "ServiceSubcategory": _AI[1],
        "ServiceName": "Freehold",
        "x_InvoiceState": invoice["state"],
    }
    for line in invoice["lines"]:
        yield {**shared, **_focus_line(line)}
    for tax in invoice["taxes"]:
        yield {**shared, **_focus_other("Tax", tax["description"], tax["amount"]), "x_LineId": tax["id"]}
    if Decimal(invoice["credits"]):
        yield {**shared, **_focus_other("Credit", "Credits applied", f"-{invoice['credits']}")}


def _focus_line(line: dict[str, Any]) -> dict[str, str]:
    usage = line["kind"] in ("usage", "correction")
    category, subcategory = _SERVICES.get(line["meter"], _AI)
    row = {
        **_focus_other(_category(line), line["description"], line["amount"]),
        "ChargeClass": "Correction" if line["kind"] == "correction" else "",
        "ChargeFrequency": "Usage-Based" if usage else "Recurring",
        "ChargePeriodStart": line["period"]["from"],
        "ChargePeriodEnd": line["period"]["to"],
        "ServiceCategory": category,
        "ServiceSubcategory": subcategory,
        "ServiceName": line["meter"],
        "SkuId": line["meter"],
        "SkuMeter": line["meter"],
        "SkuPriceId": f"{_card(line)} {line['meter']}",
        "PricingCategory": "Standard",
        "PricingQuantity": line["quantity"],
        "PricingUnit": line["unit"],
        "x_LineId": line["id"],
        "x_RateCard": _card(line),
    }
    if not line["parts"] and line["kind"] != "correction":
        row |= {"ContractedUnitPrice": line["unit_price"], "ListUnitPrice": line["unit_price"]}
    return row | ({"ConsumedQuantity": line["used"], "ConsumedUnit": line["unit"]} if usage else {})


def _focus_other(category: str, description: str, amount: str) -> dict[str, str]:
    costs = dict.fromkeys(("BilledCost", "EffectiveCost", "ListCost", "ContractedCost"), amount)
    return {
        **costs,
        "ChargeCategory": category,
        "ChargeDescription": description,
        "ChargeFrequency": "One-Time",
    }


def _category(line: dict[str, Any]) -> str:
    if line["kind"] in _FEES:
        return "Purchase"
    return "Credit" if line["kind"] in ("discount", "trial", "maximum") else "Usage"


def _card(line: dict[str, Any]) -> str:
    card = line["rate_card"]
    return f"{card['key']} v{card['version']}" if card["key"] else ""


def _written(header: Sequence[str], rows: Iterable[Mapping[str, str]]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, header, restval="")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: _safe(text) for name, text in row.items()})
    return out.getvalue()


def _safe(text: str) -> str:
    number = text.removeprefix("-").replace(".", "", 1).isdecimal()
    return f"'{text}" if text.startswith(_FORMULA_STARTS) and not number else text
