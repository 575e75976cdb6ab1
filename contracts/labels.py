"""Labels of tenants that mean something to Freehold itself."""

from collections.abc import Mapping

#: The label by which a tenant is one of production.
PRODUCTION_LABEL = ("environment", "production")


def is_production(labels: Mapping[str, str]) -> bool:
    name, value = PRODUCTION_LABEL
    return labels.get(name) == value
