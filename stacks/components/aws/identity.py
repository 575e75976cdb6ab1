"""What a pod may do in AWS: a role for one ServiceAccount (EKS Pod Identity), with just what it needs."""

import pulumi
import pulumi_aws as aws

from stacks.components.aws.cluster import AwsCluster
from stacks.components.aws.role import ASSUME_AND_TAG, service_role
from stacks.components.aws.site import AwsSite


class PodIdentity(pulumi.ComponentResource):
    """`policy` is a document of ours, `managed_policy` the ARN of one of AWS's; at least one is given."""

    association: pulumi.Resource

    def __init__(
        self,
        name: str,
        site: AwsSite,
        cluster: AwsCluster,
        *,
        namespace: str,
        account: str,
        policy: pulumi.Input[str] | None = None,
        managed_policy: str | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:aws:PodIdentity", name, None, opts)
        role = service_role(
            f"{name}-role", site, self, part=name, service="pods.eks.amazonaws.com", actions=ASSUME_AND_TAG
        )
        granted: list[pulumi.Resource] = []
        if managed_policy is not None:
            granted.append(
                aws.iam.RolePolicyAttachment(
                    f"{name}-managed", role=role.name, policy_arn=managed_policy, opts=site.options(self)
                )
            )
        if policy is not None:
            granted.append(
                aws.iam.RolePolicy(
                    f"{name}-policy", name="access", role=role.name, policy=policy, opts=site.options(self)
                )
            )
        self.association = aws.eks.PodIdentityAssociation(
            f"{name}-association",
            cluster_name=cluster.name,
            namespace=namespace,
            service_account=account,
            role_arn=role.arn,
            tags=site.tags(site.name(name)),
            opts=site.options(self, granted),
        )
        self.register_outputs({})
