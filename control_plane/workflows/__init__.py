"""What happens in which order: bring a deployment to its spec, build a bundle, take a saga on,
take a delivery, look at a source of contracts, send a message, take a journey on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from control_plane.workflows.advancing import advance_run
from control_plane.workflows.bundle import build_bundle
from control_plane.workflows.core import Core
from control_plane.workflows.deliveries import take_delivery
from control_plane.workflows.journeys import advance_journey
from control_plane.workflows.reconciling import look_at_source
from control_plane.workflows.sagas import advance_saga
from control_plane.workflows.sending import send_message

# every name that may be enqueued, with what does it
PHASES: Final[Mapping[str, Callable[[Core, str], None]]] = {
    "advance_run": advance_run,
    "build_bundle": build_bundle,
    "advance_saga": advance_saga,
    "take_delivery": take_delivery,
    "look_at_source": look_at_source,
    "send_message": send_message,
    "advance_journey": advance_journey,
}
