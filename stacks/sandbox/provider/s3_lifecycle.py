"""The lifecycle configuration of S3 buckets."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import Aws
from stacks.sandbox.provider.s3_settings import BucketSetting
from stacks.sandbox.provider.schema import (
    Fields,
    Problem,
    block,
    flag,
    integer,
    list_of,
    mapping,
    set_of,
    text,
)
from stacks.sandbox.provider.tags import from_pairs, pairs
from stacks.sandbox.provider.wire import Properties

_STORAGE_CLASS = rules.one_of(
    *("GLACIER", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "DEEP_ARCHIVE", "GLACIER_IR")
)
_TRANSITION: Fields = {
    "date": text(),
    "days": integer(rule=rules.between(0, 36_500)),
    "storageClass": text(required=True, rule=_STORAGE_CLASS),
}
_NONCURRENT: Fields = {
    "noncurrentDays": integer(required=True, rule=rules.between(1, 36_500)),
    "newerNoncurrentVersions": integer(rule=rules.between(1, 100)),
}
_SIZES: Fields = {"objectSizeGreaterThan": integer(), "objectSizeLessThan": integer()}
_FILTER: Fields = {
    **_SIZES,
    "prefix": text(),
    "tag": block({"key": text(required=True), "value": text(required=True)}),
    "and": block({**_SIZES, "prefix": text(), "tags": mapping()}),
}
_RULE: Fields = {
    "id": text(required=True, rule=rules.matching(r".{1,255}", "1 to 255 characters")),
    "status": text(required=True, rule=rules.one_of("Enabled", "Disabled")),
    "prefix": text(),
    "filter": block(_FILTER),
    "abortIncompleteMultipartUpload": block(
        {"daysAfterInitiation": integer(rule=rules.between(1, 36_500))}
    ),
    "expiration": block(
        {
            "date": text(),
            "days": integer(rule=rules.between(1, 36_500)),
            "expiredObjectDeleteMarker": flag(),
        }
    ),
    "noncurrentVersionExpiration": block(_NONCURRENT),
    "noncurrentVersionTransitions": set_of(
        block({**_NONCURRENT, "storageClass": text(required=True, rule=_STORAGE_CLASS)})
    ),
    "transitions": set_of(block(_TRANSITION)),
}
_ACTIONS = tuple(name for name in _RULE if name not in {"id", "status", "prefix", "filter"})
_NAMES = {"id": "ID", "and": "And"}


class BucketLifecycleConfiguration(BucketSetting):
    """When the objects of a bucket move to cheaper storage or expire."""

    urn_type = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
    label = "S3 Bucket Lifecycle Configuration"
    fields: ClassVar[Fields] = {
        "bucket": text(required=True, replaces=True),
        "expectedBucketOwner": text(computed=True, replaces=True),
        "transitionDefaultMinimumObjectSize": text(
            computed=True,
            rule=rules.one_of("all_storage_classes_128K", "varies_by_storage_class"),
        ),
        "rules": list_of(block(_RULE), required=True, rule=rules.some),
    }
    missing = frozenset({"NoSuchLifecycleConfiguration"})
    deleting = "delete_bucket_lifecycle"

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """Each rule has an action and an id of its own."""
        given = inputs["rules"] if isinstance(inputs["rules"], list) else []
        seen: set[str] = set()
        for index, rule in enumerate(item for item in given if isinstance(item, dict)):
            if not any(rule.get(name) for name in _ACTIONS):
                yield Problem(f"rules[{index}]", f"must have one of {', '.join(_ACTIONS)}")
            if isinstance(rule["id"], str) and rule["id"] in seen:
                yield Problem(f"rules[{index}].id", "must be unique")
            seen.add(str(rule["id"]))

    @override
    def put(self, aws: Aws, place: dict[str, str], inputs: Properties) -> None:
        sent = []
        for rule in inputs["rules"]:
            item = _sent(rule)
            if "Prefix" not in item and not item.get("Filter"):
                item["Filter"] = {"Prefix": ""}
            sent.append(item)
        aws.call(
            "s3",
            "put_bucket_lifecycle_configuration",
            **place,
            LifecycleConfiguration={"Rules": sent},
            TransitionDefaultMinimumObjectSize=inputs.get("transitionDefaultMinimumObjectSize"),
        )

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        answer = self.found(aws, "get_bucket_lifecycle_configuration", identity)
        if answer is None:
            return None
        size = answer.get("TransitionDefaultMinimumObjectSize")
        size = size or known.get("transitionDefaultMinimumObjectSize")
        return self.described(
            identity,
            rules=[_received(rule, _RULE) for rule in answer.get("Rules") or []],
            transitionDefaultMinimumObjectSize=size,
        )


def _sent(value: Any, name: str = "") -> Any:
    """Return a value in the words of the API: names begin upper-case, tags are a list."""
    if name == "tags":
        return pairs(value)
    if isinstance(value, Mapping):
        return {
            _NAMES.get(key, key[0].upper() + key[1:]): _sent(item, key)
            for key, item in value.items()
            if item is not None
        }
    return [_sent(item) for item in value] if isinstance(value, list) else value


def _received(value: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Return the known members of an API object in the words of the SDK."""
    found: dict[str, Any] = {}
    for name, known in fields.items():
        item = value.get(_NAMES.get(name, name[0].upper() + name[1:]))
        if item is None:
            continue
        if name == "tags":
            item = from_pairs(item)
        elif isinstance(item, Mapping):
            item = _received(item, known.fields)
        elif isinstance(item, list) and known.item is not None:
            item = [_received(member, known.item.fields) for member in item]
        elif isinstance(item, datetime):
            item = item.strftime("%Y-%m-%dT%H:%M:%SZ")
        found[name] = item
    return found


TYPES = (BucketLifecycleConfiguration(),)
