"""What happens in which order: provision a deployment, build a bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from control_plane.workflows.bundle import build_bundle
from control_plane.workflows.core import Core
from control_plane.workflows.provision import apply_run, plan_run

# every name that may be enqueued, with what does it
PHASES: Final[Mapping[str, Callable[[Core, str], None]]] = {
    "plan_run": plan_run,
    "apply_run": apply_run,
    "build_bundle": build_bundle,
}
