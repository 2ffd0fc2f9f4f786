"""The shape of a kind, and what kinds share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from control_plane.domain.deployment import Desired
from control_plane.domain.run import TRANSITIONS_OF, RunKind, RunStatus
from control_plane.domain.tenant import TenantStatus, WaitingOn

Shown = tuple[TenantStatus, WaitingOn | None]  # an owner's status, and whose turn it is


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What the status of a deployment's newest run means for its owner.

    ``verified`` is shown where there is evidence that held for the state that the stack has now,
    ``otherwise`` where there is none. ``gives_back``: with this status the run gives its account,
    or its place in a Hub, back, unless something was ever applied there.
    """

    verified: Shown
    otherwise: Shown
    gives_back: bool = False


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Everything in which runs of one kind differ from runs of another.

    ``desired`` is what its spec wants, ``decisions`` how many people approve its plan at least,
    whatever the approval rules say. ``checks`` are the engine's checks that its evidence needs; one
    that the engine did not run counts as failed. Runs of a kind that ``looks`` apply nothing: they
    supersede no other and say nothing of the owner. One that ``drafts`` plans over a spec of its
    own (``Run.draft``), and ends with that. ``means`` has every status that such a run can have.
    """

    kind: RunKind
    purpose: str
    desired: Desired
    decisions: int = 0
    looks: bool = False
    drafts: bool = False
    checks: tuple[str, ...]
    means: Mapping[RunStatus, Meaning]

    @property
    def transitions(self) -> Mapping[RunStatus, frozenset[RunStatus]]:
        """Which moves its runs may make."""
        return TRANSITIONS_OF[self.kind]


_S, _T, _W = RunStatus, TenantStatus, WaitingOn
# the engine's checks of what should exist
OF_WHAT_EXISTS: Final = ("outputs_present", "answers_in_cloud", "as_applied", "nothing_unknown")
# shown of a deployment that should exist and is not verified
NOT_YET_VERIFIED: Final[Mapping[RunStatus, Shown]] = {
    _S.REQUESTED: (_T.PENDING, _W.PLATFORM),
    _S.PLANNING: (_T.PENDING, _W.PLATFORM),
    _S.BLOCKED: (_T.PENDING, _W.PLATFORM),
    _S.AWAITING_APPROVAL: (_T.PENDING, _W.OPS),
    _S.APPROVED: (_T.PENDING, _W.PLATFORM),
    _S.SUPERSEDED: (_T.PENDING, _W.PLATFORM),  # for the moment until its successor is there
    _S.APPLYING: (_T.PROVISIONING, _W.PLATFORM),
    _S.VERIFYING: (_T.PROVISIONING, _W.PLATFORM),
    _S.APPLIED: (_T.FAILED, _W.OPS),  # applied once, but what exists is not what was checked
    _S.NO_CHANGES: (_T.FAILED, _W.OPS),
    _S.POLICY_FAILED: (_T.FAILED, _W.OPS),
    _S.REJECTED: (_T.FAILED, _W.OPS),
    _S.EXPIRED: (_T.FAILED, _W.OPS),
    _S.CANCELED: (_T.FAILED, _W.OPS),
    _S.ERRORED: (_T.FAILED, _W.OPS),
}
