"""A Mode C tenant and the architect's desk: what the tests of bundles share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from control_plane.domain.bundle import Bundle
from control_plane.domain.errors import DomainError
from control_plane.ports.bundles import BuiltBundle, BundleOrder
from control_plane.ports.engine import EngineEvent, EventListener
from control_plane.services import bundles, handovers
from control_plane.services.handovers import HandedOver
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from control_plane.workflows.timers import fire_due
from tests.receipts import receipt_of
from tests.scripted_builder import ScriptedBuilder
from tests.storage import Recorded
from tests.world import ARCHITECT, AUDITOR, World

CUSTOMERS_ACCOUNT = "210987654321"


class BreakableBuilder(ScriptedBuilder):
    """The scripted builder; ``fault`` breaks a build, ``look`` is called after each check."""

    fault: Exception | None = None
    look: Callable[[], object] = staticmethod(lambda: None)

    def build(self, order: BundleOrder, *, on_events: EventListener) -> BuiltBundle:
        """Build, or break off."""
        if self.fault is not None:
            raise self.fault

        def hear(events: Sequence[EngineEvent]) -> None:
            on_events(events)
            self.look()

        return super().build(order, on_events=hear)


class Desk:
    """A Mode C tenant, and its newest bundle as the architect sees it."""

    def __init__(self, world: World, number: int = 1) -> None:
        self.world = world
        if not isinstance(world.core.builder, BreakableBuilder):
            world.core = replace(world.core, builder=BreakableBuilder())
        self.builder = cast("BreakableBuilder", world.core.builder)
        self.core = self.world.core
        accepted = self.world.submit("C", number)
        self.tenant_id = accepted.tenant.id
        self.bundle_id = accepted.bundle_id or ""

    def bundle(self, bundle_id: str | None = None) -> Bundle:
        return perform(self.core, AUDITOR, bundles.get_bundle, bundle_id or self.bundle_id)

    def events(self) -> list[Recorded]:
        return self.world.events()

    def accept(self) -> Bundle:
        return perform(self.core, ARCHITECT, bundles.accept_bundle, self.bundle_id)

    def actions(self, bundle_id: str | None = None) -> list[str]:
        """Return what an architect may ask of a version, the newest unless one is named."""
        bundle = self.bundle(bundle_id) if bundle_id else self.bundle()
        with self.core.act(ARCHITECT) as act:
            return bundles.allowed_actions(act, bundle)[bundle.id]

    def edit(self, who: Caller = ARCHITECT, version: int | None = None, **inputs: Any) -> Bundle:
        """Edit the newest bundle; what comes of it is the newest from then on."""
        if_version = self.bundle().version if version is None else version
        edited = perform(
            self.core,
            who,
            bundles.edit_bundle,
            self.bundle_id,
            inputs=inputs,
            if_version=if_version,
        )
        self.bundle_id = edited.id
        return edited

    def build(self, who: Caller = ARCHITECT) -> Bundle:
        perform(self.core, who, bundles.build_bundle, self.bundle_id)
        self.world.work()
        return self.bundle()

    def hand_over(self) -> HandedOver:
        return perform(
            self.core, ARCHITECT, handovers.hand_over, self.bundle_id,
            recipient_name="Carla Customer", recipient_email="carla@example.com",
        )  # fmt: skip

    def built(self) -> Bundle:
        self.accept()
        self.edit(account_id=CUSTOMERS_ACCOUNT)
        return self.build()

    def handed_over(self) -> HandedOver:
        self.built()
        return self.hand_over()

    def receipt(self, **changes: Any) -> dict[str, Any]:
        """Return what the apply of the newest bundle would print."""
        return receipt_of(self.bundle(), **changes)

    def refused(self, kind: type[DomainError], act: Callable[[], object]) -> DomainError:
        """Do what must be refused; rows stay, and exactly one ``denied`` event is left."""
        rows = self.world.storage.everything()
        known = len(self.events())
        with pytest.raises(kind) as caught:
            act()
        self.world.work()
        assert self.world.storage.everything() == rows
        (event,) = self.events()[known:]
        assert (str(event.stage), event.data["code"]) == ("denied", caught.value.code)
        return caught.value


def fired(desk: Desk, action: str) -> int:
    """Do what is due, and count how often that left an event ``action:stage``."""
    before = desk.world.actions().count(action)
    fire_due(desk.core)
    return desk.world.actions().count(action) - before
