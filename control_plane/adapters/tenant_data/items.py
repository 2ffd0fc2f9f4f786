"""Items of a table that belong to one tenant, by their leading key."""

from __future__ import annotations

import hashlib
import json
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from control_plane.adapters.tenant_data.clients import Clients
from control_plane.domain.errors import DataDiffers, Unavailable
from control_plane.domain.transfer import Copied, Kind, Place, Thing

Item = Mapping[str, Any]
_AT_ONCE: Final = 25  # DynamoDB writes so many in one request
_READ_AT_ONCE: Final = 100
_TRIES: Final = 8
_UNORDERED: Final = frozenset({"SS", "NS", "BS"})


def things(client: Clients, place: Place) -> Iterator[Thing]:
    """Return the items whose leading key is the tenant's, one page after the other.

    A table cannot be asked for its partition keys, so the whole table is read and DynamoDB leaves
    out what is others'. Without a leading key the table is the tenant's own.
    """
    pages = client("dynamodb").get_paginator("scan")
    asked: dict[str, Any] = {"TableName": place.table, "ConsistentRead": True}
    if place.leading_key:
        asked["FilterExpression"] = "pk = :own OR begins_with(pk, :below)"
        asked["ExpressionAttributeValues"] = {
            ":own": {"S": place.leading_key}, ":below": {"S": f"{place.leading_key}#"},
        }  # fmt: skip
    for page in pages.paginate(**asked):
        for item in page["Items"]:
            yield _thing(item)


def _thing(item: Item) -> Thing:
    content = _canonical(item)
    return Thing(
        kind=Kind.ITEM,
        name=_name(item),
        version=f"sha256:{hashlib.sha256(content).hexdigest()}",
        size=len(content),
        content=item,
    )


def _name(item: Item) -> str:
    return json.dumps([item["pk"]["S"], item["sk"]["S"]], ensure_ascii=False)


def _key(name: str) -> dict[str, dict[str, str]]:
    pk, sk = json.loads(name)
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _canonical(item: Item) -> bytes:
    """Return the same bytes for equal items; levels are more than ``canonical_json`` takes."""
    return json.dumps(_ordered(item), sort_keys=True, ensure_ascii=False).encode()


def _ordered(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    if isinstance(value, Mapping):
        return {
            name: sorted(_ordered(each)) if name in _UNORDERED and isinstance(each, list)
            else _ordered(each)
            for name, each in value.items()
        }  # fmt: skip
    return [_ordered(each) for each in value] if isinstance(value, list) else value


def copy(
    read: Clients, write: Clients, source: Place, target: Place, asked: Sequence[Thing]
) -> list[Copied]:
    """Write items and read them again; an item is written over itself."""
    del read, source  # an item comes with its content
    dynamodb = write("dynamodb")
    for start in range(0, len(asked), _AT_ONCE):
        part = asked[start : start + _AT_ONCE]
        _write(dynamodb, target.table, [{"PutRequest": {"Item": one.content}} for one in part])
    there = {one.name: one.version for one in _read(dynamodb, target.table, asked)}
    if any(there.get(one.name) != one.version for one in asked):
        raise DataDiffers("an item cannot be read as it was written", kind=str(Kind.ITEM))
    return [
        Copied(kind=Kind.ITEM, name=one.name, version=one.version, target_version=one.version,
               digest=one.version, size=one.size)
        for one in asked
    ]  # fmt: skip


def describe(client: Clients, place: Place, asked: Sequence[Thing]) -> list[Copied]:
    """Return items with their digests; an item comes with its content."""
    del client, place
    return [
        Copied(kind=Kind.ITEM, name=one.name, version=one.version, target_version="",
               digest=one.version, size=one.size)
        for one in asked
    ]  # fmt: skip


def _write(dynamodb: Any, table: str, requests: list[dict[str, Any]]) -> None:
    left = requests
    for attempt in range(_TRIES):
        left = dynamodb.batch_write_item(RequestItems={table: left})["UnprocessedItems"].get(table)
        if not left:
            return
        time.sleep(0.05 * 2**attempt)  # the table takes so much at a time
    raise Unavailable("the table takes no more items now")


def _read(dynamodb: Any, table: str, asked: Sequence[Thing]) -> Iterator[Thing]:
    for start in range(0, len(asked), _READ_AT_ONCE):
        keys = [_key(one.name) for one in asked[start : start + _READ_AT_ONCE]]
        left: dict[str, Any] = {table: {"Keys": keys, "ConsistentRead": True}}
        for attempt in range(_TRIES):
            answer = dynamodb.batch_get_item(RequestItems=left)
            yield from map(_thing, answer["Responses"].get(table, ()))
            left = answer.get("UnprocessedKeys") or {}
            if not left:
                break
            time.sleep(0.05 * 2**attempt)  # as above
        else:
            raise Unavailable("the table gives no more items now")


def remove(client: Clients, place: Place, names: Sequence[str]) -> None:
    """Remove items; one that is not there is no fault."""
    dynamodb = client("dynamodb")
    for start in range(0, len(names), _AT_ONCE):
        part = names[start : start + _AT_ONCE]
        _write(dynamodb, place.table, [{"DeleteRequest": {"Key": _key(name)}} for name in part])
