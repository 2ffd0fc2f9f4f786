"""What of a removed deployment is still in the cloud: asked by tag and by name, of every service.

The state is empty by then and says nothing. Each search has one question; what was asked and not
answered is kept, since it proves nothing. What has to remain for a time is kept apart
(``remains.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from stacks.contract import Remaining, Request
from stacks.engine.hub_part import HubPart, holds_any, hub_part_of, items_of, versions_in
from stacks.engine.identities import GOING, Client, listed
from stacks.engine.looking_up import DEPLOYMENT_TAG, Cloud, code_of
from stacks.engine.remains import REMAINS, is_kept, kept_thing
from stacks.engine.strangers import (
    LISTERS,
    TAGGING,
    THREADS,
    Owner,
    ec2_tagged,
    is_there,
    owner_of,
)
from stacks.engine.things import Thing, of_arn

_WAIT_SECONDS = 0.05
_AWS_PATHS = ("/aws-service-role/", "/aws-reserved/")  # roles that AWS makes and nobody tags

Found = Thing | Remaining
Search = Callable[[Client, Owner], Iterator[Found]]


@dataclass(kw_only=True)
class Leftovers:
    """What was found; ``unanswered`` has the service and its answer, for each way of asking."""

    by_tag: list[Thing] = field(default_factory=list)
    by_name: list[Thing] = field(default_factory=list)
    remaining: list[Remaining] = field(default_factory=list)
    unanswered: dict[str, list[str]] = field(default_factory=dict)


def leftovers(request: Request, *, heed: Callable[[float], bool]) -> Leftovers:
    """Search for everything of a request's deployment.

    ``heed`` is called with seconds to wait for; it raises when the search is to stop, and returns
    whether there is time left. Raises ``CallFailed`` for a role that cannot be assumed.
    """
    cloud, owner = Cloud(request), owner_of(request.spec)
    searches = [("by_tag", name, search) for name, search in BY_TAG.items()]
    searches += [("by_name", name, search) for name, search in _by_name(request).items()]
    searches += [("by_name", name, search) for name, search in REMAINS.items()]
    found = Leftovers()
    pool = ThreadPoolExecutor(max_workers=THREADS)
    try:
        asked = {
            pool.submit(_searched, cloud.client, owner, search): (way, name)
            for way, name, search in searches
        }
        while not all(each.done() for each in asked) and heed(_WAIT_SECONDS):
            pass
        for each, (way, name) in asked.items():
            if not each.done():
                _unanswered(found, way, name, "not asked within the deadline")
            else:
                _keep(found, way, name, each.result())
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    _tidy(found)
    return found


def _searched(client: Client, owner: Owner, search: Search) -> list[Found] | Exception:
    """Return what a search finds and what is really there, or why there is no answer."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    try:
        return [
            each
            for each in search(client, owner)
            if isinstance(each, Remaining) or is_there(client, each)
        ]
    except (BotoCoreError, ClientError) as error:
        return error


def _keep(found: Leftovers, way: str, name: str, answer: list[Found] | Exception) -> None:
    if isinstance(answer, Exception):
        _unanswered(found, way, name, code_of(answer))
        return
    things = found.by_tag if way == "by_tag" else found.by_name
    for each in answer:
        if isinstance(each, Remaining):
            found.remaining.append(each)
        else:
            things.append(each)


def _unanswered(found: Leftovers, way: str, name: str, why: str) -> None:
    found.unanswered.setdefault(way, []).append(f"{name} ({why})")


def _tidy(found: Leftovers) -> None:
    """Leave each thing once, in order; of what has to remain, the one with a date."""
    for things in (found.by_tag, found.by_name):
        things[:] = sorted({(t.kind, t.id): t for t in things}.values(), key=str)
    dated = sorted(found.remaining, key=lambda r: (r.kind, r.id, r.until is None))
    once: dict[tuple[str, str], Remaining] = {}
    for each in dated:
        once.setdefault((each.kind, each.arn or each.id), each)
    found.remaining[:] = once.values()


# --- by tag ----------------------------------------------------------------------------------
def _tagged(client: Client, owner: Owner) -> Iterator[Found]:
    wanted = [{"Key": DEPLOYMENT_TAG, "Values": [owner.deployment]}]
    answer = ("get_resources", "ResourceTagMappingList")
    for each in listed(client, TAGGING, *answer, TagFilters=wanted):
        thing = of_arn(str(each["ResourceARN"]))
        yield kept_thing(thing) if is_kept(thing) else thing


