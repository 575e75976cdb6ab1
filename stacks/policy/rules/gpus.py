"""A stack holds no more GPUs than the tenant's plan pays for."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from contracts.gpus import GPUS_OF_INSTANCE
from contracts.planned import PlannedResource
from stacks.policy.model import Planned, Violation, rule
from stacks.reading import at, is_unknown, many, pod_spec

#: Families that hold accelerators: one that is not in the table is not taken for one without.
_ACCELERATED = re.compile(r"(g|gr|p)\d")


@rule("gpus-within-plan", "deny")
def gpus_within_plan(plan: Planned) -> Iterator[Violation]:
    """The GPUs of node groups, of workloads and of this machine's allocations do not exceed the plan's count."""
    limit = plan.spec.gpu.count
    templates = {
        str(at(each.after, "name")): at(each.after, "instanceType")
        for each in plan.wanted("aws:ec2/launchTemplate:LaunchTemplate")
    }
    sums: dict[str, int] = {"nodes": 0, "pods": 0, "machine": 0}
    last: dict[str, PlannedResource] = {}
    for resource in plan.wanted():
        kind, count = _held(resource, templates)
        if kind is None:
            continue
        if count is None:
            yield Violation(resource, "how many GPUs it holds cannot be told", undecided=True)
            continue
        if count:
            sums[kind] += count
            last[kind] = resource
    for kind, count in sums.items():
        if count > limit:
            yield Violation(
                last[kind], f"{count} GPUs in all ({kind}), the plan {plan.spec.plan} has {limit}"
            )


def _held(resource: PlannedResource, templates: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """(where, how many); no `where` for what holds none by its nature, no number where it cannot be told."""
    inputs: dict[str, Any] = resource.after or {}
    if resource.type == "local:index:GpuAllocation":
        return "machine", _number(inputs.get("count"))
    if resource.type == "aws:eks/nodeGroup:NodeGroup":
        return "nodes", _node_group(inputs, templates)
    if resource.type.startswith("kubernetes:") and pod_spec(inputs):
        return "pods", _pods(inputs)
    return None, 0


def _node_group(inputs: dict[str, Any], templates: Mapping[str, Any]) -> int | None:
    # The most it may grow to: what can be held is what must be paid for.
    nodes = _number(at(inputs, "scalingConfig", "maxSize"))
    kinds = many(inputs.get("instanceTypes"))
    template = at(inputs, "launchTemplate", "name")
    if not kinds and at(inputs, "launchTemplate") is not None:
        # A capacity block's machine type stands in its template alone.
        kinds = many(templates.get(str(template)))
        if not kinds:
            return None
    each = []
    for instance in map(str, kinds):
        if instance in GPUS_OF_INSTANCE:
            each.append(GPUS_OF_INSTANCE[instance])
        elif _ACCELERATED.match(instance) or is_unknown(instance):
            return None
        else:
            each.append(0)
    return None if nodes is None else nodes * max(each, default=0)


def _pods(inputs: dict[str, Any]) -> int | None:
    total = 0
    for container in many(pod_spec(inputs).get("containers")):
        wanted = at(container, "resources", "limits", "nvidia.com/gpu")
        number = _number(wanted if wanted is not None else 0)
        if number is None:
            return None
        total += number
    # One that takes no number of replicas (a Pod, a DaemonSet's pods that take no GPU) stands once.
    replicas = _number(at(inputs, "spec", "replicas") if at(inputs, "spec", "replicas") is not None else 1)
    return None if replicas is None else total * replicas


def _number(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
