"""Figures of the installation in the Prometheus text format."""

from __future__ import annotations

from control_plane.domain.run import RunStatus
from control_plane.workflows.core import Core


def figures_of(core: Core) -> str:
    """Return the figures, with one query per table."""
    with core.uow() as uow:
        runs = uow.runs.counts("status")
    behind = 1 if core.trail.pressure().behind else 0
    lines = [
        "# HELP tenantplane_runs Runs by status.",
        "# TYPE tenantplane_runs gauge",
        *(f'tenantplane_runs{{status="{name}"}} {runs.get(name, 0)}' for name in RunStatus),
        "# HELP tenantplane_audit_behind Whether mutations wait for the audit log.",
        "# TYPE tenantplane_audit_behind gauge",
        f"tenantplane_audit_behind {behind}",
    ]
    return "\n".join(lines) + "\n"
