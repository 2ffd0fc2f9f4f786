"""What people may ask of a run, by its kind and status: one table.

``ACTIONS`` is drawn into ``docs/status.md``; a test walks every cell over the real services. What
no row names is refused. A status that does not end a run has an action, or says what continues it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from control_plane.domain.run import TRANSITIONS_OF, BlockedOn, RunKind, RunStatus


class Action(StrEnum):
    """What may be asked of a run."""

    CANCEL = "cancel"
    RETRY = "retry"
    DECIDE = "decide"  # of its approval


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An action and what it does, in one sentence."""

    action: Action
    does: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What is possible in a status, and what happens ``by_itself``."""

    offers: tuple[Offer, ...] = ()
    by_itself: str = ""


_S, _K, _B = RunStatus, RunKind, BlockedOn
_AT_ONCE: Final = Offer(action=Action.CANCEL, does="ends it at once; nothing was changed")
_ENDS: Final = Offer(
    action=Action.CANCEL, does="ends it at once; what it did before stays, and a retry settles that"
)
_STOPS: Final = Offer(
    action=Action.CANCEL,
    does="stops the engine before its next resource; what was done stays, and the run says what is "
    "left",
)
_NEW_RUN: Final = Offer(
    action=Action.RETRY,
    does="requests a new run for what this one wanted, which first settles what it left",
)
_AGAIN: Final = Offer(
    action=Action.RETRY, does="looks again whether it can continue, in the status it had"
)
_PLANS_AGAIN: Final = Offer(
    action=Action.RETRY, does="requests a new run with a new plan, which supersedes this one"
)
_DECIDE: Final = Offer(action=Action.DECIDE, does="approves or rejects exactly its plan")
_CHANGING: Final[Mapping[RunStatus, Cell]] = {
    _S.REQUESTED: Cell(offers=(_AT_ONCE,), by_itself="a worker takes it up"),
    _S.PLANNING: Cell(offers=(_AT_ONCE,), by_itself="the engine plans"),
    _S.AWAITING_APPROVAL: Cell(offers=(_DECIDE, _AT_ONCE), by_itself="it expires"),
    _S.APPROVED: Cell(offers=(_AT_ONCE,), by_itself="a worker applies it"),
    _S.APPLYING: Cell(offers=(_STOPS,), by_itself="the engine applies"),
    _S.VERIFYING: Cell(by_itself="the checks end, also after a crash: it is applied already"),
    _S.ERRORED: Cell(offers=(_NEW_RUN,)),
    _S.CANCELED: Cell(offers=(_NEW_RUN,)),
    _S.EXPIRED: Cell(offers=(_NEW_RUN,)),
    _S.REJECTED: Cell(offers=(_NEW_RUN,)),
    _S.POLICY_FAILED: Cell(offers=(_NEW_RUN,)),
    _S.SUPERSEDED: Cell(),
    _S.APPLIED: Cell(),
    _S.NO_CHANGES: Cell(),
}
_BLOCKED: Final[Mapping[BlockedOn, Cell]] = {
    _B.HUB_UNAVAILABLE: Cell(
        offers=(_ENDS,), by_itself="it continues when a Hub has room (`hub create`)"
    ),
    _B.NO_ACCOUNT: Cell(offers=(_AGAIN, _ENDS), by_itself="it continues when an account is added"),
    _B.FOREIGN_LOCK: Cell(offers=(_AGAIN, _ENDS), by_itself="a timer looks again"),
    _B.PENDING_UNRESOLVED: Cell(offers=(_AGAIN, _ENDS)),
    _B.STATE_MOVED: Cell(offers=(_PLANS_AGAIN, _ENDS)),
    _B.HOLD: Cell(offers=(_ENDS,), by_itself="it continues when the last hold is released"),
}
# another look, or another plan, is as good as a retry: these are asked for again by name
_READING: Final[Mapping[RunStatus, Cell]] = {
    _S.REQUESTED: _CHANGING[_S.REQUESTED],
    _S.PLANNING: _CHANGING[_S.PLANNING],
    _S.VERIFYING: Cell(offers=(_AT_ONCE,), by_itself="the engine compares"),
}
_NOTHING: Final = Cell()


def _of_kind(kind: RunKind) -> Mapping[RunStatus, Cell]:
    table = _READING if kind in {_K.REFRESH, _K.PLAN} else _CHANGING
    return {
        status: table.get(status, _NOTHING)
        for status in TRANSITIONS_OF[kind]
        if status is not _S.BLOCKED
    }


ACTIONS: Final[Mapping[RunKind, Mapping[RunStatus, Cell]]] = {
    kind: _of_kind(kind) for kind in RunKind
}
BLOCKED_ACTIONS: Final = _BLOCKED


def cell_of(kind: RunKind, status: RunStatus, blocked_on: BlockedOn | None) -> Cell:
    """Return what is possible for a run of a kind in a status.

    A look that is blocked is only canceled; the next one comes by itself.
    """
    if blocked_on is None or status is not _S.BLOCKED:
        return ACTIONS[kind].get(status, _NOTHING)
    cell = _BLOCKED[blocked_on]
    return cell if kind in _REPEATED else Cell(offers=(_AT_ONCE,), by_itself=cell.by_itself)


_REPEATED: Final = frozenset(RunKind) - {_K.REFRESH, _K.PLAN}
