"""Reading the audit logs; reading is an event too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from control_plane.domain.actor import Role
from control_plane.domain.deployment import PLATFORM, ROOT
from control_plane.domain.errors import NotFound
from control_plane.services.performing import perform
from control_plane.services.permission import require_role, require_visibility
from control_plane.services.tenants import find_tenant
from control_plane.workflows.core import WORKER, Act, Caller, Core, ReadKey
from control_plane.workflows.reads import Reads
from control_plane.workflows.recording import record

TENANT_READERS = (Role.AUDITOR,)
PLATFORM_READERS = (Role.PLATFORM_AUDITOR,)


def tree_for(act: Act, key: str, *, wanted: str) -> str:
    """Return the tree a caller may read: a tenant's by id or slug, the platform's, the root log.

    The root log names every tenant, so it is for the readers of the platform's. Raises
    ``NotAllowed`` or ``NotFound``.
    """
    if key in (PLATFORM, ROOT):
        require_role(act, *PLATFORM_READERS, wanted=wanted)
        return key
    require_role(act, *TENANT_READERS, wanted=wanted)
    tenant = find_tenant(act.uow, key)
    if tenant is None:
        raise NotFound("not found")
    require_visibility(act, tenant.id, wanted=wanted)
    return tenant.id


def read_events(
    act: Act, key: str, *, after: int, limit: int, action: str | None
) -> Sequence[Mapping[str, Any]]:
    """Return entries of a tree from index ``after`` on, oldest first.

    The read is recorded in the same tree (``note_read``); reads of ``log.read`` events alone are
    not, so that reading comes to an end.
    """
    tree = tree_for(act, key, wanted="audit.events.read")
    events = act.core.trail.events(tree, after=after, limit=limit, action=action)
    if action != "log.read":
        found = [int(event["idx"]) for event in events]
        note_read(act, tree, "audit.events",
                   min(found, default=None), max(found, default=None))  # fmt: skip
    return events


def note_read(
    act: Act,
    tree: str,
    route: str,
    first: int | None = None,
    last: int | None = None,
) -> None:
    """Record the first read of a reader, log and route at once, and those of a minute as one.

    Raises ``AuditUnavailable``.
    """
    key = (act.caller.actor, tree, route)
    taken = act.core.reads.take(key, Reads(count=1, first_idx=first, last_idx=last))
    if taken is not None:
        act.if_undone.append(partial(act.core.reads.give_back, key, taken.earlier))
        _record_reads(act, tree, route, taken.reads)


def report_reads(core: Core, *, at_once: bool = False) -> None:
    """Record reads that waited for their minute, or all that wait.

    Raises ``AuditUnavailable``; they wait on then.
    """
    due = core.reads.due(at_once=at_once)
    if due:
        perform(core, WORKER, _report, due)


def _report(act: Act, due: Mapping[ReadKey, Reads]) -> None:
    for key, reads in due.items():
        act.if_undone.append(partial(act.core.reads.give_back, key, reads))
    for (actor, tree, route), reads in due.items():
        _record_reads(act.by(Caller(actor=actor)), tree, route, reads)


def _record_reads(act: Act, tree: str, route: str, reads: Reads) -> None:
    record(
        act, "log.read",
        tree=None if tree in (PLATFORM, ROOT) else tree, route=route, count=reads.count,
        first_idx=reads.first_idx, last_idx=reads.last_idx,
    )  # fmt: skip


def checkpoint(act: Act, key: str) -> str:
    """Return the newest signed checkpoint of a tree. Raises ``NotFound`` while there is none."""
    tree = tree_for(act, key, wanted="audit.checkpoint.read")
    note = act.core.trail.checkpoint(tree)
    if note is None:
        raise NotFound("the tree has no checkpoint yet")
    note_read(act, tree, "audit.checkpoint")
    return note


def inclusion_proof(act: Act, key: str, idx: int) -> Mapping[str, Any]:
    """Return {idx, leaf, hashes, checkpoint} for one entry. Raises ``NotFound``."""
    tree = tree_for(act, key, wanted="audit.proof.read")
    proof = act.core.trail.proof(tree, idx)
    note_read(act, tree, "audit.proof", idx, idx)
    return proof


def tile(act: Act, key: str, path: str) -> bytes:
    """Return a tile of a tree by its tlog-tiles path. Raises ``NotFound``."""
    tree = tree_for(act, key, wanted="audit.tiles.read")
    content = act.core.trail.tile(tree, path)
    note_read(act, tree, "audit.tiles")
    return content
