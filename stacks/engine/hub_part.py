"""The part of a shared Hub's stores that a slice has: objects below its prefix, items of its keys.

They are in no state. Items cannot be asked for by the beginning of a key, so the whole table is
read for them: only where a slice is counted or removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from stacks.contract import Program, Request
from stacks.engine.identities import Client

NO_BUCKET, NO_TABLE = "NoSuchBucket", "ResourceNotFoundException"

Version = Mapping[str, Any]  # Key, VersionId, and Size but for a delete marker
Item = Mapping[str, Any]  # the key of one


@dataclass(frozen=True, kw_only=True)
class HubPart:
    """Where a slice has its data; ``key`` begins its partition keys."""

    bucket: str
    prefix: str
    table: str
    key: str

    @property
    def objects(self) -> str:
        """The place of the objects, for people."""
        return f"{self.bucket}/{self.prefix}"

    @property
    def items(self) -> str:
        """The place of the items, for people."""
        return f"{self.table}/{self.key}"


def hub_part_of(request: Request) -> HubPart | None:
    """Return the part of its Hub that the stack has, None for any other than a slice."""
    if request.program is not Program.SLICE:
        return None
    short, hub = str(request.spec["owner"]["short"]), request.spec["hub"]
    return HubPart(
        bucket=str(hub["data_bucket"]),
        prefix=f"tenants/{short}/",
        table=str(hub["table_name"]),
        key=short,
    )


def versions_in(client: Client, bucket: str, prefix: str = "") -> Iterator[Sequence[Version]]:
    """Yield page by page every version and delete marker; none of a bucket that does not exist."""
    s3 = client("s3")
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix)
    try:
        for page in pages:
            yield [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
    except s3.exceptions.ClientError as error:
        if error.response["Error"]["Code"] != NO_BUCKET:
            raise


def items_of(client: Client, part: HubPart) -> Iterator[Sequence[Item]]:
    """Yield page by page the keys of a slice's items; none of a table that does not exist."""
    query = {
        "TableName": part.table,
        "ConsistentRead": True,
        "ProjectionExpression": "pk, sk",
        "FilterExpression": "pk = :own OR begins_with(pk, :parts)",
        "ExpressionAttributeValues": {":own": {"S": part.key}, ":parts": {"S": f"{part.key}#"}},
    }
    dynamodb = client("dynamodb")
    try:
        for page in dynamodb.get_paginator("scan").paginate(**query):
            yield page["Items"]
    except dynamodb.exceptions.ResourceNotFoundException:
        return


def holds_any(pages: Iterator[Sequence[Any]]) -> bool:
    """Tell whether there is anything on any page."""
    return any(map(len, pages))
