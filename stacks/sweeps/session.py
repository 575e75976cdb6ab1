"""A boto3 session in the account where a tenant's stack lives, entered as the provider enters it."""

from typing import Any

import boto3
from botocore.config import Config

from contracts.stack import StackSpec
from stacks.errors import InputInvalid

#: Every call ends: a hanging endpoint must not hold a worker.
LIMITS = Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 5, "mode": "standard"})


def account_session(spec: StackSpec) -> boto3.Session:
    """InputInvalid when the spec has no AWS placement. Credentials are the process's own, or, bring your own cloud,
    those of the customer's role for an hour."""
    place = spec.aws
    if place is None:
        raise InputInvalid(f"the spec of {spec.slug} has no `aws` placement")
    own = boto3.Session(region_name=spec.region)
    if place.role_arn is None:
        return own
    asked: dict[str, Any] = {
        "RoleArn": place.role_arn,
        "RoleSessionName": f"freehold-{spec.slug}"[:64],
    }
    if place.external_id is not None:
        asked["ExternalId"] = place.external_id
    given = own.client("sts", config=LIMITS).assume_role(**asked)["Credentials"]
    return boto3.Session(
        aws_access_key_id=given["AccessKeyId"],
        aws_secret_access_key=given["SecretAccessKey"],
        aws_session_token=given["SessionToken"],
        region_name=spec.region,
    )
