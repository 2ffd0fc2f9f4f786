"""How far a run is: its resources with their status and how long each took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from control_plane.domain.plan_words import named_by
from control_plane.domain.run import RunEvent

_TONES: Final = {"done": "good", "failed": "wrong", "started": "wait"}


@dataclass(frozen=True, kw_only=True)
class Step:
    """What the engine did with one resource; ``seconds`` is None until it has ended."""

    name: str
    type: str
    op: str
    status: str
    tone: str
    since: datetime
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The resources that the apply has touched, the newest first, and what else was said."""

    steps: Sequence[Step]
    said: Sequence[tuple[datetime, str, str]]  # when, kind, text

    @property
    def done(self) -> int:
        """How many have ended well."""
        return sum(step.status == "done" for step in self.steps)


def progress_of(lines: Sequence[RunEvent]) -> Progress:
    """Return how far a run is, from its lines in their order."""
    begun: dict[tuple[str, str], datetime] = {}
    steps: dict[tuple[str, str], Step] = {}
    said: list[tuple[datetime, str, str]] = []
    for line in lines:
        body = line.body
        if line.kind != "resource":
            text = str(body.get("status") or body.get("text") or body.get("message") or "")
            said.append((line.time, line.kind, text))
            continue
        if body.get("phase", "apply") != "apply":
            continue
        urn, op, status = str(body.get("urn")), str(body.get("op") or ""), str(body.get("status"))
        key = (urn, op)
        begun.setdefault(key, line.time)
        has_ended = status in {"done", "failed"}
        steps[key] = Step(
            name=named_by(urn), type=str(body.get("type") or ""), op=op, status=status,
            tone=_TONES.get(status, "plain"), since=begun[key],
            seconds=(line.time - begun[key]).total_seconds() if has_ended else None,
        )  # fmt: skip
    newest = sorted(steps.values(), key=lambda step: step.since, reverse=True)
    return Progress(steps=newest, said=said[::-1])
