"""Changes of a tenant's mode from A to B: with its data, or before anything is stored."""

from __future__ import annotations

from typing import Final

from control_plane.domain.actor import Role
from control_plane.domain.saga import SagaKind
from control_plane.domain.sagas.step import Does, SagaSpec, Step

# who may ask for a change of mode may also carry it on, or take it back; operations as always
STEERED_BY: Final = (Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.SOLUTIONS_ARCHITECT)
RETIRE: Final = (
    Step(
        name="unprotect",
        does=Does.RUN,
        says="Takes protection away from the resources of the former place, by name.",
        is_final=True,
    ),
    Step(
        name="destroy",
        does=Does.RUN,
        says="Destroys the former place, after two people have approved the plan.",
        is_final=True,
    ),
    Step(
        name="close",
        does=Does.SWITCH,
        says="Gives the former place up: its room on a Hub is free, or its account is retired.",
        is_final=True,
    ),
    Step(
        name="forget",
        does=Does.WORK,
        says="Deletes the state of the former place; not while a hold stands.",
        is_final=True,
    ),
    Step(
        name="erase",
        does=Does.SWITCH,
        says="Destroys the key of that state.",
        is_final=True,
    ),
)
_FORMER: Final = (
    Step(
        name="empty",
        does=Does.WORK,
        says="Removed the settings of the application: now the destroy does, as its plan says.",
        is_final=True,
    ),
)
MODE_UPGRADE: Final = SagaSpec(
    kind=SagaKind.MODE_UPGRADE,
    purpose="moves a tenant with its data from its slice to a dedicated Hub",
    steered_by=STEERED_BY,
    steps=(
        Step(
            name="prepare",
            does=Does.SWITCH,
            says="Adds the deployment of the new mode beside the present one.",
            undo="Empties and destroys what was built beside.",
        ),
        Step(name="survey", does=Does.WORK, says="Counts what the slice holds."),
        Step(
            name="open",
            does=Does.RUN,
            says="Lets the control plane's role read the objects of the slice.",
            undo="Gives the slice its own key and rights back.",
            undo_if_begun=True,
        ),
        Step(
            name="build",
            does=Does.RUN,
            says="Builds the dedicated Hub, after its plan was approved.",
        ),
        Step(
            name="copy",
            does=Does.WORK,
            says="Copies objects, items, secrets and parameters while the tenant works.",
            undo="Removes what was copied.",
            undo_if_begun=True,
        ),
        Step(
            name="freeze",
            does=Does.RUN,
            says="Denies the application every write to the slice.",
            undo="Lets the application write again.",
            undo_if_begun=True,
        ),
        Step(name="delta", does=Does.WORK, says="Copies what has changed since."),
        Step(
            name="compare",
            does=Does.WORK,
            says="Compares names, versions, counts and digests of both places.",
        ),
        Step(
            name="switch",
            does=Does.SWITCH,
            says="Makes the dedicated Hub what the tenant has: its outputs are the tenant's.",
            is_final=True,
        ),
        Step(
            name="keep",
            does=Does.WAIT,
            says="Keeps the slice, frozen, for the time that was asked for.",
            is_final=True,
        ),
        *RETIRE,
    ),
    former=_FORMER,
)
MODE_REPLACEMENT: Final = SagaSpec(
    kind=SagaKind.MODE_REPLACEMENT,
    purpose="replaces an empty slice by a dedicated Hub",
    steered_by=STEERED_BY,
    steps=(
        Step(
            name="freeze",
            does=Does.RUN,
            says="Denies the application every write to the slice.",
            undo="Lets the application write again.",
            undo_if_begun=True,
        ),
        Step(name="check", does=Does.WORK, says="Checks that the slice holds nothing."),
        Step(
            name="switch",
            does=Does.SWITCH,
            says="Gives the tenant the new mode and queues its run for approval.",
            is_final=True,
        ),
        *RETIRE,
    ),
    former=_FORMER,
)
