"""A step of a tenant's onboarding: its status, its answers, and each version of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, Self

from control_plane.domain.transitions import move


class StepStatus(StrEnum):
    """Where a step stands."""

    OPEN = "open"  # nothing was saved, or a step before it was opened again
    SAVED = "saved"
    COMPLETE = "complete"
    REOPENED = "reopened"


class StepAct(StrEnum):
    """What made a version."""

    SAVED = "saved"
    COMPLETED = "completed"
    REOPENED = "reopened"
    RESET = "reset"  # because a step that it needs was opened again


_S = StepStatus
MOVES: Final[Mapping[StepStatus, frozenset[StepStatus]]] = MappingProxyType(
    {
        _S.OPEN: frozenset({_S.SAVED}),
        _S.SAVED: frozenset({_S.SAVED, _S.COMPLETE}),
        _S.COMPLETE: frozenset({_S.REOPENED, _S.OPEN}),
        _S.REOPENED: frozenset({_S.SAVED, _S.COMPLETE}),
    }
)
LEADS_TO: Final[Mapping[StepAct, StepStatus]] = MappingProxyType(
    {
        StepAct.SAVED: _S.SAVED,
        StepAct.COMPLETED: _S.COMPLETE,
        StepAct.REOPENED: _S.REOPENED,
        StepAct.RESET: _S.OPEN,
    }
)


@dataclass(frozen=True, kw_only=True)
class OnboardingStep:
    """A step of a tenant. ``document`` is the digest of the document that its answers fit."""

    id: str
    tenant_id: str
    key: str
    document: str
    status: StepStatus
    answers: Mapping[str, Any]
    changed_by: str
    changed_at: datetime
    version: int = 1

    def after(
        self, act: StepAct, *, document: str, by: str, now: datetime,
        answers: Mapping[str, Any] | None = None,
    ) -> Self:  # fmt: skip
        """Return it after an act; other answers with a save alone. Raises ``IllegalTransition``."""
        return replace(
            self,
            status=move(MOVES, self.status, LEADS_TO[act], subject=self.key),
            answers=self.answers if answers is None else answers,
            document=document,
            changed_by=by,
            changed_at=now,
            version=self.version + 1,
        )


@dataclass(frozen=True, kw_only=True)
class StepVersion:
    """One version of a step, kept as it was; ``number`` is that of the step's row then."""

    id: str
    step_id: str
    tenant_id: str
    number: int
    act: StepAct
    status: StepStatus
    document: str
    answers: Mapping[str, Any]
    made_by: str
    made_at: datetime
