"""Nothing of a tenant is reachable from the open internet."""

from collections.abc import Iterator
from typing import Any

from contracts.planned import PlannedResource
from stacks.policy.model import Planned, Violation, rule
from stacks.reading import at, is_unknown, many

_ANYWHERE = ("0.0.0.0/0", "::/0")

#: Type -> (input, the value that makes it public, what that means).
_SWITCHES: dict[str, tuple[str, Any, str]] = {
    "aws:rds/instance:Instance": ("publiclyAccessible", True, "the database has a public address"),
    "aws:ec2/subnet:Subnet": ("mapPublicIpOnLaunch", True, "machines in the subnet get public addresses"),
    "aws:ec2/instance:Instance": ("associatePublicIpAddress", True, "the machine has a public address"),
    "aws:lb/loadBalancer:LoadBalancer": ("internal", False, "the load balancer faces the internet"),
    "aws:alb/loadBalancer:LoadBalancer": ("internal", False, "the load balancer faces the internet"),
}
#: What must be said for the private choice, since the default is the public one.
_PUBLIC_UNLESS_SAID = ("aws:lb/loadBalancer:LoadBalancer", "aws:alb/loadBalancer:LoadBalancer")
_INTERNAL = (
    "service.beta.kubernetes.io/aws-load-balancer-internal",
    "service.beta.kubernetes.io/aws-load-balancer-scheme",
    "networking.gke.io/load-balancer-type",
    "service.beta.kubernetes.io/azure-load-balancer-internal",
)


@rule("no-public-ingress", "deny")
def no_public_ingress(plan: Planned) -> Iterator[Violation]:
    """No security group, subnet, load balancer, database, cluster endpoint or Service lets the internet in."""
    for resource in plan.wanted():
        for message in _open(resource):
            yield Violation(resource, message)


def _open(resource: PlannedResource) -> Iterator[str]:
    inputs = resource.after or {}
    if resource.type in _SWITCHES:
        name, public, message = _SWITCHES[resource.type]
        value = inputs.get(name)
        if value == public or (value is None and resource.type in _PUBLIC_UNLESS_SAID):
            yield f"{message} (`{name}`)"
    match resource.type:
        case "aws:ec2/securityGroup:SecurityGroup":
            for each in many(inputs.get("ingress")):
                yield from _sources(each)
        case "aws:ec2/securityGroupRule:SecurityGroupRule":
            if inputs.get("type") == "ingress":
                yield from _sources(inputs)
        case "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule":
            for name in ("cidrIpv4", "cidrIpv6"):
                if inputs.get(name) in _ANYWHERE:
                    yield f"lets {inputs[name]} in (`{name}`)"
        case "aws:eks/cluster:Cluster":
            # AWS opens the endpoint to everybody unless told otherwise.
            if at(inputs, "vpcConfig", "endpointPublicAccess") in (True, None):
                yield "the API server has a public endpoint (`vpcConfig.endpointPublicAccess`)"
        case "kubernetes:core/v1:Service":
            yield from _service(inputs)
        case "kubernetes:networking.k8s.io/v1:Ingress":
            yield "an Ingress publishes the tenant: its runtime is reached through the control plane's own door"


def _sources(given: Any) -> Iterator[str]:
    for name in ("cidrBlocks", "ipv6CidrBlocks"):
        for source in many(at(given, name)):
            if source in _ANYWHERE:
                ports = f"{at(given, 'fromPort')}-{at(given, 'toPort')}"
                yield f"lets {source} in on ports {ports} (`{name}`)"


def _service(inputs: dict[str, Any]) -> Iterator[str]:
    kind = at(inputs, "spec", "type")
    annotations = at(inputs, "metadata", "annotations")
    if kind == "NodePort":
        yield "a NodePort opens a port on every node (`spec.type`)"
    if kind == "LoadBalancer" and not is_unknown(annotations):
        said = [at(annotations, name) for name in _INTERNAL]
        if not any(str(value).lower() in ("true", "internal") for value in said):
            yield "a public load balancer (`spec.type`; annotate it as internal, or use ClusterIP)"
