"""Buckets and what is said about them."""

import re
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

from tests.support.providers.aws.account import Account, Values
from tests.support.providers.aws.handler import (
    Handler,
    arguments,
    camel,
    found,
    pairs,
    pascal,
    policy_document,
    shown,
    unpaired,
)
from tests.support.providers.serving import Refused

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Bucket(Handler):
    TYPE = "aws:s3/bucket:Bucket"
    TAGGED = True
    REQUIRED = frozenset({"bucket"})
    OPTIONAL = frozenset({"forceDestroy", "objectLockEnabled"})
    REPLACES = frozenset({"bucket", "objectLockEnabled"})
    COMPUTED = frozenset(
        {"arn", "bucketDomainName", "bucketRegionalDomainName", "hostedZoneId", "bucketRegion"}
    )
    NAME = "bucket"

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        name = inputs.get("bucket", "abc")
        if not _NAME.fullmatch(name):
            yield "bucket", f"{name}: 3 to 63 lower-case letters, digits, dots and hyphens"

    def create(self, aws: Account, inputs: Values) -> str:
        s3 = aws.client("s3")
        name: str = inputs["bucket"]
        where = {} if aws.region == "us-east-1" else {"LocationConstraint": aws.region}
        given = {"CreateBucketConfiguration": where} if where else {}
        s3.create_bucket(
            Bucket=name, **given, **arguments(inputs, {"objectLockEnabled": "ObjectLockEnabledForBucket"})
        )
        # moto drops the tags of the creation.
        self.tag(aws, name, {}, inputs["tagsAll"], [])
        return name

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        s3 = aws.client("s3")
        if found(lambda: s3.get_bucket_location(Bucket=identifier)) is None:
            return None
        tags = found(lambda: s3.get_bucket_tagging(Bucket=identifier))
        return {
            "bucket": identifier,
            "arn": f"arn:aws:s3:::{identifier}",
            "bucketRegion": aws.region,
            "hostedZoneId": "Z21DNDUVLTQW6Q",
            "bucketDomainName": f"{identifier}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{identifier}.s3.{aws.region}.amazonaws.com",
            "tagsAll": unpaired((tags or {}).get("TagSet")),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        """Only `forceDestroy`, which AWS does not know."""

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        s3 = aws.client("s3")
        if found(lambda: s3.get_bucket_location(Bucket=identifier)) is None:
            return
        listed = s3.list_object_versions(Bucket=identifier)
        held = listed.get("Versions", []) + listed.get("DeleteMarkers", [])
        if held and not state.get("forceDestroy"):
            raise Refused(f"BucketNotEmpty: the bucket {identifier} holds {len(held)} objects or versions")
        for each in held:
            s3.delete_object(Bucket=identifier, Key=each["Key"], VersionId=each["VersionId"])
        s3.delete_bucket(Bucket=identifier)

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        s3 = aws.client("s3")
        if put:
            s3.put_bucket_tagging(Bucket=identifier, Tagging={"TagSet": pairs(put)})
        else:
            s3.delete_bucket_tagging(Bucket=identifier)


class BucketPart(Handler):
    """Something said about a bucket; its id is the bucket's name."""

    REPLACES = frozenset({"bucket"})
    NAME = "bucket"

    @abstractmethod
    def put(self, s3: Any, bucket: str, inputs: Values) -> None: ...

    @abstractmethod
    def said(self, s3: Any, bucket: str) -> Values | None: ...

    @abstractmethod
    def take_back(self, s3: Any, bucket: str) -> None: ...

    def create(self, aws: Account, inputs: Values) -> str:
        self.put(aws.client("s3"), inputs["bucket"], inputs)
        return str(inputs["bucket"])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        said = found(lambda: self.said(aws.client("s3"), identifier))
        return None if said is None else {"bucket": identifier, **said}

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        self.put(aws.client("s3"), identifier, inputs)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        found(lambda: self.take_back(aws.client("s3"), identifier))


class BucketVersioning(BucketPart):
    TYPE = "aws:s3/bucketVersioning:BucketVersioning"
    REQUIRED = frozenset({"bucket", "versioningConfiguration"})

    def put(self, s3: Any, bucket: str, inputs: Values) -> None:
        status = inputs["versioningConfiguration"]["status"]
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status})

    def said(self, s3: Any, bucket: str) -> Values | None:
        status = s3.get_bucket_versioning(Bucket=bucket).get("Status")
        return {"versioningConfiguration": {"status": status}} if status else None

    def take_back(self, s3: Any, bucket: str) -> None:
        # Once on it can only be suspended.
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Suspended"})


