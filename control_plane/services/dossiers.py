"""Handing out the dossier of an audit log."""

from __future__ import annotations

from datetime import datetime

from control_plane.domain.audit import rfc3339
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.disclosure import GrantKind, tree_of
from control_plane.domain.disclosure_errors import GrantNotValid
from control_plane.domain.errors import InvalidInput
from control_plane.ports.stores import Dossier
from control_plane.services.auditing import tree_for
from control_plane.services.performing import perform
from control_plane.workflows.core import Act, Caller, Core
from control_plane.workflows.recording import record, refused_as


def export_dossier(
    core: Core,
    caller: Caller,
    key: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    grant: str | None = None,
) -> Dossier:
    """Return the dossier of a log, once its export is recorded in the same log.

    ``grant`` names the grant whose personal values are in it.

    The caller closes its file. No transaction of the application is open while it is written.
    Raises ``NotAllowed``, ``NotFound``, ``InvalidInput``, ``GrantNotValid``, ``AuditUnavailable``.
    """
    if since is not None and until is not None and since > until:
        raise InvalidInput("from: must not be after to", field="from")
    tree, now = perform(core, caller, may_export, key, grant)
    made = core.trail.dossier(tree, now=now, since=since, until=until, grant=grant)
    try:
        perform(core, caller, record_export, tree, made, since=since, until=until, grant=grant)
    except BaseException:
        made.file.close()
        raise
    return made


def may_export(act: Act, key: str, grant: str | None = None) -> tuple[str, datetime]:
    """Return the log that the caller may export, and the time.

    Raises as ``tree_for`` does, and ``GrantNotValid``. The database looks at the grant again when
    it reads its values.
    """
    tree = tree_for(act, key, wanted="audit.dossier.read")
    if grant is not None:
        _require_grant(act, tree, grant)
    return tree, act.now()


def _require_grant(act: Act, tree: str, grant_id: str) -> None:
    owner = None if tree == PLATFORM else tree
    with refused_as(act, "disclosure.refused", tree=owner, wanted="export"):
        found = act.uow.grants.get(grant_id)
        is_here = found is not None and found.kind is GrantKind.EXPORT
        if found is None or not is_here or tree_of(found.tenant_id) != tree:
            raise GrantNotValid("no grant for exports of this log has this id")
        status = found.status_at(act.now())
        if status != "granted":
            what = "has expired" if status == "expired" else "waits for a second person"
            raise GrantNotValid(f"this grant {what}", present_status=status)


def record_export(
    act: Act,
    tree: str,
    made: Dossier,
    *,
    since: datetime | None,
    until: datetime | None,
    grant: str | None = None,
) -> None:
    """Record that a dossier is handed out, with the digest that binds it."""
    record(
        act, "log.exported",
        tree=None if tree == PLATFORM else tree, digest=made.manifest_digest, size=made.size,
        since=None if since is None else rfc3339(since),
        until=None if until is None else rfc3339(until),
        grant=grant, values=None if grant is None else made.values,
    )  # fmt: skip
