"""What a tenant has otherwise than its plan and its target say: sizes, and an AWS account and network of its own.

Every wrong field is named by a pointer into the request (ValidationFailed).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, Field, ValidationError, field_validator

from contracts.base import Contract
from contracts.gpus import GPUS_OF_INSTANCE
from controlplane.core.errors import FieldProblem, ValidationFailed
from controlplane.tenants.plans import Plan, Sizes
from controlplane.tenants.targets import AWS, VECTOR_STORES, aws_target
from controlplane.tenants.targets_file import (
    LARGEST_NETWORK,
    PRIVATE,
    SMALLEST_NETWORK,
    ZONES,
    RoleArn,
    network_read,
)

M = TypeVar("M", bound=BaseModel)

#: What AWS calls its database and cache machines.
_DATABASE_CLASS: Final = re.compile(r"db\.[a-z0-9-]+\.[a-z0-9]+")
_CACHE_CLASS: Final = re.compile(r"cache\.[a-z0-9-]+\.[a-z0-9]+")
#: Where its stack is: changed, everything in it would be made anew and lose its data.
_FOR_LIFE: Final = ("account_id", "vpc_cidr", "zones")


class AwsOverrides(Contract):
    """`overrides.aws`. With `role_arn` the stack lives in the customer's own account."""

    account_id: Annotated[str | None, Field(pattern=r"^\d{12}$")] = None
    role_arn: RoleArn | None = None
    external_id: Annotated[
        str | None, Field(min_length=2, max_length=1224, pattern=r"^[A-Za-z0-9_+=,.@:/-]+$")
    ] = None
    vpc_cidr: str | None = None
    zones: list[str] | None = None
    transit_gateway_id: Annotated[str | None, Field(pattern=r"^tgw-[0-9a-f]{8,17}$")] = None
    certificate_arn: Annotated[str | None, Field(pattern=r"^arn:aws[a-z-]*:acm:")] = None

    @field_validator("vpc_cidr")
    @classmethod
    def _network(cls, value: str | None) -> str | None:
        if value is not None:
            network = network_read(value)
            if not any(network.subnet_of(private) for private in PRIVATE):
                raise ValueError("wanted a network within " + ", ".join(map(str, PRIVATE)))
            if not LARGEST_NETWORK <= network.prefixlen <= SMALLEST_NETWORK:
                raise ValueError(f"wanted a network from /{LARGEST_NETWORK} to /{SMALLEST_NETWORK}")
        return value


def overrides_check(*, plan: Plan, overrides: Mapping[str, Any], target: str, region: str) -> None:
    """Raises ValidationFailed naming every field that does not fit the plan, the target or AWS."""
    sizes = sizes_merge(plan, overrides, target=target)
    aws = aws_overrides(overrides, target=target)
    problems = list(_size_problems(sizes, target, region))
    if target == AWS:
        problems += _aws_problems(aws, region)
    _refuse(problems)


def sizes_merge(plan: Plan, overrides: Mapping[str, Any], *, target: str) -> Sizes:
    """The plan's sizes with a tenant's overrides on top. Raises ValidationFailed naming each wrong field."""
    merged: dict[str, Any] = plan.sizes.model_dump()
    known = [*sorted(merged), *([AWS] if target == AWS else [])]
    for part, values in overrides.items():
        if part not in known or not isinstance(values, dict):
            raise ValidationFailed.of(
                f"/overrides/{part}", f"must be an object under one of {', '.join(known)}"
            )
        if part in merged:
            merged[part] = {**merged[part], **values}
    return _validated(Sizes, merged, "/overrides")


def aws_overrides(overrides: Mapping[str, Any], *, target: str) -> AwsOverrides:
    """Empty for other targets. Raises ValidationFailed naming each wrong field."""
    return _validated(AwsOverrides, overrides.get(AWS, {}) if target == AWS else {}, "/overrides/aws")


def place_keep(*, before: Mapping[str, Any], after: Mapping[str, Any], target: str) -> None:
    """Raises ValidationFailed for a change of what places the stack: it is for the tenant's life."""
    was, wanted = aws_overrides(before, target=target), aws_overrides(after, target=target)
    _refuse(
        {
            "pointer": f"/overrides/aws/{name}",
            "detail": "cannot be changed: the stack would be made anew, without its data; make another tenant",
        }
        for name in _FOR_LIFE
        if getattr(was, name) != getattr(wanted, name)
    )


