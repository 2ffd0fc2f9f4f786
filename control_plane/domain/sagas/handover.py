"""A change of a tenant's mode to C: the customer builds its own Hub, and the data is handed over.

The vendor has no access to the customer's account. What is done there is waited for.
"""

from __future__ import annotations

from typing import Final

from control_plane.domain.saga import SagaKind
from control_plane.domain.sagas.mode_change import RETIRE, STEERED_BY
from control_plane.domain.sagas.step import Does, SagaSpec, Step
from control_plane.domain.tenant import WaitingOn

MODE_HANDOVER: Final = SagaSpec(
    kind=SagaKind.MODE_HANDOVER,
    purpose="moves a tenant with its data to a Hub in an account of the customer",
    steps=(
        Step(
            name="prepare",
            does=Does.SWITCH,
            says="Adds the deployment of Mode C beside the present one.",
            undo="Gives the deployment up; what was applied there is the customer's to destroy.",
        ),
        Step(
            name="open",
            does=Does.RUN,
            says="Lets the control plane's role read the objects of a slice.",
            undo="Gives the slice its own key and rights back.",
            undo_if_begun=True,
        ),
        Step(
            name="manifest",
            does=Does.WORK,
            says="Lists what is handed over, with sizes and digests, and writes the runbook.",
            undo="Forgets what was listed.",
            undo_if_begun=True,
        ),
        Step(
            name="bundle",
            does=Does.WAIT,
            says="Queues the bundle, and waits until an architect has handed it over.",
            undo="Withdraws the bundle and its download links.",
            undo_if_begun=True,
            waits_on=WaitingOn.ARCHITECT,
        ),
        Step(
            name="apply",
            does=Does.WAIT,
            says="Waits for the receipt of the customer's apply.",
            waits_on=WaitingOn.CUSTOMER,
        ),
        Step(
            name="first_copy",
            does=Does.WAIT,
            says="Waits until the first copy has arrived and the time without writes may begin.",
            waits_on=WaitingOn.OPS,
        ),
        Step(
            name="freeze",
            does=Does.RUN,
            says="Denies the application every write to the present place.",
            undo="Lets the application write again.",
            undo_if_begun=True,
        ),
        Step(
            name="delta",
            does=Does.WORK,
            says="Lists what has changed since, in the manifest that has to arrive.",
        ),
        Step(
            name="dump",
            does=Does.WAIT,
            says="Waits for the digest of the database's dump, where there is a database.",
            waits_on=WaitingOn.OPS,
        ),
        Step(
            name="import",
            does=Does.WAIT,
            says="Waits for the customer's import report, and compares it with the manifest.",
            waits_on=WaitingOn.CUSTOMER,
        ),
        Step(
            name="switch",
            does=Does.SWITCH,
            says="Makes the customer's Hub what the tenant has: its outputs are the tenant's.",
            is_final=True,
        ),
        Step(
            name="keep",
            does=Does.WAIT,
            says="Keeps the former place, frozen, for the time that was asked for.",
            is_final=True,
        ),
        *RETIRE,
    ),
    steered_by=STEERED_BY,
)
