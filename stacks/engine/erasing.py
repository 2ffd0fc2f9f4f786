"""The removal of what a slice has in its Hub's stores: a part of the plan like its resources.

It is planned where there is something, erased when the slice's role and key are gone, and erased
again by the next removal when this one was interrupted.
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

OBJECTS, ITEMS = "tenantplane:mode_a:Objects", "tenantplane:mode_a:Items"

_ASKING = "look at what the slice has in the stores of its Hub"
_DOING = "erase what the slice has in the stores of its Hub"
_OBJECTS_AT_ONCE = 1000  # the limits of the services
_ITEMS_AT_ONCE = 25
_PAUSE_SECONDS = 0.2  # before what DynamoDB has put off is asked for again


def planned_erasures(call: Call) -> tuple[PlannedOperation, ...]:
    """Return what of a slice is to be erased, sorted by URN: nothing of what holds nothing.

    Raises ``CallFailed`` when the cloud does not answer.
    """
    part = hub_part_of(call.request) if call.removes else None
    if part is None:
        return ()
    cloud = Cloud(call.request)
    found = [
        _asked(_ASKING, lambda: holds_any(items_of(cloud.client, part))),
        _asked(_ASKING, lambda: holds_any(versions_in(cloud.client, part.bucket, part.prefix))),
    ]
    says = (
        (ITEMS, "items", f"Every item of {part.items} in the Hub's table is erased."),
        (OBJECTS, "objects", f"Every object below {part.objects} is erased, in all versions."),
    )
    return tuple(
        PlannedOperation(
            urn=f"urn:pulumi:{call.request.stack}::{PROJECT}::{kind}::{name}",
            type=kind,
            name=name,
            op="delete",
            holds_data=True,
            irreversible=True,
            on_removal=sentence,
        )
        for (kind, name, sentence), is_there in zip(says, found, strict=True)
        if is_there
    )


def resource_of(operation: PlannedOperation) -> PlannedResource:
    """Return an erasure as policies see it: nothing in the cloud that they judge."""
    return PlannedResource(
        urn=operation.urn, type=operation.type, name=operation.name,
        operation=operation.op, custom=False,
    )  # fmt: skip


def erase(call: Call, operations: Sequence[PlannedOperation]) -> None:
    """Erase what was planned. Raises ``CallFailed``: what is left is erased by the next removal."""
    part = hub_part_of(call.request)
    wanted = [o for o in operations if o.type in (OBJECTS, ITEMS)]
    if part is None or not wanted:
        return
    until = time.monotonic() + call.request.deadlines.apply_seconds
    cloud = Cloud(call.request)
    with call.phase("erase"):
        for operation in wanted:
            _tell(call, operation, "started")
            pages = _objects(cloud, part) if operation.type == OBJECTS else _items(cloud, part)
            while _asked(_DOING, partial(next, pages, None)) is not None:
                call.heed(until=until, doing=_DOING)
            _tell(call, operation, "done")


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