def _size_problems(sizes: Sizes, target: str, region: str) -> Iterator[FieldProblem]:
    gpu, kind = sizes.gpu, sizes.vector_store.kind
    if not _DATABASE_CLASS.fullmatch(sizes.postgres.instance_class):
        yield _problem("postgres/instance_class", "must be an RDS instance class, such as db.m7g.large")
    if not _CACHE_CLASS.fullmatch(sizes.cache.node_type):
        yield _problem("cache/node_type", "must be an ElastiCache node type, such as cache.m7g.large")
    if kind is not None and kind not in VECTOR_STORES.get(target, (kind,)):
        can = ", ".join(VECTOR_STORES[target])
        yield _problem("vector_store/kind", f"cannot be {kind}: the target {target} runs {can}")
    if gpu.instance_type not in GPUS_OF_INSTANCE:
        yield _problem("gpu/instance_type", f"must be one of {', '.join(GPUS_OF_INSTANCE)}")
    elif target == AWS:
        yield from _gpu_problems(sizes, region)


def _gpu_problems(sizes: Sizes, region: str) -> Iterator[FieldProblem]:
    """In AWS, GPUs come as whole machines that the region has."""
    gpu = sizes.gpu
    each = GPUS_OF_INSTANCE[gpu.instance_type]
    if gpu.count % each:
        yield _problem(
            "gpu/count", f"{gpu.count} is no multiple of {each}, the GPUs of one {gpu.instance_type}"
        )
    here = aws_target().regions.get(region)
    offered = here.offered_instance_types if here else None
    if gpu.count and offered is not None and gpu.instance_type not in offered:
        yield _problem("gpu/instance_type", f"{region} does not offer {gpu.instance_type} in its three zones")
    if gpu.capacity == "capacity_block" and gpu.capacity_reservation_id is None:
        yield _problem("gpu/capacity_reservation_id", "is wanted for a capacity block: it names the block")
    if gpu.capacity == "spot" and gpu.capacity_reservation_id is not None:
        yield _problem("gpu/capacity", "spot machines are taken from no reservation")


def _aws_problems(own: AwsOverrides, region: str) -> Iterator[FieldProblem]:
    home = aws_target().account_id
    account = own.account_id or home
    if own.role_arn is None and account != home:
        yield _problem("aws/role_arn", f"is wanted: the account {account} is reached by a role in it")
    if own.role_arn is not None and own.role_arn.split(":")[4] != account:
        yield _problem("aws/role_arn", f"is of the account {own.role_arn.split(':')[4]}, not of {account}")
    if own.role_arn is not None and own.external_id is None:
        yield _problem("aws/external_id", "is wanted with role_arn: without it others could use the role")
    if own.role_arn is None and own.external_id is not None:
        yield _problem("aws/external_id", "is of no use without role_arn")
    for text in aws_target().cluster.control_plane_cidrs:
        if own.vpc_cidr is not None and network_read(own.vpc_cidr).overlaps(network_read(text)):
            yield _problem(
                "aws/vpc_cidr", f"overlaps {text}, where the control plane is: no route could tell"
            )
    if own.zones is not None:
        fits = len(set(own.zones)) == len(own.zones) == ZONES
        if not fits or not all(re.fullmatch(rf"{re.escape(region)}[a-z]", zone) for zone in own.zones):
            yield _problem("aws/zones", f"must be {ZONES} different availability zones of {region}")


def _problem(place: str, detail: str) -> FieldProblem:
    return {"pointer": f"/overrides/{place}", "detail": detail}


def _refuse(problems: Iterable[FieldProblem]) -> None:
    found = list(problems)
    if found:
        raise ValidationFailed("; ".join(f"{p['pointer']}: {p['detail']}" for p in found), errors=found)


def _validated(model: type[M], values: Any, base: str) -> M:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems: list[FieldProblem] = [
            {
                "pointer": "/".join([base, *map(str, each["loc"])]),
                "detail": each["msg"].removeprefix("Value error, "),
            }
            for each in error.errors()
        ]
        raise ValidationFailed(
            "; ".join(f"{p['pointer']}: {p['detail']}" for p in problems), errors=problems
        ) from error
