"""A ready dedicated tenant, and plans of what tests want: shared by the tests of approval rules."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.actor import Role
from control_plane.domain.approval import Approval
from control_plane.domain.errors import DomainError
from control_plane.domain.run import Run
from control_plane.ports.engine import EngineCall
from control_plane.services import approvals, withdrawals
from control_plane.services.approvals import ApprovalDetails
from control_plane.services.changes import request_change
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.scripted_engine import ScriptedEngine
from tests.scripted_resources import resource, resources_of
from tests.world import AUTOMATION, OPS, SOURCE, World, person

OTTO = person("otto", Role.OPS_APPROVER)
PETRA = person("petra", Role.OPS_APPROVER)


class Site:
    """A tenant in mode B whose plans have, beside those of its spec, the resources in ``more``.

    Each is a type, a name and inputs.
    """

    def __init__(self, world: World, *, is_ready: bool = True) -> None:
        self.world = world
        self.more: dict[tuple[str, str], dict[str, Any]] = {}
        world.engine = ScriptedEngine(wanted=self._wanted)
        world.core = replace(world.core, engine=world.engine)
        self.seats = 100
        accepted = world.submit("B")
        world.work()
        self.tenant_id = accepted.tenant.id
        self.run_id = accepted.run_id or ""
        if is_ready:
            world.approve(self.run_id)

    def _wanted(self, call: EngineCall) -> list[dict[str, Any]]:
        more = [resource(call, kind, name, given) for (kind, name), given in self.more.items()]
        return [*resources_of(call), *more]

    def change(self, who: Caller = AUTOMATION, **facts: Any) -> Run:
        """Change facts so that there is a run, and let it plan; seats unless others are named."""
        if not facts:
            self.seats = 2000 if self.seats == 100 else 100
            facts = {"seats": self.seats}
        found = perform(
            self.world.core, who, request_change, self.tenant_id, facts=facts, reason="it grows"
        )
        self.world.work()
        self.run_id = found.run_id or ""
        return self.run

    @property
    def run(self) -> Run:
        """The newest run."""
        found: Run = self.world.run(self.run_id)
        return found

    @property
    def approval(self) -> Approval:
        """The approval of the newest run, as it is now."""
        with self.world.core.uow() as uow:
            return uow.approvals.need(self.run.approval_id)

    def view(self, who: Caller = OPS) -> ApprovalDetails:
        """Return the approval as somebody sees it."""
        return perform(self.world.core, who, approvals.get_approval, self.approval.id)

    def decide(self, who: Caller = OPS, verdict: str = "approve", **given: Any) -> None:
        """Decide, ticking what cannot be undone unless something else is given."""
        self.world.decide(self.approval.id, who, verdict, **given)

    def withdraw(self, who: Caller = OPS, reason: str = "not sure any more") -> None:
        """Withdraw somebody's approval."""
        perform(self.world.core, who, withdrawals.withdraw, self.approval.id, reason=reason)

    def refused(self, kind: type[DomainError], act: Callable[[], object]) -> DomainError:
        """Do what must be refused: one event of the refusal is left, and the rows stay."""
        rows, known = self.world.storage.everything(), len(self.world.events())
        with pytest.raises(kind) as caught:
            act()
        assert self.world.storage.everything() == rows
        (event,) = self.world.events()[known:]
        assert (event.action, event.stage) == ("decision.refused", "denied")
        assert event.data["code"] == caught.value.code
        return caught.value

    def follow(self, folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
        """Let other approval rules be in force: the shipped document as ``change`` changes it."""
        shutil.copytree(SOURCE / "rules", folder)
        file = folder / "approval_rules.yaml"
        content = yaml.safe_load(file.read_text("utf-8"))
        change(content)
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        self.world.core = replace(self.world.core, rules=load_rules(folder))

    def actions(self, known: int = 0) -> list[str]:
        """Return what was recorded after the first ``known`` events."""
        return [event.action for event in self.world.events()[known:]]
