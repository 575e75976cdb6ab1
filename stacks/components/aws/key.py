"""The tenant's KMS key: everything of the tenant that is stored is encrypted with it, and with it alone."""

import pulumi
import pulumi_aws as aws

from stacks.components.aws.site import AwsSite, document

#: Days between the key's deletion and its end: the longest time that AWS gives to think again.
DELETION_DAYS = 30


class AwsKey(pulumi.ComponentResource):
    arn: pulumi.Output[str]

    def __init__(self, name: str, site: AwsSite, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("freehold:aws:Key", name, None, opts)
        key = aws.kms.Key(
            name,
            description=f"Data of the tenant {site.slug}",
            enable_key_rotation=True,
            deletion_window_in_days=DELETION_DAYS,
            policy=_policy(site),
            tags=site.tags(site.name()),
            opts=site.options(self),
        )
        aws.kms.Alias(
            f"{name}-alias",
            name=f"alias/{site.name()}",
            target_key_id=key.key_id,
            opts=site.options(self),
        )
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})


def _policy(site: AwsSite) -> str:
    """The account's own IAM decides, and two services that act without a role of ours may use the key: CloudWatch
    Logs for this tenant's groups alone, and Auto Scaling for the encrypted disks of the machines it starts."""
    logs = f"{site.arn('logs', 'log-group:')}*"
    scaling = site.arn(
        "iam",
        "role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
        regional=False,
    )
    use = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"]
    return document(
        {
            "Sid": "Account",
            "Effect": "Allow",
            "Principal": {"AWS": site.arn("iam", "root", regional=False)},
            "Action": "kms:*",
            "Resource": "*",
        },
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Principal": {"Service": f"logs.{site.region}.{site.domain}"},
            "Action": use,
            "Resource": "*",
            "Condition": {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": logs}},
        },
        {
            "Sid": "AutoScaling",
            "Effect": "Allow",
            "Principal": {"AWS": scaling},
            "Action": use,
            "Resource": "*",
        },
        {
            "Sid": "AutoScalingGrants",
            "Effect": "Allow",
            "Principal": {"AWS": scaling},
            "Action": "kms:CreateGrant",
            "Resource": "*",
            "Condition": {"Bool": {"kms:GrantIsForAWSResource": True}},
        },
    )
