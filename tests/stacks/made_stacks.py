"""A shared Hub, two slices of it and a dedicated Hub, made by the real engine; for tests only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.stacks import sample_specs
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.runner_calls import Desk, Outcome

HUB, DEDICATED = "hub-a-k3m9x2", "dainese-q7w2e4"
ACME, ZENITH = "acme-a1b2c3", "zenith-d4e5f6"


@dataclass(frozen=True, kw_only=True)
class Made:
    """A stack that has been applied, and the desk that did it."""

    short: str
    desk: Desk
    outcome: Outcome

    @property
    def outputs(self) -> dict[str, Any]:
        """What the stack exports."""
        return dict(self.outcome.last["look"]["outputs"])


@dataclass(frozen=True, kw_only=True)
class World:
    """An emulated cloud in which everything has been made once."""

    cloud: CloudProcess
    hub: Made
    slices: dict[str, Made]
    dedicated: Made

    @property
    def all(self) -> tuple[Made, ...]:
        """Every stack that was made."""
        return (self.hub, *self.slices.values(), self.dedicated)

    def of(self, program: str) -> Made:
        """Return a stack of ``program``."""
        return next(one for one in self.all if one.desk.program == program)


def make_world(*, cloud: CloudProcess, cli: Path, root: Path) -> World:
    """Apply every program; fails with the runner's last word when one cannot be."""

    def made(program: str, stack: str, spec: dict[str, Any]) -> Made:
        desk = Desk(
            root=root, cli=cli, endpoint=cloud.endpoint, program=program, stack=stack, spec=spec
        )
        outcome = desk.call("up")
        assert outcome.last["message"] == "result", outcome.last
        return Made(short=spec["owner"]["short"], desk=desk, outcome=outcome)

    hub = made("mode_a.hub", "hub.eu-west-1.a", sample_specs.hub())
    slices = {}
    for short in (ACME, ZENITH):
        tenant = short.rsplit("-", 1)[0]
        spec = sample_specs.slice_of(hub.outputs, tenant, short)
        slices[short] = made("mode_a.slice", f"{tenant}.production.a", spec)
    dedicated = made("mode_b", "dainese.production.b", sample_specs.dedicated())
    return World(cloud=cloud, hub=hub, slices=slices, dedicated=dedicated)
