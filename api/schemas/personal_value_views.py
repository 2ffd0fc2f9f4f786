"""Bodies and answers about personal values of the log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, StringConstraints

from api.schemas.requests import Body, Reason
from api.schemas.views import View
from control_plane.domain.canonical import parse_canonical
from control_plane.domain.disclosure import (
    GRANT_LIFE_DAYS,
    MAX_ERASED,
    MAX_GRANT_LIFE_DAYS,
    MAX_OPENED,
    DisclosureGrant,
    Erasure,
    ErasureScope,
    listed,
    tree_of,
)
from control_plane.services.disclosures import Opened

Path = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,99}$")]
EventId = Annotated[str, StringConstraints(pattern=r"^evt_[0-9A-HJKMNP-TV-Z]{26}$")]
Index = Annotated[int, Field(ge=0, le=2**53 - 1)]
Subject = Annotated[str, StringConstraints(min_length=1, max_length=320)]


class Opening(Body):
    """Which values of an entry to open: all that it has, or those of `paths`."""

    idx: Index
    paths: Annotated[list[Path], Field(max_length=MAX_OPENED, default_factory=list)]
    reason: Reason


class GrantWish(Body):
    """What exports may hold: values below `paths` (all if none), of some entries, for `days`."""

    paths: Annotated[list[Path], Field(max_length=20, default_factory=list)]
    first_idx: Index | None = None
    last_idx: Index | None = None
    days: Annotated[int, Field(ge=1, le=MAX_GRANT_LIFE_DAYS)] = GRANT_LIFE_DAYS
    reason: Reason


class NamedValue(Body):
    """A value: the event that has it, and its path there."""

    event_id: EventId
    path: Path


class ErasureWish(Body):
    """What is to be erased: all values of a `subject`, or the named `values`; one of the two."""

    subject: Subject | None = None
    values: Annotated[list[NamedValue], Field(max_length=MAX_ERASED, default_factory=list)]
    legal_reference: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    reason: Reason


class ErasureConfirmation(Body):
    """The digest of the list that was read."""

    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
    reason: Reason


class ValueView(View):
    """A personal value; `matches` says whether it is what the entry committed to.

    An erased one has neither value nor salt.
    """

    path: str
    commitment: str
    value: Any
    salt: str | None
    matches: bool | None
    erased_at: datetime | None
    erasure_event: str | None


class OpenedView(View):
    """What was opened of an entry."""

    idx: int
    values: list[ValueView]

    @classmethod
    def of(cls, opened: Opened) -> Self:
        """Return the view of opened values."""
        values = [
            ValueView(
                path=each.path,
                commitment=opened.commitments[each.path],
                value=parse_canonical(each.value.encode()) if each.value is not None else None,
                salt=each.salt.hex() if each.salt is not None else None,
                matches=opened.matches(each),
                erased_at=each.erased_at,
                erasure_event=each.erasure_event,
            )
            for each in opened.values
        ]
        return cls(idx=opened.idx, values=values)


class GrantView(View):
    """A grant for exports of one log: `requested`, `granted` or `expired`."""

    id: str
    tree: str
    status: str
    paths: list[str]
    first_idx: int | None
    last_idx: int | None
    reason: str
    requested_by: str
    requested_at: datetime
    granted_by: str | None
    granted_at: datetime | None
    expires_at: datetime

    @classmethod
    def of(cls, grant: DisclosureGrant, now: datetime) -> Self:
        """Return the view of a grant as it is now."""
        return cls.like(
            grant, tree=tree_of(grant.tenant_id), status=grant.status_at(now),
            paths=list(grant.paths),
        )  # fmt: skip


class NamedTree(View):
    """Values of one log that an erasure names, each as event id and path."""

    tree: str
    values: list[str]


class ErasureView(View):
    """An erasure: `requested`, `done` or `expired`. `digest` is what the second person confirms."""

    id: str
    tree: str
    status: str
    scope: ErasureScope
    count: int
    digest: str
    reason: str
    legal_reference: str
    requested_by: str
    requested_at: datetime
    confirmed_by: str | None
    confirm_reason: str | None
    confirmed_at: datetime | None
    expires_at: datetime
    values: list[NamedTree]

    @classmethod
    def of(cls, erasure: Erasure, now: datetime) -> Self:
        """Return the view of an erasure as it is now."""
        tree = "all" if erasure.is_everywhere else tree_of(erasure.tenant_id)
        values = [NamedTree(tree=each["tree"], values=listed(each)) for each in erasure.parts]
        return cls.like(erasure, tree=tree, status=erasure.status_at(now), values=values)
