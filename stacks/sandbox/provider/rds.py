"""RDS database instances."""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import ApiError, Aws
from stacks.sandbox.provider.resource import ResourceType
from stacks.sandbox.provider.schema import TAGS, Fields, Problem, flag, integer, set_of, text
from stacks.sandbox.provider.tags import Tagging, from_pairs, pairs
from stacks.sandbox.provider.wire import Properties

_GONE = {"DBInstanceNotFound", "DBInstanceNotFoundFault"}
TAGGING = Tagging(
    service="rds", place="ResourceName", by_arn=True,
    remove="remove_tags_from_resource", put="add_tags_to_resource",
)  # fmt: skip
_READY_SECONDS = 300
_RESOURCE_ID = re.compile(r"db-[A-Z0-9]{20,}")

_PLAIN = {
    "allocatedStorage": "AllocatedStorage",
    "maxAllocatedStorage": "MaxAllocatedStorage",
    "autoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "backupRetentionPeriod": "BackupRetentionPeriod",
    "backupWindow": "PreferredBackupWindow",
    "caCertIdentifier": "CACertificateIdentifier",
    "copyTagsToSnapshot": "CopyTagsToSnapshot",
    "dbSubnetGroupName": "DBSubnetGroupName",
    "deletionProtection": "DeletionProtection",
    "engineVersion": "EngineVersion",
    "iamDatabaseAuthenticationEnabled": "EnableIAMDatabaseAuthentication",
    "instanceClass": "DBInstanceClass",
    "iops": "Iops",
    "licenseModel": "LicenseModel",
    "maintenanceWindow": "PreferredMaintenanceWindow",
    "manageMasterUserPassword": "ManageMasterUserPassword",
    "masterUserSecretKmsKeyId": "MasterUserSecretKmsKeyId",
    "monitoringInterval": "MonitoringInterval",
    "monitoringRoleArn": "MonitoringRoleArn",
    "multiAz": "MultiAZ",
    "parameterGroupName": "DBParameterGroupName",
    "password": "MasterUserPassword",
    "publiclyAccessible": "PubliclyAccessible",
    "storageType": "StorageType",
    "vpcSecurityGroupIds": "VpcSecurityGroupIds",
}
"""Inputs that CreateDBInstance and ModifyDBInstance call the same."""

_AT_CREATION = {
    "availabilityZone": "AvailabilityZone",
    "dbName": "DBName",
    "enabledCloudwatchLogsExports": "EnableCloudwatchLogsExports",
    "engine": "Engine",
    "identifier": "DBInstanceIdentifier",
    "kmsKeyId": "KmsKeyId",
    "port": "Port",
    "storageEncrypted": "StorageEncrypted",
    "username": "MasterUsername",
}

_FIELDS: Fields = {
    "instanceClass": text(required=True),
    "identifier": text(
        named=True,
        computed=True,
        rule=rules.matching(
            r"(?!.*--)[a-z][a-z0-9-]{0,61}[a-z0-9]",
            "up to 63 lower-case letters, digits and single hyphens, beginning with a letter",
        ),
    ),
    "engine": text(computed=True, replaces=True),
    "engineVersion": text(computed=True),
    "allocatedStorage": integer(computed=True, rule=rules.between(5, 65_536)),
    "maxAllocatedStorage": integer(),
    "storageType": text(computed=True),
    "storageEncrypted": flag(replaces=True),
    "kmsKeyId": text(computed=True, replaces=True, rule=rules.arn),
    "iops": integer(computed=True),
    "dbName": text(computed=True, replaces=True),
    "username": text(computed=True, replaces=True),
    "password": text(
        secret=True, local=True, rule=rules.matching(r"(?s).{8,128}", "8 to 128 characters")
    ),
    "manageMasterUserPassword": flag(),
    "masterUserSecretKmsKeyId": text(computed=True),
    "port": integer(computed=True, rule=rules.between(1150, 65_535)),
    "availabilityZone": text(computed=True, replaces=True),
    "multiAz": flag(computed=True),
    "dbSubnetGroupName": text(computed=True),
    "vpcSecurityGroupIds": set_of(text(), computed=True),
    "publiclyAccessible": flag(default=False),
    "parameterGroupName": text(computed=True),
    "caCertIdentifier": text(computed=True),
    "licenseModel": text(computed=True),
    "backupRetentionPeriod": integer(computed=True, rule=rules.between(0, 35)),
    "backupWindow": text(computed=True),
    "maintenanceWindow": text(computed=True),
    "autoMinorVersionUpgrade": flag(default=True),
    "copyTagsToSnapshot": flag(default=False),
    "iamDatabaseAuthenticationEnabled": flag(),
    "enabledCloudwatchLogsExports": set_of(text()),
    "monitoringInterval": integer(default=0, rule=rules.one_of(0, 1, 5, 10, 15, 30, 60)),
    "monitoringRoleArn": text(computed=True, rule=rules.arn),
    "deletionProtection": flag(),
    "skipFinalSnapshot": flag(default=False, local=True),
    "finalSnapshotIdentifier": text(local=True),
    "deleteAutomatedBackups": flag(default=True, local=True),
    "applyImmediately": flag(default=False, local=True),
    "allowMajorVersionUpgrade": flag(local=True),
    **TAGS,
}


