"""How DynamoDB says what a table is, and how the SDK does."""

from collections.abc import Mapping
from typing import Any

from stacks.sandbox.provider.wire import Properties


def attributes(inputs: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the attribute definitions of a table."""
    return [
        {"AttributeName": item["name"], "AttributeType": item["type"]}
        for item in inputs["attributes"]
    ]


def key_schema(keys: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return the key schema of a table or index."""
    schema = [{"AttributeName": keys["hashKey"], "KeyType": "HASH"}]
    if keys.get("rangeKey"):
        schema.append({"AttributeName": keys["rangeKey"], "KeyType": "RANGE"})
    return schema


def index_of(index: Mapping[str, Any]) -> dict[str, Any]:
    """Return what both kinds of index have in common."""
    projection: dict[str, Any] = {"ProjectionType": index["projectionType"]}
    if index.get("nonKeyAttributes"):
        projection["NonKeyAttributes"] = index["nonKeyAttributes"]
    return {"IndexName": index["name"], "Projection": projection}


def global_index(index: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a global index in the words of the API."""
    capacity = throughput(index, table)
    more = {"ProvisionedThroughput": capacity} if capacity else {}
    return {**index_of(index), "KeySchema": key_schema(index), **more}


def throughput(of: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, int] | None:
    """Return the capacity, None when it is on demand."""
    if table.get("billingMode") == "PAY_PER_REQUEST":
        return None
    reads, writes = of.get("readCapacity") or 1, of.get("writeCapacity") or 1
    return {"ReadCapacityUnits": reads, "WriteCapacityUnits": writes}


def stream(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stream specification."""
    if not inputs.get("streamEnabled"):
        return {"StreamEnabled": False}
    return {"StreamEnabled": True, "StreamViewType": inputs.get("streamViewType")}


def encryption(inputs: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the encryption specification, None for the key of AWS."""
    wanted = inputs.get("serverSideEncryption") or {}
    if not wanted.get("enabled"):
        return None
    key = {"KMSMasterKeyId": wanted["kmsKeyArn"]} if wanted.get("kmsKeyArn") else {}
    return {"Enabled": True, "SSEType": "KMS", **key}


def described(table: Mapping[str, Any]) -> Properties:
    """Return what DescribeTable says as inputs and outputs of the type."""
    types = {item["AttributeName"]: item["AttributeType"] for item in table["AttributeDefinitions"]}
    throughput = table.get("ProvisionedThroughput") or {}
    stream = table.get("StreamSpecification") or {}
    encryption = table.get("SSEDescription") or {}
    encrypted = encryption.get("Status") in {"ENABLED", "ENABLING", "UPDATING"}
    billing = (table.get("BillingModeSummary") or {}).get("BillingMode") or "PROVISIONED"
    return {
        "billingMode": billing,
        **_described_keys(table["KeySchema"]),
        "attributes": [{"name": name, "type": kind} for name, kind in sorted(types.items())],
        "globalSecondaryIndexes": [
            _described_index(index, billing) for index in table.get("GlobalSecondaryIndexes") or []
        ],
        "localSecondaryIndexes": [
            {
                name: value
                for name, value in _described_index(index, "PAY_PER_REQUEST").items()
                if name != "hashKey"
            }
            for index in table.get("LocalSecondaryIndexes") or []
        ],
        "readCapacity": throughput.get("ReadCapacityUnits") or 0,
        "writeCapacity": throughput.get("WriteCapacityUnits") or 0,
        "streamEnabled": bool(stream.get("StreamEnabled")),
        "streamViewType": stream.get("StreamViewType") or "",
        "streamArn": table.get("LatestStreamArn") or "",
        "streamLabel": table.get("LatestStreamLabel") or "",
        "tableClass": (table.get("TableClassSummary") or {}).get("TableClass") or "STANDARD",
        "deletionProtectionEnabled": bool(table.get("DeletionProtectionEnabled")),
        "serverSideEncryption": {
            "enabled": encrypted,
            "kmsKeyArn": encryption.get("KMSMasterKeyArn") if encrypted else None,
        },
    }


def _described_keys(schema: list[Mapping[str, str]]) -> dict[str, str]:
    names = {"HASH": "hashKey", "RANGE": "rangeKey"}
    return {names[item["KeyType"]]: item["AttributeName"] for item in schema}


def _described_index(index: Mapping[str, Any], billing: str) -> dict[str, Any]:
    projection = index["Projection"]
    found = {
        "name": index["IndexName"],
        **_described_keys(index["KeySchema"]),
        "projectionType": projection["ProjectionType"],
    }
    if projection.get("NonKeyAttributes"):
        found["nonKeyAttributes"] = projection["NonKeyAttributes"]
    if billing == "PROVISIONED":
        throughput = index.get("ProvisionedThroughput") or {}
        found["readCapacity"] = throughput.get("ReadCapacityUnits")
        found["writeCapacity"] = throughput.get("WriteCapacityUnits")
    return found


def described_ttl(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the expiry of a table."""
    enabled = description.get("TimeToLiveStatus") in {"ENABLED", "ENABLING"}
    name = description.get("AttributeName") if enabled else None
    return {"enabled": enabled, "attributeName": name or ""}


def described_backups(description: Mapping[str, Any]) -> dict[str, Any]:
    """Return the continuous backups of a table."""
    recovery = description.get("PointInTimeRecoveryDescription") or {}
    enabled = recovery.get("PointInTimeRecoveryStatus") == "ENABLED"
    days = recovery.get("RecoveryPeriodInDays") if enabled else None
    return {"enabled": enabled, "recoveryPeriodInDays": days}


def by_name(indexes: list[dict[str, Any]] | None) -> dict[str, dict[str, Any]]:
    """Return indexes by their names."""
    return {index["name"]: index for index in indexes or []}


def bare(index: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return an index without what is not said, for comparison."""
    return {
        name: sorted(value) if isinstance(value, list) else value
        for name, value in (index or {}).items()
        if value
    }
