"""The tenant's bucket for snapshots: versioned, encrypted with the tenant's key, closed to everybody else."""

import pulumi
import pulumi_aws as aws

from stacks.components.aws.site import AwsSite, document

#: Days after which an overwritten or deleted copy goes.
OLD_VERSION_DAYS = 30


class AwsBucket(pulumi.ComponentResource):
    """`name` is known before the bucket is made; `ready` when all that closes it is in place."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
    ready: list[pulumi.Resource]

    def __init__(
        self,
        name: str,
        site: AwsSite,
        *,
        key_arn: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("freehold:aws:Bucket", name, None, opts)
        # Names are everybody's: the account's number makes it ours.
        physical = site.name("snapshots", site.place.account_id)
        bucket = aws.s3.Bucket(
            name,
            bucket=physical,
            # The last snapshots go with the tenant, and only then.
            force_destroy=site.teardown,
            tags=site.tags(physical),
            opts=site.options(self),
        )
        self.name, self.arn = bucket.bucket, bucket.arn
        closed = aws.s3.BucketPublicAccessBlock(
            f"{name}-closed",
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=site.options(self),
        )
        owned = aws.s3.BucketOwnershipControls(
            f"{name}-owner",
            bucket=bucket.bucket,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=site.options(self),
        )
        encrypted = aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.bucket,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": key_arn,
                    },
                    "bucket_key_enabled": True,
                }
            ],
            opts=site.options(self),
        )
        versioned = aws.s3.BucketVersioning(
            f"{name}-versions",
            bucket=bucket.bucket,
            versioning_configuration={"status": "Enabled"},
            opts=site.options(self),
        )
        aws.s3.BucketLifecycleConfiguration(
            f"{name}-lifecycle",
            bucket=bucket.bucket,
            rules=[
                {
                    "id": "old-versions",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrent_version_expiration": {"noncurrent_days": OLD_VERSION_DAYS},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 7},
                }
            ],
            opts=site.options(self, [versioned]),
        )
        policy = aws.s3.BucketPolicy(
            f"{name}-policy",
            bucket=bucket.bucket,
            policy=bucket.arn.apply(_only_tls),
            opts=site.options(self, [closed]),
        )
        self.ready = [closed, owned, encrypted, versioned, policy]
        self.register_outputs({"name": self.name})


def _only_tls(arn: str) -> str:
    return document(
        {
            "Sid": "OnlyTls",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    )
