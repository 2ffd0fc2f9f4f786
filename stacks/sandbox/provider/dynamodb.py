"""DynamoDB tables."""

from collections.abc import Iterator
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import Aws
from stacks.sandbox.provider.dynamodb_shapes import (
    attributes,
    bare,
    by_name,
    described,
    described_backups,
    described_ttl,
    encryption,
    global_index,
    index_of,
    key_schema,
    stream,
    throughput,
)
from stacks.sandbox.provider.resource import Follows, ResourceType
from stacks.sandbox.provider.schema import (
    TAGS,
    Fields,
    Problem,
    block,
    flag,
    integer,
    set_of,
    text,
)
from stacks.sandbox.provider.tags import Tagging, from_pairs, pairs
from stacks.sandbox.provider.wire import Properties, has_unknown

_GONE = {"ResourceNotFoundException"}
_READY_SECONDS = 120
_PROJECTIONS = rules.one_of("ALL", "INCLUDE", "KEYS_ONLY")
_INDEX: Fields = {
    "name": text(required=True),
    "rangeKey": text(),
    "projectionType": text(required=True, rule=_PROJECTIONS),
    "nonKeyAttributes": set_of(text()),
}


class Table(ResourceType):
    """A table with its indexes, encryption, expiry and backups."""

    urn_type = "aws:dynamodb/table:Table"
    label = "DynamoDB Table"
    fields: ClassVar[Fields] = {
        "name": text(
            named=True,
            computed=True,
            replaces=True,
            rule=rules.matching(r"[a-zA-Z0-9_.-]{3,255}", "3 to 255 of letters, digits, _.-"),
        ),
        "billingMode": text(
            default="PROVISIONED", rule=rules.one_of("PROVISIONED", "PAY_PER_REQUEST")
        ),
        "hashKey": text(required=True, replaces=True),
        "rangeKey": text(replaces=True),
        "attributes": set_of(
            block(
                {
                    "name": text(required=True),
                    "type": text(required=True, rule=rules.one_of("S", "N", "B")),
                }
            ),
            required=True,
        ),
        "globalSecondaryIndexes": set_of(
            block(
                {
                    **_INDEX,
                    "hashKey": text(required=True),
                    "readCapacity": integer(),
                    "writeCapacity": integer(),
                }
            )
        ),
        "localSecondaryIndexes": set_of(
            block({**_INDEX, "rangeKey": text(required=True)}), replaces=True
        ),
        "readCapacity": integer(computed=True),
        "writeCapacity": integer(computed=True),
        "streamEnabled": flag(),
        "streamViewType": text(
            computed=True,
            rule=rules.one_of("NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES", "KEYS_ONLY"),
        ),
        "tableClass": text(
            default="STANDARD", rule=rules.one_of("STANDARD", "STANDARD_INFREQUENT_ACCESS")
        ),
        "deletionProtectionEnabled": flag(default=False),
        "pointInTimeRecovery": block(
            {
                "enabled": flag(required=True),
                "recoveryPeriodInDays": integer(computed=True, rule=rules.between(1, 35)),
            }
        ),
        "serverSideEncryption": block(
            {"enabled": flag(required=True), "kmsKeyArn": text(computed=True, rule=rules.arn)}
        ),
        "ttl": block({"attributeName": text(), "enabled": flag(default=False)}),
        **TAGS,
    }
    outputs = ("arn", "streamArn", "streamLabel")
    tagging = Tagging(service="dynamodb", place="ResourceArn", by_arn=True)
    follows: ClassVar[Follows] = {
        "streamArn": frozenset({"streamEnabled", "streamViewType"}),
        "streamLabel": frozenset({"streamEnabled", "streamViewType"}),
    }

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """Every key is an attribute, every attribute a key; capacity belongs to its mode."""
        indexes = [
            *(inputs.get("globalSecondaryIndexes") or []),
            *(inputs.get("localSecondaryIndexes") or []),
        ]
        keys = {inputs.get("hashKey"), inputs.get("rangeKey")}
        if not has_unknown([indexes, list(keys), inputs["attributes"]]):
            keys.update(index.get(name) for index in indexes for name in ("hashKey", "rangeKey"))
            declared = {attribute["name"] for attribute in inputs["attributes"]}
            missing = sorted(str(name) for name in keys - declared if name)
            for name in missing:
                yield Problem("attributes", f"lack {name}, which is a key")
            for name in sorted(declared - keys):
                yield Problem("attributes", f"name {name}, which is the key of nothing")
        if (inputs.get("billingMode") or "PROVISIONED") == "PROVISIONED":
            for name in ("readCapacity", "writeCapacity"):
                if inputs.get(name) in (None, 0):
                    yield Problem(name, "must be at least 1 unless billingMode is PAY_PER_REQUEST")
        if inputs.get("streamEnabled") is True and not inputs.get("streamViewType"):
            yield Problem("streamViewType", "is required when streamEnabled is true")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the table; expiry and backups follow when it is active."""
        aws.call(
            "dynamodb",
            "create_table",
            TableName=inputs["name"],
            KeySchema=key_schema(inputs),
            AttributeDefinitions=attributes(inputs),
            BillingMode=inputs.get("billingMode") or "PROVISIONED",
            ProvisionedThroughput=throughput(inputs, inputs),
            GlobalSecondaryIndexes=[
                global_index(index, inputs) for index in inputs.get("globalSecondaryIndexes") or []
            ]
            or None,
            LocalSecondaryIndexes=[
                {
                    **index_of(index),
                    "KeySchema": key_schema({**index, "hashKey": inputs["hashKey"]}),
                }
                for index in inputs.get("localSecondaryIndexes") or []
            ]
            or None,
            StreamSpecification=stream(inputs) if inputs.get("streamEnabled") else None,
            SSESpecification=encryption(inputs),
            TableClass=inputs.get("tableClass"),
            DeletionProtectionEnabled=inputs.get("deletionProtectionEnabled"),
            Tags=pairs(inputs.get("tagsAll")) or None,
        )
        return str(inputs["name"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        """Wait until the table is active, then switch on expiry and backups."""
        self._wait(aws, identity)
        if (inputs.get("ttl") or {}).get("enabled"):
            self._expire(aws, identity, inputs)
        if (inputs.get("pointInTimeRecovery") or {}).get("enabled"):
            self._back_up(aws, identity, inputs)

    @staticmethod
    def _wait(aws: Aws, identity: str) -> None:
        def active() -> bool:
            table = aws.call("dynamodb", "describe_table", TableName=identity)["Table"]
            indexes = table.get("GlobalSecondaryIndexes") or []
            return all(item.get("IndexStatus", "ACTIVE") == "ACTIVE" for item in indexes) and (
                table["TableStatus"] == "ACTIVE"
            )

        aws.wait_until(active, _READY_SECONDS, f"state ACTIVE of table {identity}")

    @staticmethod
    def _expire(aws: Aws, identity: str, inputs: Properties, old: Properties | None = None) -> None:
        ttl = inputs.get("ttl") or {}
        name = ttl.get("attributeName") or ((old or {}).get("ttl") or {}).get("attributeName")
        specification = {"AttributeName": name, "Enabled": bool(ttl.get("enabled"))}
        aws.call(
            "dynamodb",
            "update_time_to_live",
            TableName=identity,
            TimeToLiveSpecification=specification,
        )

    @staticmethod
    def _back_up(aws: Aws, identity: str, inputs: Properties) -> None:
        wanted = inputs.get("pointInTimeRecovery") or {}
        enabled = bool(wanted.get("enabled"))
        days = wanted.get("recoveryPeriodInDays") if enabled else None
        aws.call(
            "dynamodb",
            "update_continuous_backups",
            TableName=identity,
            PointInTimeRecoverySpecification={
                "PointInTimeRecoveryEnabled": enabled,
                **({"RecoveryPeriodInDays": days} if days else {}),
            },
        )

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Describe the table, its expiry, backups and tags."""
        answer = aws.find("dynamodb", "describe_table", _GONE, TableName=identity)
        if answer is None:
            return None
        table = answer["Table"]
        ttl = aws.call("dynamodb", "describe_time_to_live", TableName=identity)
        backups = aws.call("dynamodb", "describe_continuous_backups", TableName=identity)
        arn = table["TableArn"]
        tags = aws.collect("dynamodb", "list_tags_of_resource", "Tags", ResourceArn=arn)
        return {
            "name": identity,
            "arn": arn,
            **described(table),
            "ttl": described_ttl(ttl["TimeToLiveDescription"]),
            "pointInTimeRecovery": described_backups(backups["ContinuousBackupsDescription"]),
            "tagsAll": from_pairs(tags),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Change one thing after the other, as AWS wants it."""
        parameters: dict[str, Any] = {}
        if changed & {"billingMode", "readCapacity", "writeCapacity"}:
            parameters["BillingMode"] = new.get("billingMode") or "PROVISIONED"
            parameters["ProvisionedThroughput"] = throughput(new, new)
        if "tableClass" in changed:
            parameters["TableClass"] = new.get("tableClass") or "STANDARD"
        if "deletionProtectionEnabled" in changed:
            protected = bool(new.get("deletionProtectionEnabled"))
            parameters["DeletionProtectionEnabled"] = protected
        if "serverSideEncryption" in changed:
            parameters["SSESpecification"] = encryption(new) or {"Enabled": False}
        if changed & {"streamEnabled", "streamViewType"}:
            parameters["StreamSpecification"] = stream(new)
        if parameters:
            self._change(aws, identity, **parameters)
        if "globalSecondaryIndexes" in changed:
            self._change_indexes(aws, identity, old, new)
        if "ttl" in changed:
            self._expire(aws, identity, new, old)
        if "pointInTimeRecovery" in changed:
            self._back_up(aws, identity, new)

    def _change(self, aws: Aws, identity: str, **parameters: Any) -> None:
        aws.call("dynamodb", "update_table", TableName=identity, **parameters)
        self._wait(aws, identity)

    def _change_indexes(self, aws: Aws, identity: str, old: Properties, new: Properties) -> None:
        before = by_name(old.get("globalSecondaryIndexes"))
        after = by_name(new.get("globalSecondaryIndexes"))
        for name, index in before.items():
            if bare(after.get(name)) != bare(index):
                updates = [{"Delete": {"IndexName": name}}]
                self._change(aws, identity, GlobalSecondaryIndexUpdates=updates)
        for name, index in after.items():
            if bare(before.get(name)) != bare(index):
                updates = [{"Create": global_index(index, new)}]
                self._change(
                    aws,
                    identity,
                    AttributeDefinitions=attributes(new),
                    GlobalSecondaryIndexUpdates=updates,
                )

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete the table and wait until it is gone."""
        if aws.find("dynamodb", "delete_table", _GONE, TableName=identity) is None:
            return False
        aws.wait_until(
            lambda: aws.find("dynamodb", "describe_table", _GONE, TableName=identity) is None,
            _READY_SECONDS,
            f"end of table {identity}",
        )
        return True


TYPES = (Table(),)
