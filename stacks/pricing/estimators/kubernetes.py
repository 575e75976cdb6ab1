"""What lies in a cluster's volumes."""

from decimal import Decimal
from typing import Any

from stacks.pricing.estimators.quantities import (
    GB,
    CannotEstimate,
    Estimator,
    Inputs,
    Quantity,
    number_at,
    text_at,
)
from stacks.reading import at, many

_BINARY = {"Ki": Decimal(1) / GB / GB, "Mi": Decimal(1) / GB, "Gi": Decimal(1), "Ti": GB}


def gigabytes(quantity: Any) -> Decimal:
    """A Kubernetes quantity of bytes (`10Gi`) in GiB. CannotEstimate for others."""
    text = str(quantity)
    for suffix, factor in _BINARY.items():
        if text.endswith(suffix):
            try:
                return Decimal(text.removesuffix(suffix)) * factor
            except ArithmeticError:
                break
    raise CannotEstimate(f"{text!r} is no size that is understood")


def _claim(inputs: Inputs) -> list[Quantity]:
    size = gigabytes(at(inputs, "spec", "resources", "requests", "storage"))
    kind = text_at(inputs, "spec", "storageClassName", default="default")
    return [Quantity(f"kubernetes:storage:{kind}", size, "GB-month")]


def _stateful_set(inputs: Inputs) -> list[Quantity]:
    """Its volumes: its pods run on nodes that are paid for as such."""
    replicas = number_at(inputs, "spec", "replicas", default=1)
    found = []
    for claim in many(at(inputs, "spec", "volumeClaimTemplates")):
        for each in _claim(claim):
            found.append(Quantity(each.sku, each.amount * replicas, each.unit))
    return found


ESTIMATORS: dict[str, Estimator] = {
    "kubernetes:core/v1:PersistentVolumeClaim": _claim,
    "kubernetes:apps/v1:StatefulSet": _stateful_set,
}