def _iam_tagged(client: Client, owner: Owner) -> Iterator[Found]:
    iam = client("iam")
    for role in listed(client, "iam", "list_roles", "Roles"):
        if not role["Path"].startswith(_AWS_PATHS) and _is_ours(
            owner, iam.list_role_tags(RoleName=role["RoleName"])["Tags"]
        ):
            yield of_arn(role["Arn"])
    for policy in listed(client, "iam", "list_policies", "Policies", Scope="Local"):
        if _is_ours(owner, iam.list_policy_tags(PolicyArn=policy["Arn"])["Tags"]):
            yield of_arn(policy["Arn"])


def _keys_tagged(client: Client, owner: Owner) -> Iterator[Found]:
    """A key has no name; the one whose alias is gone is found by its tag alone."""
    kms = client("kms")
    for each in listed(client, "kms", "list_keys", "Keys"):
        key = kms.describe_key(KeyId=each["KeyId"])["KeyMetadata"]
        if key["KeyManager"] != "CUSTOMER":
            continue
        pairs = kms.list_resource_tags(KeyId=each["KeyId"])["Tags"]
        if not _is_ours(owner, [{"Key": p["TagKey"], "Value": p["TagValue"]} for p in pairs]):
            continue
        thing = of_arn(key["Arn"])
        if "Deletion" not in str(key["KeyState"]):
            yield thing
        else:
            yield kept_thing(thing, until=key.get("DeletionDate"))


def _rds_tagged(client: Client, owner: Owner) -> Iterator[Found]:
    """Groups of RDS, which the tagging service does not know."""
    rds = client("rds")
    for operation, answer, arn in (
        ("describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupArn"),
        ("describe_db_parameter_groups", "DBParameterGroups", "DBParameterGroupArn"),
    ):
        for group in listed(client, "rds", operation, answer):
            tags = rds.list_tags_for_resource(ResourceName=group[arn])["TagList"]
            if _is_ours(owner, tags):
                yield of_arn(group[arn])


def _is_ours(owner: Owner, pairs: Sequence[Mapping[str, Any]]) -> bool:
    return any((p["Key"], p["Value"]) == (DEPLOYMENT_TAG, owner.deployment) for p in pairs)


BY_TAG: Mapping[str, Search] = {
    "the tagging service": _tagged,
    "ec2": ec2_tagged,
    "iam": _iam_tagged,
    "kms": _keys_tagged,
    "rds": _rds_tagged,
}


# --- by name ---------------------------------------------------------------------------------
def _by_name(request: Request) -> dict[str, Search]:
    searches: dict[str, Search] = {**LISTERS, "ec2": _ec2_named}
    part = hub_part_of(request)
    if part is not None:
        searches["the Hub's bucket"] = partial(_objects, part)
        searches["the Hub's table"] = partial(_items, part)
    return searches


def _ec2_named(client: Client, owner: Owner) -> Iterator[Found]:
    """What is called so: by the tag that the console shows as a name, or as a security group."""
    named = [{"Name": "key", "Values": ["Name"]},
             {"Name": "value", "Values": [owner.short, f"{owner.short}-*"]}]  # fmt: skip
    for tag in listed(client, "ec2", "describe_tags", "Tags", Filters=named):
        if tag["ResourceType"] != "snapshot":
            yield Thing(f"ec2:{tag['ResourceType']}", tag["ResourceId"])
    groups = [{"Name": "group-name", "Values": [f"{owner.short}-*"]}]
    answer = ("describe_security_groups", "SecurityGroups")
    for group in listed(client, "ec2", *answer, Filters=groups):
        if str(group.get("State", "")).lower() not in GOING:
            yield Thing("ec2:security-group", group["GroupId"])


def _objects(part: HubPart, client: Client, _owner: Owner) -> Iterator[Found]:
    if holds_any(versions_in(client, part.bucket, part.prefix)):
        yield Thing("s3:objects", part.objects)


def _items(part: HubPart, client: Client, _owner: Owner) -> Iterator[Found]:
    if holds_any(items_of(client, part)):
        yield Thing("dynamodb:items", part.items)