class BucketEncryption(BucketPart):
    TYPE = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    REQUIRED = frozenset({"bucket", "rules"})

    def put(self, s3: Any, bucket: str, inputs: Values) -> None:
        rules = []
        for rule in inputs["rules"]:
            how = rule.get("applyServerSideEncryptionByDefault") or {}
            default = arguments(how, {"sseAlgorithm": "SSEAlgorithm", "kmsMasterKeyId": "KMSMasterKeyID"})
            rules.append(
                {
                    "ApplyServerSideEncryptionByDefault": default,
                    "BucketKeyEnabled": bool(rule.get("bucketKeyEnabled")),
                }
            )
        s3.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules})

    def said(self, s3: Any, bucket: str) -> Values | None:
        answer = s3.get_bucket_encryption(Bucket=bucket)["ServerSideEncryptionConfiguration"]["Rules"]
        rules = []
        for rule in answer:
            how = rule.get("ApplyServerSideEncryptionByDefault", {})
            default = shown(how, {"sseAlgorithm": "SSEAlgorithm", "kmsMasterKeyId": "KMSMasterKeyID"})
            enabled = bool(rule.get("BucketKeyEnabled"))
            rules.append({"applyServerSideEncryptionByDefault": default, "bucketKeyEnabled": enabled})
        return {"rules": rules}

    def take_back(self, s3: Any, bucket: str) -> None:
        s3.delete_bucket_encryption(Bucket=bucket)


class BucketPublicAccessBlock(BucketPart):
    TYPE = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    REQUIRED = frozenset({"bucket"})
    _NAMES = {
        "blockPublicAcls": "BlockPublicAcls",
        "blockPublicPolicy": "BlockPublicPolicy",
        "ignorePublicAcls": "IgnorePublicAcls",
        "restrictPublicBuckets": "RestrictPublicBuckets",
    }
    OPTIONAL = frozenset({*_NAMES, "skipDestroy"})

    def put(self, s3: Any, bucket: str, inputs: Values) -> None:
        wanted = {api: bool(inputs.get(name)) for name, api in self._NAMES.items()}
        s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=wanted)

    def said(self, s3: Any, bucket: str) -> Values | None:
        answer = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
        return {name: bool(answer.get(api)) for name, api in self._NAMES.items()}

    def take_back(self, s3: Any, bucket: str) -> None:
        s3.delete_public_access_block(Bucket=bucket)


class BucketLifecycle(BucketPart):
    TYPE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    REQUIRED = frozenset({"bucket", "rules"})

    def put(self, s3: Any, bucket: str, inputs: Values) -> None:
        rules = []
        for rule in inputs["rules"]:
            api = pascal(rule)
            api["ID"] = api.pop("Id")
            # A rule without a filter is for everything, and the API wants that said.
            api.setdefault("Filter", {"Prefix": rule.get("prefix", "")})
            api.pop("Prefix", None)
            rules.append(api)
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})

    def said(self, s3: Any, bucket: str) -> Values | None:
        rules = []
        for rule in s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]:
            said = camel({name: value for name, value in rule.items() if name != "ID"})
            rules.append({**said, "id": rule["ID"]})
        return {"rules": rules}

    def take_back(self, s3: Any, bucket: str) -> None:
        s3.delete_bucket_lifecycle(Bucket=bucket)


class BucketPolicy(BucketPart):
    TYPE = "aws:s3/bucketPolicy:BucketPolicy"
    REQUIRED = frozenset({"bucket", "policy"})

    def put(self, s3: Any, bucket: str, inputs: Values) -> None:
        s3.put_bucket_policy(Bucket=bucket, Policy=policy_document(inputs["policy"]))

    def said(self, s3: Any, bucket: str) -> Values | None:
        return {"policy": s3.get_bucket_policy(Bucket=bucket)["Policy"]}

    def take_back(self, s3: Any, bucket: str) -> None:
        s3.delete_bucket_policy(Bucket=bucket)


class BucketOwnershipControls(BucketPart):
    TYPE = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
    REQUIRED = frozenset({"bucket", "rule"})

    def put(self, s3: Any, bucket: str, inputs: Values) -> None:
        s3.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={"Rules": [pascal(inputs["rule"])]})

    def said(self, s3: Any, bucket: str) -> Values | None:
        return {
            "rule": camel(s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]["Rules"][0])
        }

    def take_back(self, s3: Any, bucket: str) -> None:
        s3.delete_bucket_ownership_controls(Bucket=bucket)


HANDLERS: list[Handler] = [
    Bucket(),
    BucketVersioning(),
    BucketEncryption(),
    BucketPublicAccessBlock(),
    BucketLifecycle(),
    BucketPolicy(),
    BucketOwnershipControls(),
]
