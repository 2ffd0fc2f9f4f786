"""The step of a playbook that something was made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Cause:
    """The step that an artefact was made for; ``playbook`` is ``KEY/VERSION``.

    ``round`` counts how often the step began again, so that a second round is another cause.
    """

    playbook: str
    digest: str
    journey_id: str
    step: str
    round: int = 1

    @property
    def key(self) -> str:
        """What names the effect of this round of the step in systems outside, at most 64 long."""
        return f"{self.journey_id}.{self.step}.{self.round}"

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "playbook": self.playbook,
            "digest": self.digest,
            "journey": self.journey_id,
            "step": self.step,
            "round": self.round,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Cause:
        """Return what ``to_document`` gave."""
        return cls(
            playbook=document["playbook"],
            digest=document["digest"],
            journey_id=document["journey"],
            step=document["step"],
            round=document["round"],
        )
