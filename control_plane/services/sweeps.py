"""Sweeps: a look at everything that was applied, spread over minutes, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from control_plane.domain.actor import Role
from control_plane.domain.errors import InvalidInput, NotFound
from control_plane.domain.sweep import LONGEST_SPREAD_MINUTES, Sweep, SweepProgress
from control_plane.services.permission import require_role, require_visibility
from control_plane.services.tenants import CHECKERS
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record, refused_as

READERS: Final = (*CHECKERS, Role.PLATFORM_AUDITOR)
DEFAULT_MINUTES: Final = 10
_KEPT: Final = timedelta(days=90)
_ONE_AT_A_TIME: Final = "drift sweep"


@dataclass(frozen=True, kw_only=True)
class SweepDetails:
    """A sweep and how far it is."""

    sweep: Sweep
    progress: SweepProgress


def may_sweep(act: Act) -> None:
    """Refuse who may not ask for a sweep. Raises ``NotAllowed``, ``NotFound``."""
    require_role(act, *CHECKERS, wanted="drift_sweeps.create")
    require_visibility(act, None, wanted="drift_sweeps.create")


def request_sweep(act: Act, *, minutes: int = DEFAULT_MINUTES) -> SweepDetails:
    """Let everything that was applied be looked at within ``minutes``.

    The looks that are due by themselves come earlier, in one statement; nothing walks all tenants.
    A sweep whose looks have not all come is the answer in its place. Raises ``InvalidInput``.
    """
    may_sweep(act)
    with refused_as(act, "drift.refused", tree=None, wanted="sweep"):
        if not 0 <= minutes <= LONGEST_SPREAD_MINUTES:
            raise InvalidInput(f"minutes must be 0 to {LONGEST_SPREAD_MINUTES}", field="minutes")
        act.uow.serialize_on(_ONE_AT_A_TIME)  # of two at once, the second sees the first
        present = _open(act)
        if present is not None:
            return present
        return _store(act, minutes)


def _open(act: Act) -> SweepDetails | None:
    for found in _details(act, act.uow.sweeps.page(limit=1)):
        sweep = found.sweep
        is_due = act.now() < sweep.requested_at + timedelta(minutes=sweep.minutes, hours=1)
        return found if found.progress.waiting and is_due else None
    return None


def _details(act: Act, found: Sequence[Sweep]) -> list[SweepDetails]:
    progress = act.uow.looks.progress([sweep.id for sweep in found])
    return [SweepDetails(sweep=sweep, progress=progress[sweep.id]) for sweep in found]


def _store(act: Act, minutes: int) -> SweepDetails:
    now = act.now()
    act.uow.looks.forget_sweeps(now - _KEPT)
    sweep_id = act.new_id("sweep")
    sweep = Sweep(id=sweep_id, requested_by=act.caller.actor.id, requested_at=now, minutes=minutes)
    act.uow.sweeps.add(sweep)
    count = act.uow.looks.bring_forward(sweep_id, now, timedelta(minutes=minutes))
    record(
        act, "drift.sweep_requested", tree=None, targets=(("sweep", sweep_id),),
        sweep=sweep_id, minutes=minutes, count=count,
    )  # fmt: skip
    return _details(act, [sweep])[0]


def get_sweep(act: Act, sweep_id: str) -> SweepDetails:
    """Return a sweep and how far it is. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="drift_sweeps.read")
    require_visibility(act, None, wanted="drift_sweeps.read")
    sweep = act.uow.sweeps.get(sweep_id)
    if sweep is None:
        raise NotFound("there is no such sweep")
    return _details(act, [sweep])[0]


def list_sweeps(act: Act, *, limit: int, before: str | None) -> list[SweepDetails]:
    """Return sweeps, newest first; none without a platform scope."""
    require_role(act, *READERS, wanted="drift_sweeps.read")
    if not act.caller.actor.sees(None):
        return []
    return _details(act, act.uow.sweeps.page(limit=limit, before=before))
