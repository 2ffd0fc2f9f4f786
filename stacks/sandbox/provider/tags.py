"""Tags in the shapes of the AWS APIs, and the difference between two sets of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


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


def tag_change(old: Mapping[str, str] | None, new: Mapping[str, str] | None) -> TagChange:
    """Return how to get from one set of tags to another."""
    before, after = old or {}, new or {}
    return TagChange(
        remove=sorted(key for key in before if key not in after),
        put={key: value for key, value in after.items() if before.get(key) != value},
    )
