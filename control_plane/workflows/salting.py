"""The salt of a stack: made with its first engine call, and part of each that follows."""

from __future__ import annotations

from control_plane.domain.stack_salt import StackSalt
from control_plane.workflows.core import Act


def salted(act: Act, deployment_id: str, *, is_first: bool) -> StackSalt:
    """Return the salt of a stack whose deployment is locked; make it where there is none.

    ``is_first``: no engine was ever called for it. Otherwise an earlier release may have written
    it without a salt.
    """
    found = None if is_first else act.uow.salts.get(deployment_id)
    if found is not None:
        return found
    made = StackSalt(
        id=deployment_id, salt=act.core.ids.secret(), is_late=not is_first, made_at=act.now()
    )
    act.uow.salts.add(made)
    return made
