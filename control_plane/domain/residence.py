"""Where what a tenant has really is, against what was promised of it.

A look says the places: of each resource, and of each copy that a service keeps elsewhere. Services
that are in no region, such as IAM, are listed as global and are never out of place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, ClassVar, Final

from control_plane.domain.canonical import digest
from control_plane.domain.documents import Documented, Readers
from control_plane.domain.engine import Drift, Place
from control_plane.domain.finding import FindingKind

GLOBAL: Final = "global"
_COPIES: Final = frozenset({"backup", "replica"})


@dataclass(frozen=True, kw_only=True)
class Promise(Documented):
    """What was promised: nothing unless ``is_stated``; ``allowed`` are the regions then."""

    _readers: ClassVar[Readers] = {"regions": tuple, "allowed": tuple}

    is_stated: bool
    zone: str | None = None
    regions: tuple[str, ...] = ()
    strict: bool = False
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Residence:
    """Evidence of where everything is. A look that finds the same confirms it.

    ``ok`` is None where nothing was promised, or where not everything could be asked, which
    ``unanswered`` says. ``digest`` is that of promise, places, ``unanswered`` and ``ok``.
    ``searched_at``: when the other regions of the account were searched last.
    """

    id: str
    deployment_id: str
    tenant_id: str | None
    promise: Promise
    places: tuple[Place, ...]
    ok: bool | None
    unanswered: str
    digest: str
    first_seen_by: str
    first_seen_at: datetime
    last_seen_by: str
    last_seen_at: datetime
    searched_at: datetime | None
    version: int = 1

    def confirmed(self, run_id: str, now: datetime, searched_at: datetime | None) -> Residence:
        """Return it as a later look found it again."""
        return replace(
            self,
            last_seen_by=run_id,
            last_seen_at=now,
            searched_at=searched_at,
            version=self.version + 1,
        )

    @property
    def elsewhere(self) -> tuple[Place, ...]:
        """What a search of other regions found: it is there until the next one."""
        return tuple(each for each in self.places if each.what in _COPIES and not each.of)


def misplaced(promise: Promise, places: Sequence[Place]) -> tuple[Drift, ...]:
    """Return what is where it was promised not to be, each with its region as the path."""
    if not promise.is_stated:
        return ()
    return tuple(
        Drift(
            kind=FindingKind.MISPLACED,
            subject=place.subject,
            type=place.type,
            path=place.region,
            expected={"regions": list(promise.allowed)},
            actual={"region": place.region, "what": place.what},
        )
        for place in places
        if place.region not in {GLOBAL, *promise.allowed}
    )


def judged(promise: Promise, places: Sequence[Place], unanswered: str) -> bool | None:
    """Return whether a promise is kept, None where there is none or nobody knows."""
    if misplaced(promise, places):
        return False
    return True if promise.is_stated and not unanswered else None


def residence_digest(
    promise: Promise, places: Sequence[Place], unanswered: str, *, ok: bool | None
) -> str:
    """Return the digest of what a look said."""
    document: dict[str, Any] = {
        "promise": promise.to_document(),
        "places": [place.to_document() for place in places],
        "unanswered": unanswered,
        "ok": ok,
    }
    return digest(document)
