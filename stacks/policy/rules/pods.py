"""A tenant's pods cannot leave their sandbox (Kubernetes' Pod Security Standards)."""

from collections.abc import Iterator

from stacks.policy.model import Planned, Violation, rule
from stacks.reading import at, containers, many, pod_spec

#: Plugins of the node itself need its devices; they run in no tenant's namespace.
_SYSTEM_NAMESPACES = ("kube-system", "nvidia-device-plugin")


@rule("no-privileged-pods", "deny")
def no_privileged_pods(plan: Planned) -> Iterator[Violation]:
    """No pod is privileged, shares the host's namespaces, or mounts the host's files, but for node plugins in
    `kube-system` and `nvidia-device-plugin`."""
    for resource in plan.wanted("kubernetes:"):
        inputs = resource.after or {}
        spec = pod_spec(inputs)
        if not spec or at(inputs, "metadata", "namespace") in _SYSTEM_NAMESPACES:
            continue
        for name in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(name) is True:
                yield Violation(resource, f"shares the host's namespace (`{name}`)")
        for volume in many(spec.get("volumes")):
            if at(volume, "hostPath") is not None:
                yield Violation(resource, f"mounts {at(volume, 'hostPath', 'path')} of the host")
        for container in containers(inputs):
            security = container.get("securityContext")
            if at(security, "privileged") is True or at(security, "allowPrivilegeEscalation") is True:
                yield Violation(resource, f"container {container.get('name')} may become privileged")
