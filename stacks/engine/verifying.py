"""The checks after an apply, in the same process: one look at every resource, one preview."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stacks.contract import UNKNOWN, Check, Program
from stacks.engine.backend import State
from stacks.engine.failures import name_of
from stacks.engine.state import in_cloud, outputs_of

if TYPE_CHECKING:
    from stacks.engine.call import Call, Done

_LOOK = ["preview", "--refresh", "--skip-plugin-pre-install"]
_NAMED = 10  # resources named in the detail of a check


def verify(call: Call, state: State | None) -> tuple[Check, ...]:
    """Return the checks of what was applied; a look that could not be made fails its checks."""
    outputs, _ = outputs_of(state)
    exported = call.host.exported if call.host is not None else ()
    present = _outputs_present(call.request.program, exported, outputs)
    with call.phase("verify"):
        done = call.engine(
            "verify",
            _LOOK,
            doing="look at what was applied",
            seconds=call.request.deadlines.verify_seconds,
        )
    return (_answers_in_cloud(done, state), _plans_only_same(done), present)


def _answers_in_cloud(done: Done, state: State | None) -> Check:
    """Every resource that a provider made was read, and the cloud knew it."""
    wanted = in_cloud(state)
    looked = {str(m["urn"]): m for m in done.events.done if m.get("op") == "refresh"}
    missing = [urn for urn in wanted if urn in looked and not looked[urn].get("new")]
    failed = sorted({str(m["urn"]) for m in done.events.failed})
    unasked = [urn for urn in wanted if urn not in looked and urn not in failed]
    problems = [
        text
        for text, urns in (
            ("not in the cloud", missing),
            ("did not answer", failed),
            ("not looked at", unasked),
        )
        if urns
        for text in [f"{text}: {_named(urns)}"]
    ]
    if problems and done.failure is not None:
        problems.append(done.failure.text)
    return Check(
        name="answers_in_cloud",
        ok=not problems,
        detail="; ".join(problems) or f"{len(wanted)} resources answered",
    )


def _plans_only_same(done: Done) -> Check:
    """A preview after the look plans nothing but ``same``."""
    if done.failure is not None:
        return Check(name="plans_only_same", ok=False, detail=done.failure.text)
    other = [
        f"{name_of(str(m['urn']))} ({m['op']})"
        for m in done.events.started
        if m.get("op") not in ("same", "refresh")
    ]
    return Check(
        name="plans_only_same",
        ok=not other,
        detail="planned: " + ", ".join(other[:_NAMED]) if other else "only same",
    )


def _outputs_present(
    program: Program, exported: Sequence[str], outputs: Mapping[str, Any]
) -> Check:
    """Every exported output has a value, and those that others rely on have the right type."""
    # the engine leaves out what has no value
    absent = sorted(k for k in {*exported, *outputs} if outputs.get(k) in (None, UNKNOWN))
    problems = [f"without value: {', '.join(absent)}"] if absent else []
    if not outputs:
        problems.append("the program exports nothing")
    if program is Program.HUB:
        problems.extend(_hub_problems(outputs))
    return Check(
        name="outputs_present",
        ok=not problems,
        detail="; ".join(problems) or f"{len(outputs)} outputs",
    )


def _hub_problems(outputs: Mapping[str, Any]) -> list[str]:
    from pydantic import ValidationError  # noqa: PLC0415 - both are loaded by now

    from stacks.spec import HubOutputs  # noqa: PLC0415

    known = {k: v for k, v in outputs.items() if k in HubOutputs.model_fields}
    try:
        HubOutputs.model_validate(known)
    except ValidationError as error:
        return [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
    return []


def _named(urns: list[str]) -> str:
    names = [name_of(urn) for urn in urns[:_NAMED]]
    return ", ".join(names) + (" and more" if len(urns) > _NAMED else "")
