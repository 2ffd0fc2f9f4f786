"""Removal: everything of a tenant or a Hub is taken down, and what must remain is listed."""

from __future__ import annotations

from typing import Final

from control_plane.domain.saga import SagaKind
from control_plane.domain.sagas.step import Does, SagaSpec, Step
from control_plane.domain.tenant import WaitingOn

REMOVAL: Final = SagaSpec(
    kind=SagaKind.REMOVAL,
    purpose="removes everything that a tenant or a Hub has",
    steps=(
        Step(name="count", does=Does.WORK, says="Counts what the data stores hold."),
        Step(
            name="export",
            does=Does.WAIT,
            says="Waits until somebody acknowledges the export of the data, or waives it.",
            waits_on=WaitingOn.OPS,
        ),
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
        Step(
            name="customer",
            does=Does.WAIT,
            says="Waits for the customer's word that it has destroyed what it applied.",
            is_final=True,
            waits_on=WaitingOn.CUSTOMER,
        ),
        Step(
            name="close",
            does=Does.SWITCH,
            says="Retires the AWS account, frees the place and lists what must remain.",
            is_final=True,
        ),
        Step(
            name="forget",
            does=Does.WORK,
            says="Deletes the states of the stacks; not while a hold stands.",
            is_final=True,
        ),
        Step(
            name="erase",
            does=Does.SWITCH,
            says="Destroys the keys of these states, and personal values in the rows.",
            is_final=True,
        ),
        Step(
            name="certify",
            does=Does.WORK,
            says="Signs the certificate of what was removed and what remains.",
            is_final=True,
        ),
        Step(
            name="remaining",
            does=Does.WAIT,
            says="Waits for the end of what must remain, and looks at it again then.",
            is_final=True,
        ),
    ),
)
