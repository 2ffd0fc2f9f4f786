"""People who edited a tenant's facts: excluded from deciding until those facts are applied."""

from __future__ import annotations

from dataclasses import replace

from control_plane.domain.deployment import Deployment, Desired, spec_digest
from control_plane.domain.kinds import KINDS
from control_plane.domain.run import Run, RunStatus
from control_plane.workflows.core import Act
from control_plane.workflows.placing import spec_document, spec_of

_DONE = frozenset({RunStatus.APPLIED, RunStatus.NO_CHANGES})


def forget_editors(act: Act, run: Run, deployment: Deployment) -> None:
    """Let those decide again whose edits the run has applied: of this tenant, all or none.

    An edit that the run's spec does not have, made after it was planned, excludes as before.
    """
    if run.tenant_id is None or run.status not in _DONE or KINDS[run.kind].looks:
        return
    tenant = act.uow.tenants.need(run.tenant_id, lock=True)
    if not tenant.editors or KINDS[run.kind].desired is not Desired.PRESENT:
        return
    present = spec_digest(spec_document(act, deployment, tenant=tenant), Desired.PRESENT)
    if spec_of(act.uow, deployment, run.spec_number).content_digest != present:
        return
    now = act.now()
    act.uow.tenants.save(replace(tenant, editors=(), updated_at=now, version=tenant.version + 1))
