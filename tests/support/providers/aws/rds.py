"""Databases."""

import re
from collections.abc import Iterator

from tests.support.providers.aws import orders
from tests.support.providers.aws.account import Account, Values
from tests.support.providers.aws.handler import Handler, arguments, found, pairs, shown, unpaired
from tests.support.providers.serving import Refused

_IDENTIFIER = re.compile(r"[a-z](?:-?[a-z0-9])*")


class RdsHandler(Handler):
    TAGGED = True

    def tags(self, aws: Account, arn: str) -> dict[str, str]:
        return unpaired(aws.client("rds").list_tags_for_resource(ResourceName=arn)["TagList"])

    def tag(self, aws: Account, identifier: str, state: Values, put: dict[str, str], gone: list[str]) -> None:
        rds = aws.client("rds")
        if gone:
            rds.remove_tags_from_resource(ResourceName=state["arn"], TagKeys=gone)
        if put:
            rds.add_tags_to_resource(ResourceName=state["arn"], Tags=pairs(put))


class SubnetGroup(RdsHandler):
    TYPE = "aws:rds/subnetGroup:SubnetGroup"
    REQUIRED = frozenset({"name", "subnetIds"})
    OPTIONAL = frozenset({"description"})
    REPLACES = frozenset({"name"})
    COMPUTED = frozenset({"arn", "vpcId", "supportedNetworkTypes"})
    NAME = "name"
    UNORDERED = frozenset({"subnetIds"})

    def create(self, aws: Account, inputs: Values) -> str:
        orders.subnets_exist(aws, inputs["subnetIds"], zones=2)
        rds, name = aws.client("rds"), inputs["name"]
        if found(lambda: rds.describe_db_subnet_groups(DBSubnetGroupName=name)) is not None:
            raise FileExistsError(f"DBSubnetGroupAlreadyExists: {name}")
        rds.create_db_subnet_group(
            DBSubnetGroupName=name,
            DBSubnetGroupDescription=inputs.get("description", "Managed by Pulumi"),
            SubnetIds=inputs["subnetIds"],
            Tags=pairs(inputs["tagsAll"]),
        )
        return str(name)

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        answer = found(lambda: aws.client("rds").describe_db_subnet_groups(DBSubnetGroupName=identifier))
        if answer is None:
            return None
        group = answer["DBSubnetGroups"][0]
        arn = aws.arn("rds", f"subgrp:{identifier}")
        names = {"name": "DBSubnetGroupName", "description": "DBSubnetGroupDescription", "vpcId": "VpcId"}
        return {
            **shown(group, names),
            "subnetIds": [subnet["SubnetIdentifier"] for subnet in group["Subnets"]],
            "supportedNetworkTypes": ["IPV4"],
            "arn": arn,
            "tagsAll": self.tags(aws, arn),
        }

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        orders.subnets_exist(aws, inputs["subnetIds"], zones=2)
        aws.client("rds").modify_db_subnet_group(
            DBSubnetGroupName=identifier,
            DBSubnetGroupDescription=inputs.get("description", "Managed by Pulumi"),
            SubnetIds=inputs["subnetIds"],
        )

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        orders.db_subnet_group_unused(aws, identifier)
        found(lambda: aws.client("rds").delete_db_subnet_group(DBSubnetGroupName=identifier))


