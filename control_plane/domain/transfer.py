"""What a tenant's stores hold, and its way from one deployment to another.

An application finds everything under the same names afterwards: keys of objects, and of items, stay
as they are. So what was copied is equal when, of each kind, the same names have the same digests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from control_plane.domain.canonical import digest
from control_plane.domain.errors import DataDiffers


class Kind(StrEnum):
    """What is copied, in this order."""

    OBJECT = "object"  # the present version of each
    ITEM = "item"
    SECRET = "secret"  # noqa: S105 - a kind: the present value of each, from shell to shell
    PARAMETER = "parameter"  # settings of the application


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the data of one deployment lies.

    ``prefix`` and ``leading_key`` are those of the data that is copied, in both places. ``secrets``
    are names by what each is for. Of a Mode A slice the bucket and table are its Hub's.
    """

    deployment_id: str
    region: str
    account_id: str
    role_arn: str | None
    external_id: str | None
    bucket: str
    prefix: str
    table: str
    leading_key: str
    secrets: Mapping[str, str]
    parameters: str  # path, without a slash at its end
    data_key_arn: str


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One thing in a store. ``version`` changes with its content; ``size`` is in bytes."""

    kind: Kind
    name: str
    version: str
    size: int = 0
    content: Any = field(default=None, repr=False, compare=False)  # of an item, read with it


@dataclass(frozen=True, kw_only=True)
class Copied:
    """A thing that was copied and read again. ``digest`` is of its content, in both places."""

    kind: Kind
    name: str
    version: str  # in the source
    target_version: str
    digest: str
    size: int = 0


@dataclass(frozen=True, kw_only=True)
class Totals:
    """How much there is of a kind, and the digest over all names with their digests."""

    count: int
    size: int
    digest: str

    def to_document(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"count": self.count, "bytes": self.size, "digest": self.digest}


@dataclass(frozen=True, kw_only=True)
class Delta:
    """What is still to be done: ``changed`` are things of the source, ``gone`` names elsewhere."""

    changed: tuple[Thing, ...]
    gone: tuple[str, ...]


KINDS: Final = tuple(Kind)


def delta(source: Iterable[Thing], known: Mapping[str, Copied]) -> Delta:
    """Return what of a kind differs from what was copied before."""
    seen: set[str] = set()
    changed = []
    for thing in source:
        seen.add(thing.name)
        before = known.get(thing.name)
        if before is None or before.version != thing.version:
            changed.append(thing)
    return Delta(changed=tuple(changed), gone=tuple(sorted(set(known) - seen)))


def totals(copied: Iterable[Copied]) -> Totals:
    """Return the sums of a kind; the digest does not depend on the order."""
    each = sorted(copied, key=lambda one: one.name)
    return Totals(
        count=len(each),
        size=sum(one.size for one in each),
        digest=digest([[one.name, one.digest] for one in each]),
    )


def require_equal(
    kind: Kind, source: Iterable[Thing], target: Iterable[Thing], known: Mapping[str, Copied]
) -> None:
    """Raise ``DataDiffers`` unless both places have exactly what was copied, nothing else."""
    left = delta(source, known)
    there = {thing.name: thing.version for thing in target}
    lost = sorted(n for n, one in known.items() if there.get(n) != one.target_version)
    more = sorted(set(there) - set(known))
    wrong = [*(thing.name for thing in left.changed), *left.gone, *lost, *more]
    if wrong:
        raise DataDiffers(
            f"{len(wrong)} of {len(known)} {kind}s are not the same in both places",
            kind=str(kind), changed=len(left.changed), gone=len(left.gone), lost=len(lost),
            more=len(more),
        )  # fmt: skip
