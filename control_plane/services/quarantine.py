"""Logs that the signer set aside: shown, and released by a person with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from control_plane.domain.actor import Role
from control_plane.domain.deployment import PLATFORM, ROOT
from control_plane.domain.errors import IllegalTransition, InvalidInput, NotFound
from control_plane.ports.quarantine import SetAside
from control_plane.services.permission import require_role, require_visibility
from control_plane.services.tenants import find_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record, refused_as

ALL: Final = "all"
READ: Final = "audit.quarantine.read"
RELEASE: Final = "audit.quarantine.release"
READERS: Final = (Role.PLATFORM_AUDITOR, Role.PLATFORM_ADMIN)


def list_set_aside(act: Act, key: str, *, limit: int) -> Sequence[SetAside]:
    """Return the findings on a log, or on ``all``: open ones first, then the newest.

    Raises ``NotFound`` for an unknown log.
    """
    require_role(act, *READERS, wanted=READ)
    if key != ALL:
        return act.uow.quarantine.found(_tree(act, key, READ), limit=limit)
    require_visibility(act, None, wanted=READ)  # all tenants, or none
    return act.uow.quarantine.found(None, limit=limit)


def release(act: Act, key: str, *, reason: str) -> SetAside:
    """Say that the finding on a log is settled; it is in order already.

    Raises ``NotFound`` where nobody set it aside, ``IllegalTransition`` while its rows do not fit
    what was signed: then there is nothing to release yet.
    """
    require_role(act, Role.PLATFORM_ADMIN, wanted=RELEASE)
    tree = _tree(act, key, RELEASE)
    with refused_as(
        act, "quarantine.refused", tree=None, targets=(("audit_log", tree),), wanted="release"
    ):
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        finding = act.uow.quarantine.open(tree)
        if finding is None:
            raise NotFound("this log is not set aside")
        if finding.ended_at is None:
            raise IllegalTransition(
                f"the log is still set aside: {finding.why}", present_status="set_aside"
            )
        released = act.uow.quarantine.release(finding, by=act.caller.actor.id, at=act.now())
        record(
            act, "quarantine.released",
            tree=None, targets=(("audit_log", tree),), personal={"reason": reason.strip()},
            log=tree,
        )  # fmt: skip
        return released


def _tree(act: Act, key: str, wanted: str) -> str:
    if key in (PLATFORM, ROOT):
        return key
    tenant = find_tenant(act.uow, key)
    if tenant is None:
        raise NotFound("not found")
    require_visibility(act, tenant.id, wanted=wanted)
    return tenant.id