class ParameterGroup(RdsHandler):
    TYPE = "aws:rds/parameterGroup:ParameterGroup"
    REQUIRED = frozenset({"name", "family"})
    OPTIONAL = frozenset({"description", "parameters"})
    REPLACES = frozenset({"name", "family", "description"})
    COMPUTED = frozenset({"arn"})
    NAME = "name"
    UNORDERED = frozenset({"parameters"})

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        for parameter in inputs.get("parameters", []):
            if parameter.get("applyMethod", "immediate") not in ("immediate", "pending-reboot"):
                yield "parameters", f"{parameter['name']}: applied immediate or pending-reboot"

    def create(self, aws: Account, inputs: Values) -> str:
        rds, name = aws.client("rds"), inputs["name"]
        if self._described(aws, name) is not None:
            raise FileExistsError(f"DBParameterGroupAlreadyExists: {name}")
        rds.create_db_parameter_group(
            DBParameterGroupName=name,
            DBParameterGroupFamily=inputs["family"],
            Description=inputs.get("description", "Managed by Pulumi"),
            Tags=pairs(inputs["tagsAll"]),
        )
        self._set(aws, inputs)
        return str(name)

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        rds = aws.client("rds")
        group = self._described(aws, identifier)
        if group is None:
            return None
        listed = rds.describe_db_parameters(DBParameterGroupName=identifier)["Parameters"]
        values = {each["ParameterName"]: each.get("ParameterValue") for each in listed}
        # Only what was set: AWS lists hundreds with their defaults.
        parameters = [
            {**given, "value": values.get(given["name"])} for given in state.get("parameters") or []
        ]
        arn = aws.arn("rds", f"pg:{identifier}")
        names = {
            "name": "DBParameterGroupName",
            "family": "DBParameterGroupFamily",
            "description": "Description",
        }
        return {**shown(group, names), "parameters": parameters, "arn": arn, "tagsAll": self.tags(aws, arn)}

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        wanted = {each["name"] for each in inputs.get("parameters") or []}
        gone = [each["name"] for each in state.get("parameters") or [] if each["name"] not in wanted]
        if gone:
            aws.client("rds").reset_db_parameter_group(
                DBParameterGroupName=identifier,
                Parameters=[{"ParameterName": name, "ApplyMethod": "pending-reboot"} for name in gone],
            )
        self._set(aws, inputs)

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        orders.db_parameter_group_unused(aws, identifier)
        found(lambda: aws.client("rds").delete_db_parameter_group(DBParameterGroupName=identifier))

    def _described(self, aws: Account, name: str) -> Values | None:
        rds = aws.client("rds")
        answer = found(lambda: rds.describe_db_parameter_groups(DBParameterGroupName=name))
        # moto answers with an empty list where AWS says that it is not there.
        groups = (answer or {}).get("DBParameterGroups")
        return groups[0] if groups else None

    def _set(self, aws: Account, inputs: Values) -> None:
        wanted = [
            {
                "ParameterName": each["name"],
                "ParameterValue": str(each["value"]),
                "ApplyMethod": each.get("applyMethod", "immediate"),
            }
            for each in inputs.get("parameters") or []
        ]
        # AWS takes twenty at once.
        for start in range(0, len(wanted), 20):
            aws.client("rds").modify_db_parameter_group(
                DBParameterGroupName=inputs["name"], Parameters=wanted[start : start + 20]
            )