class Instance(ResourceType):
    """A database instance. Its id is the resource id, which a rename does not change."""

    urn_type = "aws:rds/instance:Instance"
    label = "RDS DB Instance"
    fields: ClassVar[Fields] = _FIELDS
    tagging = TAGGING
    outputs = (
        *("address", "arn", "endpoint", "engineVersionActual", "hostedZoneId"),
        *("masterUserSecrets", "resourceId", "status"),
    )
    name_limit = 63

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """What an instance needs, and the two ways to a password."""
        for name in ("engine", "allocatedStorage", "username"):
            if inputs.get(name) is None:
                yield Problem(name, "is required and missing")
        managed = inputs.get("manageMasterUserPassword") or False
        if managed is True and inputs.get("password") is not None:
            yield Problem("manageMasterUserPassword", "conflicts with a password")
        if inputs.get("kmsKeyId") is not None and inputs.get("storageEncrypted") is not True:
            yield Problem("storageEncrypted", "must be true when kmsKeyId is given")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the instance.

        That it needs a password is found out here: an imported one has no known password.
        """
        if inputs.get("password") is None and not inputs.get("manageMasterUserPassword"):
            reason = "one of password, manageMasterUserPassword is required"
            raise ApiError("CreateDBInstance", "InvalidParameterCombination", reason)
        parameters = {
            parameter: inputs.get(name, self.fields[name].default)
            for name, parameter in {**_PLAIN, **_AT_CREATION}.items()
        }
        answer = aws.call(
            "rds", "create_db_instance", **parameters, Tags=pairs(inputs.get("tagsAll"))
        )
        return str(answer["DBInstance"]["DbiResourceId"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        """Wait until the instance is available."""
        self._wait(aws, identity)

    def _wait(self, aws: Aws, identity: str) -> None:
        aws.wait_until(
            lambda: (_describe(aws, identity) or {}).get("DBInstanceStatus") == "available",
            _READY_SECONDS,
            f"state available of {identity}",
        )

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Describe the instance, found by its resource id or, for an import, by its name."""
        found = _describe(aws, identity)
        if found is None:
            return None
        tags = aws.call("rds", "list_tags_for_resource", ResourceName=found["DBInstanceArn"])
        storage = found.get("AllocatedStorage")
        limit = found.get("MaxAllocatedStorage")
        groups = found.get("DBParameterGroups") or []
        state = {name: found.get(parameter) for name, parameter in _READ.items()}
        state.update(
            id=found["DbiResourceId"],
            maxAllocatedStorage=0 if limit == storage else limit,
            iamDatabaseAuthenticationEnabled=bool(found.get("IAMDatabaseAuthenticationEnabled")),
            dbSubnetGroupName=(found.get("DBSubnetGroup") or {}).get("DBSubnetGroupName"),
            vpcSecurityGroupIds=sorted(
                group["VpcSecurityGroupId"] for group in found.get("VpcSecurityGroups") or []
            ),
            parameterGroupName=groups[0]["DBParameterGroupName"] if groups else None,
            tagsAll=from_pairs(tags["TagList"]),
            **_endpoint(found),
            **_master_secret(found, known),
        )
        wanted, actual = known.get("engineVersion"), found.get("EngineVersion") or ""
        if wanted and (actual == wanted or actual.startswith(f"{wanted}.")):
            state["engineVersion"] = wanted
        return state

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Modify the instance; without applyImmediately AWS may wait for the next window."""
        parameters: dict[str, Any] = {
            parameter: new.get(name, self.fields[name].default)
            for name, parameter in _PLAIN.items()
            if name in changed
        }
        if "identifier" in changed:
            parameters["NewDBInstanceIdentifier"] = new["identifier"]
        if "port" in changed:
            parameters["DBPortNumber"] = new["port"]
        if "enabledCloudwatchLogsExports" in changed:
            before = set(old.get("enabledCloudwatchLogsExports") or [])
            after = set(new.get("enabledCloudwatchLogsExports") or [])
            parameters["CloudwatchLogsExportConfiguration"] = {
                "EnableLogTypes": sorted(after - before),
                "DisableLogTypes": sorted(before - after),
            }
        if parameters:
            aws.call(
                "rds",
                "modify_db_instance",
                DBInstanceIdentifier=old["identifier"],
                ApplyImmediately=bool(new.get("applyImmediately")),
                AllowMajorVersionUpgrade=new.get("allowMajorVersionUpgrade"),
                **parameters,
            )
            self._wait(aws, identity)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete the instance, with a last snapshot unless that was declined."""
        found = _describe(aws, identity)
        if found is None:
            return False
        skip = bool(state.get("skipFinalSnapshot"))
        snapshot = state.get("finalSnapshotIdentifier")
        if not skip and not snapshot:
            reason = "finalSnapshotIdentifier is required unless skipFinalSnapshot is true"
            raise ApiError("DeleteDBInstance", "InvalidParameterCombination", reason)
        aws.call(
            "rds",
            "delete_db_instance",
            DBInstanceIdentifier=found["DBInstanceIdentifier"],
            SkipFinalSnapshot=skip,
            FinalDBSnapshotIdentifier=None if skip else snapshot,
            DeleteAutomatedBackups=state.get("deleteAutomatedBackups", True),
        )
        aws.wait_until(
            lambda: _describe(aws, identity) is None, _READY_SECONDS, f"end of {identity}"
        )
        return True


