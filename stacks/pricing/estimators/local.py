"""What a share of this machine costs."""

from decimal import Decimal

from stacks.pricing.estimators.quantities import GB, Estimator, Inputs, Quantity, alone, number_at
from stacks.reading import at

#: Memory of one connection's backend, beside the shared buffers: work_mem and the process itself.
_CONNECTION_MB = Decimal(5)
_WORKER_MB = Decimal(256)


def _memory(megabytes: Decimal) -> Quantity:
    return Quantity("local:memory", megabytes / GB, "GB-month")


def _local_postgres(inputs: Inputs) -> list[Quantity]:
    return [
        _memory(
            number_at(inputs, "shared_buffers_mb") + _CONNECTION_MB * number_at(inputs, "max_connections")
        )
    ]


def _local_redis(inputs: Inputs) -> list[Quantity]:
    return [_memory(number_at(inputs, "max_memory_mb"))]


def _local_gpus(inputs: Inputs) -> list[Quantity]:
    return [Quantity("local:gpu", number_at(inputs, "count"), "GPU-month")]


def _local_runtime(inputs: Inputs) -> list[Quantity]:
    if at(inputs, "suspended") is True:
        return [_memory(Decimal(0))]
    return [_memory(_WORKER_MB * number_at(inputs, "workers", default=1))]


ESTIMATORS: dict[str, Estimator] = {
    "local:index:PostgresServer": alone(_local_postgres),
    "local:index:RedisServer": alone(_local_redis),
    "local:index:GpuAllocation": alone(_local_gpus),
    "local:index:RuntimeProcess": alone(_local_runtime),
}
