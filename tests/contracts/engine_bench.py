"""Benches for the port of the engine: the scripted one, and the real one on the emulated cloud."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, cast

import boto3

from control_plane.adapters.pulumi.engine import Cloud, PulumiEngine
from control_plane.adapters.pulumi.runner_parent import RunnerParent
from control_plane.adapters.pulumi.runner_process import runner_environment
from control_plane.adapters.secrets import FileSecretStore, create_secret
from control_plane.domain.engine import Look
from control_plane.ports import Json
from control_plane.ports.engine import (
    EngineCall,
    EngineEvent,
    EnginePlan,
    EngineResult,
    EventListener,
    GateAnswer,
    StackEngine,
    StackInspection,
)
from stacks.engine.backend import backend_for
from stacks.engine.sealing import Sealer
from tests.scripted_engine import ScriptedEngine
from tests.scripted_faults import Fault
from tests.scripted_resources import outputs_of, resource, resources_of
from tests.stacks.runner_calls import hold as hold_stack
from tests.stacks.runner_calls import is_provider, processes_of
from tests.stacks.sample_specs import ACCOUNT, REGION, hub, hub_outputs, slice_of

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = itertools.count(1)
SUBNET = "aws:ec2/subnet:Subnet"


@dataclass
class Bench:
    """An engine, calls for a stack of its own, and somebody else who may hold that stack.

    ``dying`` gives the listener of an apply in which a process dies at its first resource; it is
    told which one: ``runner``, ``engine`` or ``provider``.
    """

    engine: StackEngine
    hold: Callable[[str], str]  # stack -> id of the lock of joe@elsewhere, process 1
    dying: Callable[[str, EngineCall], EventListener]
    later: Callable[[], StackEngine]  # the engine as a process has it that starts later
    change_log_days: Callable[[int], None]  # of its log group, in the cloud alone
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
        more: dict[str, Any] = {"gate": lambda _: GateAnswer.PROCEED,
                                "on_applied": lambda _: None, "on_events": self.listen,
                                "compares": False,
                                **changes}  # fmt: skip
        return self.engine.apply(call or self.call(), **more)

    def look(self) -> Look:
        return self.engine.look(self.call(), on_events=self.listen)

    def inspect(self) -> StackInspection:
        return self.engine.inspect(self.call())

    def state_digest(self) -> str | None:
        return self.inspect().state_digest

    def other_spec(self, log_days: int = 30) -> Json:
        """A spec that changes one input of one resource."""
        return {**self.call().spec, "retention": {"log_days": log_days}}

    def spec_of_another_hub(self, **changes: Any) -> Json:
        """A spec in which outputs of the Hub of the slice are others."""
        spec = self.call().spec
        return {**spec, "hub": {**spec["hub"], **changes}}

    def hub_call(self, *zones: str) -> EngineCall:
        """A call for a shared Hub with a subnet in each of these zones."""
        network = {**hub()["network"], "zones": [REGION + zone for zone in zones]}
        return self.call(program="mode_a.hub", spec=hub(network=network))


@cache
def runner_parent() -> RunnerParent:
    """The one parent of all runners of this process."""
    return RunnerParent(source=ROOT, environment=runner_environment(sandbox=True), sandbox=True)


def pulumi_engine(
    cli: Callable[[], Path],
    endpoint: str,
    folder: Path,
    *,
    backend_url: str | None = None,
    runners: RunnerParent | None = None,
) -> PulumiEngine:
    master = folder / "master.key"
    if not master.exists():
        create_secret(master)
    return PulumiEngine(
        cli=cli,
        backend_url=backend_url or f"file://{folder / 'state'}",
        calls_folder=folder / "calls",
        schemas=ROOT / "stacks" / "schemas",
        runners=runners or runner_parent(),
        secrets=FileSecretStore(master),
        cloud=Cloud(provider="sandbox", endpoint=endpoint),
    )


def pulumi_bench(
    cli: Callable[[], Path], endpoint: str, folder: Path, *, runners: RunnerParent | None = None
) -> Bench:
    (folder / "state").mkdir()
    engine = pulumi_engine(cli, endpoint, folder, runners=runners)

    def hold(stack: str) -> str:
        secrets = FileSecretStore(folder / "master.key")
        sealer = Sealer(secrets.stack_keys(bench.call().deployment_id, None).passphrase, stack)
        state = f"file://{folder / 'state'}"
        return hold_stack(backend_for(state, stack, engine="v0", sealer=sealer), pid=1)

    def dying(who: str, call: EngineCall) -> EventListener:
        killed = threading.Event()

        def listen(events: Sequence[EngineEvent]) -> None:
            bench.listen(events)
            if any(applies(event) for event in events) and not killed.is_set():
                killed.set()
                kill(who, call.call_id)

        return listen

    def change_log_days(days: int) -> None:
        spec = bench.call().spec
        group = f"{spec['hub']['log_group_prefix']}/tenants/{spec['owner']['short']}/app"
        logs = boto3.client(
            "logs", region_name=REGION, endpoint_url=endpoint,
            aws_access_key_id="test", aws_secret_access_key="test",
        )  # fmt: skip
        logs.put_retention_policy(logGroupName=group, retentionInDays=days)

    bench = Bench(
        engine=engine,
        hold=hold,
        dying=dying,
        later=lambda: pulumi_engine(cli, endpoint, folder),
        change_log_days=change_log_days,
        folder=folder,
        endpoint=endpoint,
    )
    return bench


def kill(who: str, call_id: str) -> None:
    """Kill a process of a call of the real engine."""
    processes = processes_of(call_id)
    pids = {process.pid for process in processes}
    is_it: dict[str, Callable[[Any], bool]] = {
        "runner": lambda process: process.ppid() not in pids,
        "engine": lambda process: process.name() == "pulumi",
        "provider": is_provider,
    }
    next(filter(is_it[who], processes)).kill()


def scripted_bench(folder: Path, *, unavailable: bool = False) -> Bench:
    engine = ScriptedEngine(wanted=wanted_of, outputs=exported_of)
    engine.unavailable = unavailable

    def dying(who: str, call: EngineCall) -> EventListener:
        del call
        engine.faults.append(Fault(kind=cast("Any", f"{who}_dies")))
        return bench.listen

    bench = Bench(
        engine=engine,
        hold=lambda stack: engine.hold_lock(stack, "joe@elsewhere", pid=1),
        dying=dying,
        later=lambda: engine,
        change_log_days=lambda days: engine.change(
            bench.stack, "aws:cloudwatch/logGroup:LogGroup::app", retentionInDays=days
        ),
        folder=folder,
    )
    return bench


def wanted_of(call: EngineCall) -> list[dict[str, Any]]:
    """What the scripted engine makes of the specs here: what the tests read of the real programs.

    A log group, a secret that is protected, and a subnet per zone.
    """
    others = {"hub", "network", "retention"}
    usual = [item for item in resources_of(call) if item["name"] not in others]
    prefix = call.spec.get("hub", {}).get("log_group_prefix", "/tenantplane")
    return [
        *usual,
        resource(
            call, "aws:cloudwatch/logGroup:LogGroup", "app",
            {"name": f"{prefix}/app", "retentionInDays": call.spec["retention"]["log_days"]},
        ),
        resource(
            call, "aws:secretsmanager/secret:Secret", "app",
            {"name": f"{call.spec['owner']['short']}/app"}, protect=True,
        ),
        *(
            resource(call, SUBNET, zone, {"availabilityZone": zone})
            for zone in call.spec.get("network", {}).get("zones", ())
        ),
    ]  # fmt: skip


def exported_of(call: EngineCall) -> dict[str, Any]:
    """What the scripted engine's programs export here."""
    if call.program == "mode_a.hub":
        return outputs_of(call)
    return {**outputs_of(call), "hub_id": call.spec["hub"]["hub_id"]}


def applies(event: EngineEvent) -> bool:
    """Tell whether an event is of a resource that is being applied."""
    kind, body = event
    return kind == "resource" and body.get("phase", "apply") == "apply"


def checks(look: Look | None) -> dict[str, bool]:
    assert look is not None
    return {check.name: check.ok for check in look.checks}


GOOD = dict.fromkeys(("outputs_present", "answers_in_cloud", "as_applied", "nothing_unknown"), True)
