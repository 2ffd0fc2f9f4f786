"""Handing out the dossier of an audit log."""

from __future__ import annotations

from datetime import datetime

from control_plane.domain.audit import rfc3339
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.errors import InvalidInput
from control_plane.ports.stores import Dossier
from control_plane.services.auditing import tree_for
from control_plane.services.performing import perform
from control_plane.workflows.core import Act, Caller, Core
from control_plane.workflows.recording import record


def export_dossier(
    core: Core,
    caller: Caller,
    key: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    grant_id: str | None = None,
) -> Dossier:
    """Return the dossier of a log, once its export is recorded in the same log.

    With a grant it holds the values that this discloses. The caller closes its file. No transaction
    of the application is open while it is written.
    Raises ``NotAllowed``, ``NotFound``, ``InvalidInput``, ``GrantNotValid``, ``AuditUnavailable``.
    """
    if since is not None and until is not None and since > until:
        raise InvalidInput("from: must not be after to", field="from")
    tree, now = perform(core, caller, may_export, key)
    made = core.trail.dossier(tree, now=now, since=since, until=until, grant_id=grant_id)
    try:
        perform(
            core, caller, record_export, tree, made, since=since, until=until, grant_id=grant_id
        )
    except BaseException:
        made.file.close()
        raise
    return made


def may_export(act: Act, key: str) -> tuple[str, datetime]:
    """Return the log that the caller may export, and the time. Raises as ``tree_for`` does."""
    return tree_for(act, key, wanted="audit.dossier.read"), act.now()


def record_export(
    act: Act,
    tree: str,
    made: Dossier,
    *,
    since: datetime | None,
    until: datetime | None,
    grant_id: str | None = None,
) -> None:
    """Record that a dossier is handed out, with the digest that binds it."""
    record(
        act, "log.exported",
        tree=None if tree == PLATFORM else tree, digest=made.manifest_digest, size=made.size,
        since=None if since is None else rfc3339(since),
        until=None if until is None else rfc3339(until),
        grant=grant_id, values=made.values,
    )  # fmt: skip
