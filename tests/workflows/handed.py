"""A ready tenant whose data is handed over to Mode C: what the tests of hand-overs share."""

from __future__ import annotations

import json
from typing import Any

from control_plane.domain.bundle import Bundle, BundleStatus
from control_plane.domain.deployment import Position
from control_plane.domain.mode import Mode
from control_plane.domain.saga import Saga, SagaStatus
from control_plane.services import bundles, data_handovers, handovers, mode_changes, receipts
from control_plane.services.mode_changes import ModeChange, Wish
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.receipts import receipt_of
from tests.workflows.raised import FILLED, OUTPUTS, Raised
from tests.workflows.removed import follow
from tests.world import ARCHITECT, OPS, World

CUSTOMERS_ACCOUNT = "210987654321"
DUMP = "sha256:" + "d" * 64


class Handed(Raised):
    """A ready tenant of Mode A or B with data, on its way to Mode C."""

    def __init__(self, world: World, mode: str = "A", number: int = 1) -> None:
        self.mode = mode
        if mode == "A":
            super().__init__(world)
            return
        self.world = world
        world.engine.extra_outputs = {**OUTPUTS, "database_id": "acme-db"}
        accepted = world.submit("B", number)
        world.work()
        world.approve(accepted.run_id)
        self.tenant_id = accepted.tenant.id
        self.source = self.at(Position.CURRENT)
        for (kind, name), content in FILLED.items():
            world.data.put(self.source, kind, name, content)

    def ask(self, who: Caller = ARCHITECT, **changes: Any) -> ModeChange:
        """Ask for Mode C."""
        given = {"reason": "our cloud", "to": Mode.C, "amendment": "AM-9", **changes}
        return perform(
            self.world.core, who, mode_changes.change_mode, self.tenant_id, Wish(**given)
        )

    def target(self) -> str:
        return str(self.saga().data["target"])

    def bundle(self) -> Bundle:
        """Return the newest version of the bundle."""
        with self.world.core.uow() as uow:
            found = uow.bundles.find(deployment_id=self.target())
        return found[-1]

    def manifest(self) -> dict[str, Any]:
        """Return the newest manifest as it is handed over."""
        found = perform(self.world.core, ARCHITECT, data_handovers.show_manifest, self.tenant_id)
        read: dict[str, Any] = json.loads(found.content)
        return read

    # --- what people do ------------------------------------------------------------------------
    def hand_over(self) -> None:
        """Let an architect take, build and hand over the bundle."""
        core, bundle = self.world.core, self.bundle()
        if bundle.status is BundleStatus.AWAITING_ARCHITECT:
            perform(core, ARCHITECT, bundles.accept_bundle, bundle.id)
            perform(
                core, ARCHITECT, bundles.edit_bundle, bundle.id,
                inputs={"account_id": CUSTOMERS_ACCOUNT}, if_version=self.bundle().version,
            )  # fmt: skip
        if self.bundle().status is not BundleStatus.BUILT:
            perform(core, ARCHITECT, bundles.build_bundle, bundle.id)
            self.world.work()
        perform(
            core, ARCHITECT, handovers.hand_over, bundle.id,
            recipient_name="Carla Customer", recipient_email="carla@example.com",
        )  # fmt: skip

    def apply(self) -> None:
        """Let the customer apply, and send its receipt."""
        bundle = self.bundle()
        perform(
            self.world.core, ARCHITECT, receipts.register_receipt, bundle.id, receipt_of(bundle)
        )

    def say_first_copy(self, who: Caller = OPS, reason: str = "it has arrived") -> None:
        perform(self.world.core, who, data_handovers.say_first_copy, self.tenant_id, reason=reason)

    def record_dump(self, dump_digest: str = DUMP) -> None:
        perform(
            self.world.core, OPS, data_handovers.record_dump, self.tenant_id,
            dump_digest=dump_digest, reason="made under the freeze",
        )  # fmt: skip

    def report(self, **changes: Any) -> dict[str, Any]:
        """Return the report of a customer that has imported everything."""
        saga, manifest = self.saga(), self.manifest()
        return {
            "schema_version": 1,
            "tenant": manifest["tenant"],
            "deployment": manifest["deployment"],
            "account_id": CUSTOMERS_ACCOUNT,
            "region": manifest["source"]["region"],
            "manifest_digest": saga.data["manifest"]["digest"],
            "made_at": self.world.clock.now().isoformat(),
            "totals": manifest["totals"],
            "differences": [],
            "database": {"dump_digest": DUMP} if self.mode == "B" else None,
            **changes,
        }

    def send(self, report: dict[str, Any] | None = None, who: Caller = ARCHITECT) -> Any:
        body = self.report() if report is None else report
        return perform(self.world.core, who, data_handovers.register_import, self.tenant_id, body)

    def act(self, step: str) -> bool:
        """Do what a step waits for people to do; False where it waits for none."""
        acts = {
            "bundle": self.hand_over, "apply": self.apply, "first_copy": self.say_first_copy,
            "dump": self.record_dump, "import": self.send,
        }  # fmt: skip
        if step not in acts:
            return False
        acts[step]()
        return True

    def go(self, until: str | None = None) -> Saga:
        """Do everything that can be done, to the beginning of a step."""
        for _ in range(60):
            follow(self.world)
            saga = self.saga()
            if saga.step == until or not saga.is_open or saga.status is SagaStatus.STUCK:
                return saga
            if saga.step == "keep":
                self.world.clock.advance(days=15)
            if saga.is_undoing or not self.act(saga.step):
                self.decide()
        raise AssertionError(f"it does not end: {self.saga()}")
