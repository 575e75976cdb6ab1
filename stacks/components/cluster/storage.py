"""The class of the tenant's volumes in a cluster of its own on AWS: encrypted with the tenant's key, tagged as its."""

import pulumi
import pulumi_kubernetes as k8s

from stacks.components.cluster.site import ClusterSite


class TenantVolumes(pulumi.ComponentResource):
    """`ready` is the StorageClass: whoever asks for a volume waits for it."""

    ready: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        site: ClusterSite,
        *,
        key_arn: pulumi.Output[str],
        tags: dict[str, str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:cluster:TenantVolumes", name, None, opts)
        marks = {f"tagSpecification_{n}": f"{key}={value}" for n, (key, value) in enumerate(tags.items(), 1)}
        self.ready = [
            k8s.storage.v1.StorageClass(
                f"{name}-class",
                metadata={"name": site.settings.storage_class, "labels": site.labels(name)},
                provisioner="ebs.csi.aws.com",
                parameters={"type": "gp3", "encrypted": "true", "kmsKeyId": key_arn, **marks},
                # Where the pod runs is decided first: a volume lives in one zone.
                volume_binding_mode="WaitForFirstConsumer",
                reclaim_policy="Delete",
                allow_volume_expansion=True,
                opts=site.options(self),
            )
        ]
        self.register_outputs({})
