"""How far the audit logs are: signed, in the root log, and seen by witnesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import NotFound
from control_plane.services.auditing import PLATFORM_READERS, note_read, tree_for
from control_plane.services.permission import require_role
from control_plane.workflows.core import Act


def witnessing_status(act: Act) -> Mapping[str, Any]:
    """Return the exposure clock of the root log, and what each witness did last."""
    require_role(act, *PLATFORM_READERS, wanted="audit.status.read")
    clock = act.core.trail.exposure()
    found = {
        "clock": None if clock is None else clock.to_json(),
        "witnesses": list(act.core.trail.witnesses()),
    }
    note_read(act, PLATFORM, "audit.status")
    return found


def list_trees(act: Act, *, after: str, limit: int) -> Sequence[Mapping[str, Any]]:
    """Return how far the logs after a name are, in the order of their names."""
    require_role(act, *PLATFORM_READERS, wanted="audit.status.read")
    found = act.core.trail.statuses(None, after=after, limit=limit)
    note_read(act, PLATFORM, "audit.status")
    return found


def tree_status(act: Act, key: str) -> Mapping[str, Any]:
    """Return how far one log is. Raises ``NotFound`` for one that has no entry yet."""
    tree = tree_for(act, key, wanted="audit.status.read")
    found = act.core.trail.statuses(tree, after="", limit=1)
    if not found:
        raise NotFound("the tree has no entry yet")
    note_read(act, tree, "audit.status")
    return found[0]