class Instance(RdsHandler):
    TYPE = "aws:rds/instance:Instance"
    REQUIRED = frozenset({"identifier", "instanceClass", "engine"})
    _NAMES = {
        "identifier": "DBInstanceIdentifier",
        "instanceClass": "DBInstanceClass",
        "engine": "Engine",
        "engineVersion": "EngineVersion",
        "allocatedStorage": "AllocatedStorage",
        "maxAllocatedStorage": "MaxAllocatedStorage",
        "storageType": "StorageType",
        "iops": "Iops",
        "storageEncrypted": "StorageEncrypted",
        "kmsKeyId": "KmsKeyId",
        "username": "MasterUsername",
        "multiAz": "MultiAZ",
        "availabilityZone": "AvailabilityZone",
        "publiclyAccessible": "PubliclyAccessible",
        "backupRetentionPeriod": "BackupRetentionPeriod",
        "backupWindow": "PreferredBackupWindow",
        "maintenanceWindow": "PreferredMaintenanceWindow",
        "deletionProtection": "DeletionProtection",
        "copyTagsToSnapshot": "CopyTagsToSnapshot",
        "autoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
        "performanceInsightsEnabled": "PerformanceInsightsEnabled",
        "performanceInsightsKmsKeyId": "PerformanceInsightsKMSKeyId",
        "performanceInsightsRetentionPeriod": "PerformanceInsightsRetentionPeriod",
        "monitoringInterval": "MonitoringInterval",
        "monitoringRoleArn": "MonitoringRoleArn",
        "databaseInsightsMode": "DatabaseInsightsMode",
        "caCertIdentifier": "CACertificateIdentifier",
    }
    #: Given under one name and shown under another, or not shown at all.
    _GIVEN = {
        "dbName": "DBName",
        "port": "Port",
        "password": "MasterUserPassword",
        "manageMasterUserPassword": "ManageMasterUserPassword",
        "masterUserSecretKmsKeyId": "MasterUserSecretKmsKeyId",
        "dbSubnetGroupName": "DBSubnetGroupName",
        "parameterGroupName": "DBParameterGroupName",
        "vpcSecurityGroupIds": "VpcSecurityGroupIds",
        "iamDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
        "enabledCloudwatchLogsExports": "EnableCloudwatchLogsExports",
    }
    OPTIONAL = frozenset(
        {*_NAMES, *_GIVEN, "skipFinalSnapshot", "finalSnapshotIdentifier", "applyImmediately"}
        | {"deleteAutomatedBackups", "allowMajorVersionUpgrade", "snapshotIdentifier"}
    ) - {"identifier", "instanceClass", "engine"}
    REPLACES = frozenset(
        {"identifier", "engine", "dbName", "storageEncrypted", "kmsKeyId", "username", "availabilityZone"}
        | {"snapshotIdentifier"}
    )
    COMPUTED = frozenset(
        {"arn", "address", "endpoint", "engineVersionActual", "hostedZoneId", "masterUserSecrets"}
        | {"resourceId", "status", "port"}
    )
    SECRETS = frozenset({"password"})
    NAME = "identifier"
    UNORDERED = frozenset({"vpcSecurityGroupIds", "enabledCloudwatchLogsExports"})

    def invalid(self, inputs: Values) -> Iterator[tuple[str, str]]:
        identifier = inputs.get("identifier", "a")
        if len(identifier) > 63 or not _IDENTIFIER.fullmatch(identifier):
            yield (
                "identifier",
                f"{identifier}: letters, digits and single hyphens, first a letter, at most 63",
            )
        if inputs.get("password") and inputs.get("manageMasterUserPassword"):
            yield "password", "not together with manageMasterUserPassword"
        if not inputs.get("storageEncrypted") and inputs.get("kmsKeyId"):
            yield "kmsKeyId", "a key needs storageEncrypted"
        if not str(inputs.get("instanceClass", "db.x.y")).startswith("db."):
            yield "instanceClass", f"{inputs['instanceClass']}: classes of databases begin with db."
        if not 0 <= inputs.get("backupRetentionPeriod", 0) <= 35:
            yield "backupRetentionPeriod", "0 to 35 days"
        if inputs.get("engine") == "postgres" and inputs.get("allocatedStorage", 20) < 20:
            yield "allocatedStorage", "20 GB or more"
        if inputs.get("maxAllocatedStorage", 1 << 30) <= inputs.get("allocatedStorage", 0):
            yield "maxAllocatedStorage", "more than allocatedStorage"

    def recomputed(self, changed: set[str]) -> set[str]:
        unknown = {"engineVersionActual"} if "engineVersion" in changed else set()
        if changed & {"manageMasterUserPassword", "masterUserSecretKmsKeyId"}:
            unknown.add("masterUserSecrets")
        return unknown | ({"endpoint", "port"} if "port" in changed else set())

    def alike(self, name: str, given: object, seen: object) -> bool:
        if name == "engineVersion":
            # "16" asks for any 16.
            return seen == given or str(seen).startswith(f"{given}.")
        return super().alike(name, given, seen)

    def create(self, aws: Account, inputs: Values) -> str:
        orders.security_groups_exist(aws, inputs.get("vpcSecurityGroupIds", []))
        for key in ("kmsKeyId", "masterUserSecretKmsKeyId", "performanceInsightsKmsKeyId"):
            orders.key_exists(aws, inputs.get(key))
        rds = aws.client("rds")
        if inputs.get("snapshotIdentifier"):
            left_out = {"username", "dbName", "storageEncrypted", "kmsKeyId", "password"}
            given = {name: value for name, value in inputs.items() if name not in left_out}
            rds.restore_db_instance_from_db_snapshot(
                DBSnapshotIdentifier=inputs["snapshotIdentifier"],
                **arguments(
                    given, {"identifier": "DBInstanceIdentifier", "instanceClass": "DBInstanceClass"}
                ),
                **arguments(given, {"dbSubnetGroupName": "DBSubnetGroupName"}),
                Tags=pairs(inputs["tagsAll"]),
            )
        else:
            given = arguments(inputs, self._NAMES | self._GIVEN)
            rds.create_db_instance(**given, Tags=pairs(inputs["tagsAll"]))
        return str(inputs["identifier"])

    def read(self, aws: Account, identifier: str, state: Values) -> Values | None:
        rds = aws.client("rds")
        answer = found(lambda: rds.describe_db_instances(DBInstanceIdentifier=identifier))
        if answer is None or answer["DBInstances"][0]["DBInstanceStatus"] == "deleting":
            return None
        instance = answer["DBInstances"][0]
        endpoint = instance.get("Endpoint", {})
        address, port = endpoint.get("Address", ""), endpoint.get("Port", instance.get("DbInstancePort"))
        secret = instance.get("MasterUserSecret")
        seen = {
            **shown(instance, self._NAMES),
            **shown(instance, {"dbName": "DBName", "arn": "DBInstanceArn", "resourceId": "DbiResourceId"}),
            "status": instance["DBInstanceStatus"],
            "address": address,
            "port": port,
            "endpoint": f"{address}:{port}",
            "hostedZoneId": endpoint.get("HostedZoneId", ""),
            "engineVersionActual": instance["EngineVersion"],
            "dbSubnetGroupName": instance.get("DBSubnetGroup", {}).get("DBSubnetGroupName"),
            "vpcSecurityGroupIds": [
                each["VpcSecurityGroupId"] for each in instance.get("VpcSecurityGroups", [])
            ],
            "parameterGroupName": instance["DBParameterGroups"][0]["DBParameterGroupName"],
            "iamDatabaseAuthenticationEnabled": instance.get("IAMDatabaseAuthenticationEnabled", False),
            "enabledCloudwatchLogsExports": instance.get("EnabledCloudwatchLogsExports", []),
            "masterUserSecrets": [_secret(secret)] if secret else [],
            "tagsAll": unpaired(instance.get("TagList")),
        }
        return seen | self._unshown(seen, state)

    def update(self, aws: Account, identifier: str, state: Values, inputs: Values, changed: set[str]) -> None:
        if (
            inputs.get("allocatedStorage", 0) < state.get("allocatedStorage", 0)
            and "allocatedStorage" in changed
        ):
            raise Refused(
                f"InvalidParameterCombination: the storage of {identifier} cannot shrink from "
                f"{state['allocatedStorage']} GB to {inputs['allocatedStorage']} GB"
            )
        old, new = _major(state.get("engineVersion")), _major(inputs.get("engineVersion"))
        if "engineVersion" in changed and new < old:
            raise Refused(f"InvalidParameterCombination: {identifier} cannot go back from {old} to {new}")
        if "engineVersion" in changed and new > old and not inputs.get("allowMajorVersionUpgrade"):
            raise Refused(f"InvalidParameterCombination: {identifier}: allowMajorVersionUpgrade is not set")
        names = {**self._NAMES, **self._GIVEN, "port": "DBPortNumber"} | {
            "allowMajorVersionUpgrade": "AllowMajorVersionUpgrade"
        }
        exports = names.pop("enabledCloudwatchLogsExports")
        given = arguments({name: inputs.get(name) for name in changed}, names)
        if "enabledCloudwatchLogsExports" in changed:
            before = set(state.get("enabledCloudwatchLogsExports") or [])
            after = set(inputs.get("enabledCloudwatchLogsExports") or [])
            both = {"EnableLogTypes": sorted(after - before), "DisableLogTypes": sorted(before - after)}
            given["CloudwatchLogsExportConfiguration"] = both
            assert exports == "EnableCloudwatchLogsExports"
        for key in ("deletionProtection", "multiAz", "iamDatabaseAuthenticationEnabled"):
            if key in changed and inputs.get(key) is None:
                given[names[key]] = False
        given.pop("DBInstanceIdentifier", None)
        if given:
            aws.client("rds").modify_db_instance(
                DBInstanceIdentifier=identifier, ApplyImmediately=True, **given
            )

    def delete(self, aws: Account, identifier: str, state: Values) -> None:
        rds = aws.client("rds")
        if found(lambda: rds.describe_db_instances(DBInstanceIdentifier=identifier)) is None:
            return
        # moto deletes without a word about the snapshot; the official provider and AWS ask for one of the two.
        if state.get("skipFinalSnapshot"):
            how = {"SkipFinalSnapshot": True}
        elif state.get("finalSnapshotIdentifier"):
            how = {"SkipFinalSnapshot": False, "FinalDBSnapshotIdentifier": state["finalSnapshotIdentifier"]}
        else:
            raise Refused(
                f"deleting {identifier}: finalSnapshotIdentifier is required when skipFinalSnapshot is false"
            )
        backups = state.get("deleteAutomatedBackups", True)
        rds.delete_db_instance(DBInstanceIdentifier=identifier, DeleteAutomatedBackups=backups, **how)

    def _unshown(self, seen: Values, state: Values) -> Values:
        """Fields that moto leaves out of its answer are taken to be as they were given."""
        given = {*self._NAMES, *self._GIVEN} - seen.keys()
        return {name: state[name] for name in given if name in state}


def _secret(secret: Values) -> Values:
    return shown(secret, {"secretArn": "SecretArn", "secretStatus": "SecretStatus", "kmsKeyId": "KmsKeyId"})


def _major(version: object) -> int:
    return int(str(version or 0).partition(".")[0])


HANDLERS: list[Handler] = [SubnetGroup(), ParameterGroup(), Instance()]
