"""Figures of the installation in the Prometheus text format."""

from __future__ import annotations

from control_plane.domain.run import RunStatus
from control_plane.ports.stores import Exposure
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
    return "\n".join([*lines, *_witnessed(core.trail.exposure())]) + "\n"


def _witnessed(clock: Exposure | None) -> list[str]:
    """Return the exposure clock, where a quorum of witnesses is asked for."""
    if clock is None:
        return []
    name, age = "tenantplane_audit", clock.age
    lines = [
        f"# HELP {name}_exposed_seconds Age of the oldest signed head that no quorum has seen.",
        f"# TYPE {name}_exposed_seconds gauge",
        f"{name}_exposed_seconds {clock.exposed.total_seconds():.0f}",
    ]
    if age is not None:
        lines += [
            f"# HELP {name}_witnessed_age_seconds Age of the newest head that a quorum has seen.",
            f"# TYPE {name}_witnessed_age_seconds gauge",
            f"{name}_witnessed_age_seconds {age.total_seconds():.0f}",
        ]
    return lines
