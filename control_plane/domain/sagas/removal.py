"""Removal: everything of a tenant or a Hub is taken down, and what must remain is listed."""

from __future__ import annotations

from typing import Final

from control_plane.domain.saga import SagaKind
from control_plane.domain.sagas.step import Does, SagaSpec, Step

REMOVAL: Final = SagaSpec(
    kind=SagaKind.REMOVAL,
    purpose="removes everything that a tenant or a Hub has",
    steps=(
        Step(
            name="unprotect",
            does=Does.RUN,
            says="Takes protection away from the resources that the request names.",
            undo="Gives the protection back.",
        ),
        Step(
            name="destroy",
            does=Does.RUN,
            says="Destroys what exists, after two people have approved the plan.",
            is_final=True,
        ),
    ),
)
