"""What of a planned resource is paid for, by type: one module a provider, one table of all."""

from collections.abc import Mapping

from stacks.pricing.estimators import aws, kubernetes, local
from stacks.pricing.estimators.quantities import Estimator

ESTIMATORS: Mapping[str, Estimator] = {**local.ESTIMATORS, **aws.ESTIMATORS, **kubernetes.ESTIMATORS}
