"""The operation ``contents``: what the data stores of a stack hold, counted in the cloud.

Every store is counted whole, so that nobody removes what holds something. What cannot be counted,
or not in time, says so: it does not count as empty.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from stacks.contract import Result, Store
from stacks.engine.backend import State
from stacks.engine.call import Call
from stacks.engine.failures import name_of
from stacks.engine.hub_part import HubPart, Version, hub_part_of, items_of, versions_in
from stacks.engine.identities import Client, listed
from stacks.engine.looking_up import Cloud, code_of
from stacks.engine.state import in_cloud
from stacks.engine.strangers import THREADS, owner_of

_DOING = "count what the stores hold"
_WAIT_SECONDS = 0.05
_GIB = 1 << 30
_CLASS = "tenantplane:data-class"
_BUCKET, _TABLE = "aws:s3/bucket:Bucket", "aws:dynamodb/table:Table"
_SECRET, _PARAMETER = "aws:secretsmanager/secret:Secret", "aws:ssm/parameter:Parameter"
_DATABASE = "aws:rds/instance:Instance"

_Page = Mapping[str, Any]  # fields of a ``Store``; numbers are of this page alone
_Pages = Callable[[Client, Store], Iterator[_Page]]


def contents(call: Call) -> Result:
    """Count what the data stores hold. Raises ``CallFailed`` when the call was canceled."""
    state = call.state()
    until = time.monotonic() + call.request.deadlines.verify_seconds
    is_over = [False]
    with call.phase("count"):
        cloud = Cloud(call.request)
        pool = ThreadPoolExecutor(max_workers=THREADS)
        try:
            asked = [
                pool.submit(_counted, cloud.client, store, counter, is_over)
                for store, counter in _stores(call, state)
            ]
            while not all(each.done() for each in asked):
                is_over[0] = is_over[0] or time.monotonic() > until
                call.heed(until=float("inf"), doing=_DOING, seconds=_WAIT_SECONDS)
        finally:
            is_over[0] = True
            pool.shutdown(wait=False, cancel_futures=True)
    stores = [each.result() for each in asked]
    return Result(
        outcome="counted",
        state_digest=None if state is None else call.digest_of(state),
        stores=tuple(sorted(stores, key=lambda s: (s.type, s.name, s.place))),
        seconds=call.seconds,
    )


def _stores(call: Call, state: State | None) -> Iterator[tuple[Store, _Pages]]:
    """Yield every store that the stack has, and what counts it."""
    for resource in in_cloud(state):
        found = _OF_TYPE.get(resource["type"])
        if found is None or resource.get("external"):
            continue
        name, pages = found
        inputs = resource.get("inputs") or {}
        store = Store(
            urn=resource["urn"],
            type=resource["type"],
            name=name_of(resource["urn"]),
            place=str(inputs.get(name, "")),
            data_class=str((inputs.get("tags") or {}).get(_CLASS, "")),
        )
        yield store, pages
    part = hub_part_of(call.request)
    if part is not None:
        yield (
            Store(type=_BUCKET, name="data", place=part.objects, data_class="customer"),
            partial(_objects, part.bucket, part.prefix),
        )
        yield (
            Store(type=_TABLE, name="hub", place=part.items, data_class="customer"),
            partial(_items, part),
        )
    path = f"/tenantplane/{owner_of(call.request.spec).short}/"
    own = {str((r.get("inputs") or {}).get("name")) for r in in_cloud(state) if
           r["type"] == _PARAMETER}  # fmt: skip
    yield (
        Store(type=_PARAMETER, name="parameters", place=path, data_class="operational",
              detail="those that the stack did not make itself"),
        partial(_parameters, path, own),
    )  # fmt: skip


def _counted(client: Client, store: Store, pages: _Pages, is_over: Sequence[bool]) -> Store:
    """Return the store with what it holds, or with why nobody knows."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    counted = store.model_copy(update={"items": 0})
    try:
        for page in pages(client, store):
            if is_over[0]:
                why = f"not counted within the deadline; at least {counted.items}"
                break
            counted = _with(counted, page)
        else:
            return counted
    except (BotoCoreError, ClientError) as error:
        why = f"did not respond: {code_of(error)}"
    return store.model_copy(update={"countable": False, "detail": why})


def _with(counted: Store, page: _Page) -> Store:
    """Return a store with what one more page of it has; numbers are added."""
    sums = {
        name: (getattr(counted, name) or 0) + page[name]
        for name in ("items", "bytes")
        if page.get(name) is not None
    }
    return counted.model_copy(update={**page, **sums})


# --- pages: what a store holds, piece by piece -----------------------------------------------


def _bucket(client: Client, store: Store) -> Iterator[_Page]:
    return _objects(store.place, "", client, store)


def _objects(bucket: str, prefix: str, client: Client, _store: Store) -> Iterator[_Page]:
    """Count every version of every object; marks of deletion hold nothing."""
    yield {"items": 0, "bytes": 0, "detail": "objects, each old version counted as one more"}
    for versions in versions_in(client, bucket, prefix):
        held: list[Version] = [v for v in versions if "Size" in v]
        yield {"items": len(held), "bytes": sum(v["Size"] for v in held)}


def _table(client: Client, store: Store) -> Iterator[_Page]:
    dynamodb = client("dynamodb")
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=store.place, Select="COUNT", ConsistentRead=True
    )
    try:
        for page in pages:
            yield {"items": page["Count"]}
    except dynamodb.exceptions.ResourceNotFoundException:
        yield {"detail": "it does not exist"}


def _items(part: HubPart, client: Client, _store: Store) -> Iterator[_Page]:
    for items in items_of(client, part):
        yield {"items": len(items)}


def _secret(client: Client, store: Store) -> Iterator[_Page]:
    """Count the values that have a stage: AWS forgets the others."""
    manager = client("secretsmanager")
    try:
        found = manager.describe_secret(SecretId=store.place)
    except manager.exceptions.ResourceNotFoundException:
        yield {"detail": "it does not exist"}
        return
    yield {"items": len(found.get("VersionIdsToStages") or {}), "detail": "values"}


def _parameters(path: str, own: set[str], client: Client, _store: Store) -> Iterator[_Page]:
    wanted = [{"Key": "Name", "Option": "BeginsWith", "Values": [path]}]
    every = ("describe_parameters", "Parameters")
    for parameter in listed(client, "ssm", *every, ParameterFilters=wanted):
        yield {"items": int(parameter["Name"] not in own)}


def _database(client: Client, store: Store) -> Iterator[_Page]:
    rds = client("rds")
    try:
        (found,) = rds.describe_db_instances(DBInstanceIdentifier=store.place)["DBInstances"]
    except rds.exceptions.DBInstanceNotFoundFault:
        yield {"detail": "it does not exist"}
        return
    yield {
        "items": None,
        "countable": False,
        "bytes": found["AllocatedStorage"] * _GIB,
        "detail": "rows cannot be counted from outside; bytes are those that are allocated",
    }


# the input that is the physical name, and what counts
_OF_TYPE: Mapping[str, tuple[str, _Pages]] = {
    _BUCKET: ("bucket", _bucket),
    _DATABASE: ("identifier", _database),
    _SECRET: ("name", _secret),
    _TABLE: ("name", _table),
}