_READ = {
    name: parameter
    for name, parameter in {**_PLAIN, **_AT_CREATION}.items()
    if name not in {"password", "manageMasterUserPassword", "masterUserSecretKmsKeyId", "port"}
} | {
    "arn": "DBInstanceArn",
    "enabledCloudwatchLogsExports": "EnabledCloudwatchLogsExports",
    "engineVersionActual": "EngineVersion",
    "resourceId": "DbiResourceId",
    "status": "DBInstanceStatus",
}


def _describe(aws: Aws, identity: str) -> dict[str, Any] | None:
    if _RESOURCE_ID.fullmatch(identity):
        filters = [{"Name": "dbi-resource-id", "Values": [identity]}]
        answer = aws.find("rds", "describe_db_instances", _GONE, Filters=filters)
        if answer and answer["DBInstances"]:
            return dict(answer["DBInstances"][0])
    answer = aws.find("rds", "describe_db_instances", _GONE, DBInstanceIdentifier=identity)
    return dict(answer["DBInstances"][0]) if answer and answer["DBInstances"] else None


def _endpoint(found: dict[str, Any]) -> Properties:
    endpoint = found.get("Endpoint") or {}
    address, port = endpoint.get("Address"), endpoint.get("Port")
    return {
        "address": address,
        "port": port,
        "endpoint": f"{address}:{port}" if address else None,
        "hostedZoneId": endpoint.get("HostedZoneId"),
    }


def _master_secret(found: dict[str, Any], known: Properties) -> Properties:
    secret = found.get("MasterUserSecret")
    if not secret:
        return {"masterUserSecrets": [], "manageMasterUserPassword": None}
    described = {
        "secretArn": secret.get("SecretArn"),
        "secretStatus": secret.get("SecretStatus"),
        "kmsKeyId": secret.get("KmsKeyId"),
    }
    return {
        "masterUserSecrets": [described],
        "manageMasterUserPassword": True,
        "masterUserSecretKmsKeyId": known.get("masterUserSecretKmsKeyId") or secret.get("KmsKeyId"),
    }


TYPES = (Instance(),)
