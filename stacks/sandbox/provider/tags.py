"""Tags in the shapes of the AWS APIs, and the difference between two sets of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field


def pairs(
    tags: Mapping[str, str] | None, key: str = "Key", value: str = "Value"
) -> list[dict[str, str]]:
    """Return tags as the list of key and value objects most APIs want."""
    return [{key: name, value: content} for name, content in sorted((tags or {}).items())]


def from_pairs(
    tags: Iterable[Mapping[str, str]] | None, key: str = "Key", value: str = "Value"
) -> dict[str, str]:
    """Return a list of key and value objects as a map, without the tags AWS itself sets."""
    return {tag[key]: tag.get(value, "") for tag in tags or () if not tag[key].startswith("aws:")}


@dataclass(frozen=True)
class TagChange:
    """What to call: keys to remove and tags to set."""

    remove: list[str]
    put: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Tagging:
    """How a service changes the tags of a thing: its two operations, and how they name the thing.

    place: the parameter that is given the id, or with by_arn the ARN. further: other parameters.
    pair: what the service calls the key and the value of a tag.
    """

    service: str
    place: str
    by_arn: bool = False
    further: Mapping[str, str] = field(default_factory=dict)
    remove: str = "untag_resource"
    put: str = "tag_resource"
    pair: tuple[str, str] = ("Key", "Value")


def tag_change(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> TagChange:
    """Return how to get from one set of tags to another."""
    before, after = old or {}, new or {}
    return TagChange(
        remove=sorted(key for key in before if key not in after),
        put={key: value for key, value in after.items() if before.get(key) != value},
    )
