"""The removal of what is in no state: settings of the application, and a slice's part of its Hub.

It is a part of the plan like the resources: planned where there is something, erased when the role
and the key of the deployment are gone, and erased again by the next removal when this one was
interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from stacks.contract import Code, PlannedOperation, PlannedResource
from stacks.engine.backend import PROJECT
from stacks.engine.call import Call
from stacks.engine.failures import CallFailed
from stacks.engine.hub_part import HubPart, holds_any, hub_part_of, items_of, versions_in
from stacks.engine.looking_up import Cloud, code_of
from stacks.engine.strangers import owner_of

OBJECTS, ITEMS = "tenantplane:mode_a:Objects", "tenantplane:mode_a:Items"
SETTINGS = "tenantplane:application:Settings"

_ASKING = "look at what is in no state"
_DOING = "erase what is in no state"
_OBJECTS_AT_ONCE = 1000  # the limits of the services
_ITEMS_AT_ONCE = 25
_SETTINGS_AT_ONCE = 10
_PAUSE_SECONDS = 0.2  # before what DynamoDB has put off is asked for again


def planned_erasures(call: Call) -> tuple[PlannedOperation, ...]:
    """Return what is to be erased, sorted by URN: nothing of what holds nothing.

    Raises ``CallFailed`` when the cloud does not answer.
    """
    if not call.removes:
        return ()
    cloud, path = Cloud(call.request), _path(call)
    said = f"Every setting of the application below {path} is erased."
    found: list[tuple[str, str, str, Iterator[Sequence[Any]]]] = [
        (SETTINGS, "settings", said, _settings_of(cloud, path))
    ]
    part = hub_part_of(call.request)
    if part is not None:
        said = f"Every item of {part.items} in the Hub's table is erased."
        found.append((ITEMS, "items", said, items_of(cloud.client, part)))
        said = f"Every object below {part.objects} is erased, in all versions."
        objects = versions_in(cloud.client, part.bucket, part.prefix)
        found.append((OBJECTS, "objects", said, objects))
    planned = [
        PlannedOperation(
            urn=f"urn:pulumi:{call.request.stack}::{PROJECT}::{kind}::{name}",
            type=kind,
            name=name,
            op="delete",
            holds_data=True,
            irreversible=True,
            on_removal=sentence,
        )
        for kind, name, sentence, pages in found
        if _asked(_ASKING, partial(holds_any, pages))
    ]
    return tuple(sorted(planned, key=lambda each: each.urn))


def resource_of(operation: PlannedOperation) -> PlannedResource:
    """Return an erasure as policies see it: nothing in the cloud that they judge."""
    return PlannedResource(
        urn=operation.urn, type=operation.type, name=operation.name,
        operation=operation.op, custom=False,
    )  # fmt: skip


def erase(call: Call, operations: Sequence[PlannedOperation]) -> None:
    """Erase what was planned. Raises ``CallFailed``: what is left is erased by the next removal."""
    wanted = [o for o in operations if o.type in (OBJECTS, ITEMS, SETTINGS)]
    if not wanted:
        return
    until = time.monotonic() + call.request.deadlines.apply_seconds
    cloud = Cloud(call.request)
    with call.phase("erase"):
        for operation in wanted:
            _tell(call, operation, "started")
            pages = _erasing(call, cloud, operation.type)
            while _asked(_DOING, partial(next, pages, None)) is not None:
                call.heed(until=until, doing=_DOING)
            _tell(call, operation, "done")


def _erasing(call: Call, cloud: Cloud, kind: str) -> Iterator[int]:
    part = hub_part_of(call.request)
    if kind == SETTINGS or part is None:
        return _settings(cloud, _path(call))
    return _objects(cloud, part) if kind == OBJECTS else _items(cloud, part)


def _path(call: Call) -> str:
    """Return what the names of the application's settings begin with."""
    return f"/tenantplane/{owner_of(call.request.spec).short}/app/"


def _settings_of(cloud: Cloud, path: str) -> Iterator[Sequence[str]]:
    """Yield page by page the names of the application's settings; no value is read."""
    wanted = [{"Key": "Name", "Option": "BeginsWith", "Values": [path]}]
    pages = cloud.client("ssm").get_paginator("describe_parameters")
    for page in pages.paginate(ParameterFilters=wanted):
        yield [str(each["Name"]) for each in page["Parameters"]]


def _settings(cloud: Cloud, path: str) -> Iterator[int]:
    """Delete page by page, until a list from its beginning is empty; yields how many."""
    ssm = cloud.client("ssm")
    while page := next(filter(None, _settings_of(cloud, path)), ()):
        for start in range(0, len(page), _SETTINGS_AT_ONCE):
            some = page[start : start + _SETTINGS_AT_ONCE]
            yield len(ssm.delete_parameters(Names=some)["DeletedParameters"])


def _objects(cloud: Cloud, part: HubPart) -> Iterator[int]:
    """Delete page by page, until a list from its beginning is empty; yields how many.

    A list continues behind its last version, and nobody promises where that is once it is gone.
    """
    s3 = cloud.client("s3")
    while page := next(versions_in(cloud.client, part.bucket, part.prefix), ()):
        for start in range(0, len(page), _OBJECTS_AT_ONCE):
            some = page[start : start + _OBJECTS_AT_ONCE]
            named = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in some]
            answer = s3.delete_objects(Bucket=part.bucket, Delete={"Objects": named, "Quiet": True})
            for error in answer.get("Errors", ()):
                raise _refused(_DOING, str(error["Code"]))
            yield len(named)


def _items(cloud: Cloud, part: HubPart) -> Iterator[int]:
    """Delete page by page; yields how many. What DynamoDB puts off is asked for again."""
    dynamodb = cloud.client("dynamodb")
    for page in items_of(cloud.client, part):
        for start in range(0, len(page), _ITEMS_AT_ONCE):
            requests: list[Any] = [
                {"DeleteRequest": {"Key": {"pk": item["pk"], "sk": item["sk"]}}}
                for item in page[start : start + _ITEMS_AT_ONCE]
            ]
            while requests:
                answer = dynamodb.batch_write_item(RequestItems={part.table: requests})
                left = answer.get("UnprocessedItems", {}).get(part.table, [])
                yield len(requests) - len(left)
                if left:
                    time.sleep(_PAUSE_SECONDS)  # throttled: at once it would be again
                requests = left


def _asked(doing: str, ask: Callable[[], Any]) -> Any:
    """Return what ``ask`` does. Raises ``CallFailed`` when the cloud refuses."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    try:
        return ask()
    except (BotoCoreError, ClientError) as error:
        raise _refused(doing, code_of(error)) from error


def _refused(doing: str, code: str) -> CallFailed:
    return CallFailed(
        Code.PROVIDER, f"The cloud refused to {doing}: {code}.", data={"aws_code": code}
    )


def _tell(call: Call, operation: PlannedOperation, status: str) -> None:
    body = {"phase": "apply", "status": status, "op": operation.op, "urn": operation.urn,
            "type": operation.type, "name": operation.name}  # fmt: skip
    call.channel.event("resource", body)
