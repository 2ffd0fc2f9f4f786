"""A ready Mode A tenant whose mode is raised: what the tests of changes of mode share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from control_plane.domain.actor import Role
from control_plane.domain.deployment import Position
from control_plane.domain.mode import Mode
from control_plane.domain.run import RunStatus
from control_plane.domain.saga import Saga, SagaStatus
from control_plane.domain.tenant import Tenant
from control_plane.domain.transfer import Kind
from control_plane.services import mode_changes, sagas
from control_plane.services.mode_changes import ModeChange, Wish
from control_plane.services.performing import perform
from control_plane.services.sagas import SagaProgress
from control_plane.workflows.core import Caller
from tests.workflows.removed import follow, saga_of, steps_of
from tests.world import ADMIN, ARCHITECT, OPS, World, person

PETRA = person("petra", Role.OPS_APPROVER)
OUTPUTS: dict[str, Any] = {
    "data_bucket": "bucket", "table_name": "table", "data_prefix": "tenants/acme/",
    "leading_key": "acme", "secret_names": {"app": "acme/app"}, "parameter_path": "/acme",
    "app_log_group": "/acme/app", "data_key_arn": "key",
}  # fmt: skip
FILLED = {
    (Kind.OBJECT, "tenants/acme/a"): "one",
    (Kind.OBJECT, "tenants/acme/b"): "two",
    (Kind.ITEM, '["acme", "x"]'): "three",
    (Kind.SECRET, "app"): "four",
    (Kind.PARAMETER, "beta"): "five",
}


def wish(**changes: Any) -> Wish:
    """Return the wish for an upgrade to Mode B."""
    given: dict[str, Any] = {
        "reason": "the customer grows", "to": Mode.B, "upgrade": True, "amendment": "AM-7",
        **changes,
    }  # fmt: skip
    return Wish(**given)


class Raised:
    """A ready Mode A tenant with data in its slice."""

    def __init__(self, world: World, *, filled: bool = True) -> None:
        self.world = world
        world.ready_hub()
        world.engine.extra_outputs = OUTPUTS
        self.tenant_id = world.submit("A").tenant.id
        world.work()
        self.source = self.at(Position.CURRENT)
        for (kind, name), content in FILLED.items() if filled else ():
            world.data.put(self.source, kind, name, content)

    def at(self, position: Position) -> str:
        """Return the id of the tenant's deployment of a position."""
        (found,) = [d for d in self.deployments() if d.position is position]
        return str(found.id)

    def deployments(self) -> list[Any]:
        rows = self.world.rows("deployment").values()
        return [each for each in rows if each.tenant_id == self.tenant_id]

    def tenant(self) -> Tenant:
        found: Tenant = self.world.tenant(self.tenant_id)
        return found

    def ask(self, who: Caller = ARCHITECT, **changes: Any) -> ModeChange:
        """Ask for a change of mode, an upgrade unless ``changes`` say otherwise."""
        return perform(
            self.world.core, who, mode_changes.change_mode, self.tenant_id, wish(**changes)
        )

    def confirm(self) -> ModeChange:
        """Confirm the mode that the tenant has."""
        return self.ask(to=None, upgrade=False, amendment=None)

    def saga(self) -> Saga:
        """Return the newest change of mode."""
        with self.world.core.uow() as uow:
            found = mode_changes.newest_change(uow, uow.tenants.need(self.tenant_id))
        assert found is not None
        return saga_of(self.world, found.id)

    def go(self, until: str | None = None) -> Saga:
        """Do everything that can be done, with every decision; to the beginning of a step."""
        for _ in range(40):
            follow(self.world)
            saga = self.saga()
            if saga.step == until or not saga.is_open or saga.status is SagaStatus.STUCK:
                return saga
            if saga.step == "keep":
                self.world.clock.advance(days=15)
            self.decide()
        raise AssertionError(f"it does not end: {self.saga()}")

    def decide(self) -> None:
        """Let two people approve every plan that waits."""
        for run in list(self.world.rows("run").values()):
            for who in (OPS, PETRA):
                if self.world.run(run.id).status is RunStatus.AWAITING_APPROVAL:
                    self.world.approve(run.id, who)

    def withdraw(self, who: Caller = ADMIN) -> SagaProgress:
        return perform(self.world.core, who, sagas.withdraw_saga, self.saga().id, reason="not now")

    def retry(self, who: Caller = ADMIN) -> SagaProgress:
        return perform(self.world.core, who, sagas.retry_step, self.saga().id)

    def outcomes(self) -> list[tuple[str, str, bool]]:
        """Return each attempt: name, outcome, whether it is of the way back."""
        found = steps_of(self.world, self.saga().id)
        return [(each.name, str(each.outcome), each.is_undo) for each in found]

    def at_copy(self, number: int, act: Callable[[], object]) -> None:
        """Do something when the thing with this number is copied."""
        seen = 0

        def during(what: str, thing: object) -> None:
            nonlocal seen
            if what == "copy":
                seen += 1
                if seen == number:
                    act()

        self.world.data.during = during
