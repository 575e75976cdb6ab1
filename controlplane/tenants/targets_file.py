"""The installation's targets file: the clusters and accounts that tenants may be placed in (FREEHOLD_TARGETS_FILE).

Read when the process starts, by controlplane/config/settings.py, so it knows no Django. What is wrong with it is
named by field: what was found and what is wanted. Nothing in the file is a secret.
"""

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from contracts.base import Contract
from contracts.placement import AWS_ADDONS, ClusterSettings

#: Targets of which the file must say where they are; `local` needs nothing said.
DESCRIBED: Final = ("kubernetes", "aws")
#: RFC 1918: what AWS recommends for a VPC, and what no public address can be hidden by.
PRIVATE: Final = tuple(map(ipaddress.IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
ZONES: Final = 3
#: Sizes of a tenant's network that hold three zones' subnets and their pods.
LARGEST_NETWORK, SMALLEST_NETWORK = 16, 20

RegionName = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[a-z]+)+-\d$")]
RoleArn = Annotated[str, Field(pattern=r"^arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9_+=,.@/-]+$")]
VariableName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$")]


class KubernetesTarget(Contract):
    """One existing cluster for tenants."""

    kubeconfig: str
    context: str | None = None
    region: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")] = "cluster"
    """What its tenants' `region` says."""
    environment: list[VariableName] = []
    """Names of the worker's variables that the kubeconfig's own login command needs; nothing else is handed on."""
    cluster: ClusterSettings

    @field_validator("kubeconfig")
    @classmethod
    def _readable(cls, value: str) -> str:
        if not Path(value).is_absolute() or not Path(value).is_file():
            raise ValueError("wanted the absolute path of a kubeconfig file that is there")
        return value


class AwsRegion(Contract):
    """`vpc_pool` is cut into networks of /`vpc_prefix`, one a tenant."""

    zones: list[str]
    vpc_pool: str
    vpc_prefix: Annotated[int, Field(ge=LARGEST_NETWORK, le=SMALLEST_NETWORK)] = 16
    transit_gateway_id: Annotated[str | None, Field(pattern=r"^tgw-[0-9a-f]{8,17}$")] = None
    certificate_arn: Annotated[str | None, Field(pattern=r"^arn:aws[a-z-]*:acm:")] = None
    offered_instance_types: list[str] | None = None
    """What all three zones offer; None: not looked up, AWS itself refuses."""
    gpu_vcpu_quota: Annotated[int | None, Field(ge=0)] = None
    """The account's quota of running on-demand machines with GPUs, in vCPUs; None: not looked up."""

    @field_validator("zones")
    @classmethod
    def _three(cls, value: list[str]) -> list[str]:
        if len(value) != ZONES or len(set(value)) != ZONES:
            raise ValueError(f"wanted {ZONES} different availability zones")
        return value

    @field_validator("vpc_pool")
    @classmethod
    def _private(cls, value: str) -> str:
        network = network_read(value)
        if not any(network.subnet_of(private) for private in PRIVATE):
            raise ValueError("wanted a network within " + ", ".join(map(str, PRIVATE)))
        return value

    @model_validator(mode="after")
    def _holds_a_network(self) -> Self:
        if self.pool.prefixlen > self.vpc_prefix:
            raise ValueError(f"vpc_pool {self.vpc_pool} holds no /{self.vpc_prefix} network")
        return self

    @property
    def pool(self) -> ipaddress.IPv4Network:
        return ipaddress.IPv4Network(self.vpc_pool)


class AwsTarget(Contract):
    """The operator's own account. A tenant in its customer's account takes the rest of this, too."""

    account_id: Annotated[str, Field(pattern=r"^\d{12}$")]
    administrators: Annotated[list[RoleArn], Field(min_length=1)]
    kubernetes_version: Annotated[str, Field(pattern=r"^1\.\d{2}$")]
    addons: dict[str, str]
    cost_center: Annotated[str, Field(min_length=1, max_length=256)]
    system_instance_type: str = "m7i.large"
    cluster: ClusterSettings
    regions: Annotated[dict[RegionName, AwsRegion], Field(min_length=1)]

    @field_validator("addons")
    @classmethod
    def _all_named(cls, value: dict[str, str]) -> dict[str, str]:
        if missing := [name for name in AWS_ADDONS if not value.get(name)]:
            raise ValueError(f"wanted a version for {', '.join(missing)}, too")
        return value

    @model_validator(mode="after")
    def _regions_fit(self) -> Self:
        pools: list[tuple[str, ipaddress.IPv4Network]] = []
        for name, region in self.regions.items():
            strange = [zone for zone in region.zones if not zone.startswith(name)]
            if strange:
                raise ValueError(f"regions.{name}.zones: {', '.join(strange)} is not of the region {name}")
            for other, pool in pools:
                # The control plane reaches tenants of all regions by their private addresses.
                if pool.overlaps(region.pool):
                    raise ValueError(f"regions.{name}.vpc_pool overlaps that of {other}")
            pools.append((name, region.pool))
            for text in self.cluster.control_plane_cidrs:
                if network_read(text).overlaps(region.pool):
                    raise ValueError(f"regions.{name}.vpc_pool overlaps {text}, where the control plane is")
        return self


class TargetsFile(Contract):
    kubernetes: KubernetesTarget | None = None
    aws: AwsTarget | None = None


def network_read(value: str) -> ipaddress.IPv4Network:
    """Raises ValueError that says what is wanted."""
    try:
        return ipaddress.IPv4Network(value)
    except ValueError as error:
        raise ValueError(
            "wanted an IPv4 network in CIDR notation without host bits, such as 10.64.0.0/16"
        ) from error


def targets_file_read(path: Path | None) -> TargetsFile:
    """Without a path: an empty one. Raises ValueError naming the file and each wrong field."""
    if path is None:
        return TargetsFile()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror}); wanted a readable TOML file") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: {error}; wanted a TOML file") from error
    try:
        return TargetsFile.model_validate(document)
    except ValidationError as error:
        raise ValueError("; ".join(f"{path}: {problem}" for problem in _problems(error, document))) from error


def targets_problems(targets: list[str], file: TargetsFile) -> list[str]:
    """What is wrong with the targets that an installation offers: names that no target has, and targets of which the
    file does not say where they are."""
    known = ("local", *DESCRIBED)
    strange = [f"found {name!r}; wanted some of {', '.join(known)}" for name in targets if name not in known]
    return strange + [
        f"found {name!r}; wanted a section [{name}] for it in the file that FREEHOLD_TARGETS_FILE names"
        for name in targets
        if name in DESCRIBED and getattr(file, name) is None
    ]


def _problems(error: ValidationError, document: dict[str, Any]) -> list[str]:
    return [
        f"{'.'.join(map(str, each['loc']))}: {_found(each['loc'], document)}{each['msg'].removeprefix('Value error, ')}"
        for each in error.errors()
    ]


def _found(place: tuple[int | str, ...], document: Any) -> str:
    """What the file has there, when it is a plain value; nothing for a section or for what is not there."""
    for step in place:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return ""
    return "" if isinstance(document, dict) else f"found {document!r}; "
