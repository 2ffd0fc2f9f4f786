"""A bench for the port of the engine: the real one on the emulated cloud; for tests only."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from control_plane.adapters.pulumi.engine import Cloud, PulumiEngine
from control_plane.adapters.secrets import FileSecretStore, create_secret
from control_plane.domain.engine import CallMark, Look
from control_plane.ports import Json
from control_plane.ports.engine import (
    EngineCall,
    EngineEvent,
    EnginePlan,
    EngineResult,
    GateAnswer,
    StackEngine,
    StackInspection,
)
from tests.stacks.sample_specs import ACCOUNT, REGION, hub_outputs, slice_of

ROOT = Path(__file__).resolve().parents[2]
FOREIGN = "0f8fad5b-d9cb-469f-a165-70867728950e"
NUMBERS = itertools.count(1)


@dataclass
class Bench:
    """An engine, calls for a stack of its own, and somebody else who may hold that stack."""

    engine: StackEngine
    hold: Callable[[str], str]  # stack -> id of the foreign lock
    folder: Path
    endpoint: str = ""  # of the emulated cloud, if the engine has one
    events: list[tuple[str, Json]] = field(default_factory=list)
    number: int = field(default_factory=lambda: next(NUMBERS))

    @property
    def stack(self) -> str:
        return f"acme{self.number}.production.a"

    def call(self, **changes: Any) -> EngineCall:
        spec = slice_of(hub_outputs(), f"acme{self.number}", f"acme{self.number}-a1b2c3")
        call = EngineCall(
            call_id=f"run_{self.number}.{next(NUMBERS)}",
            run_id=f"run_{self.number}",
            deployment_id=f"dep_{self.number}",
            stack=self.stack,
            program="mode_a.slice",
            spec=spec,
            region=REGION,
            account_id=ACCOUNT,
        )
        return replace(call, **changes)

    def listen(self, events: Sequence[EngineEvent]) -> None:
        self.events.extend(events)

    def plan(self, **changes: Any) -> EnginePlan:
        return self.engine.plan(self.call(**changes), on_events=self.listen)

    def apply(self, call: EngineCall | None = None, **changes: Any) -> EngineResult:
        more: dict[str, Any] = {"gate": lambda _: GateAnswer.PROCEED, "saved_plan": None,
                                "on_applied": lambda _: None, "on_events": self.listen,
                                **changes}  # fmt: skip
        return self.engine.apply(call or self.call(), **more)

    def look(self) -> Look:
        return self.engine.look(self.call(), on_events=self.listen)

    def inspect(self, *marks: CallMark) -> StackInspection:
        return self.engine.inspect(self.call(), marks=marks)

    def state_digest(self) -> str | None:
        return self.inspect().state_digest

    def other_spec(self) -> Json:
        return {**self.call().spec, "retention": {"log_days": 30}}


def pulumi_engine(
    cli: Callable[[], Path], endpoint: str, folder: Path, *, backend_url: str | None = None
) -> PulumiEngine:
    master = folder / "master.key"
    if not master.exists():
        create_secret(master)
    return PulumiEngine(
        cli=cli,
        backend_url=backend_url or f"file://{folder / 'state'}",
        calls_folder=folder / "calls",
        schemas=ROOT / "stacks" / "schemas",
        source=ROOT,
        secrets=FileSecretStore(master),
        cloud=Cloud(provider="sandbox", endpoint=endpoint),
    )


def pulumi_bench(cli: Callable[[], Path], endpoint: str, folder: Path) -> Bench:
    (folder / "state").mkdir()
    engine = pulumi_engine(cli, endpoint, folder)

    def hold(stack: str) -> str:
        locks = folder / "state" / ".pulumi" / "locks" / "organization" / "tenantplane" / stack
        locks.mkdir(parents=True, exist_ok=True)
        content = {"pid": 1, "username": "joe", "hostname": "elsewhere", "timestamp": "2026-11-20"}
        (locks / f"{FOREIGN}.json").write_text(json.dumps(content))
        return FOREIGN

    return Bench(engine=engine, hold=hold, folder=folder, endpoint=endpoint)


def applies(event: EngineEvent) -> bool:
    """Tell whether an event is of a resource that is being applied."""
    kind, body = event
    return kind == "resource" and body.get("phase", "apply") == "apply"


def checks(look: Look | None) -> dict[str, bool]:
    assert look is not None
    return {check.name: check.ok for check in look.checks}


GOOD = dict.fromkeys(
    ("outputs_present", "answers_in_cloud", "plans_only_same", "nothing_unknown"), True
)
