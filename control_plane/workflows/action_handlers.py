"""What does each action of playbooks: a module of each part gives its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from control_plane.workflows import (
    following_provision,
    inviting,
    linking,
    messaging,
    outside,
    staffing,
)
from control_plane.workflows.step_actions import ActionHandler

HANDLERS: Final[Mapping[str, ActionHandler]] = {
    **following_provision.ACTIONS,
    **outside.ACTIONS,
    **linking.ACTIONS,
    **staffing.ACTIONS,
    **messaging.ACTIONS,
    **inviting.ACTIONS,
}
