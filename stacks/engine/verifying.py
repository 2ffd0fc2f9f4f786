"""Verification: one look at every resource and one preview, and the checks of what they say."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from stacks.contract import UNKNOWN, Check, Code, Look, Program
from stacks.engine.backend import State
from stacks.engine.failures import CallFailed, name_of
from stacks.engine.looking_up import code_of
from stacks.engine.plan import Preview, operations_of, output_changes
from stacks.engine.state import in_cloud, outputs_of, resources_of
from stacks.engine.strangers import strangers

if TYPE_CHECKING:
    from stacks.engine.call import Call, Done

_LOOK = ["preview", "--refresh", "--skip-plugin-pre-install"]
_NO_ANSWER = frozenset(
    {
        Code.CANCELED,
        Code.PARENT_GONE,
        Code.ENGINE_DIED,
        Code.PROVIDER_DIED,
        Code.BACKEND,
        Code.BACKEND_UNAVAILABLE,
        Code.PASSPHRASE,
    }
)
_SAME = frozenset({"same", "read"})
_NAMED = 10  # resources named in the detail of a check


def verify(call: Call, state: State | None) -> Look:
    """Return what is found when every resource is checked and the program planned again.

    Whatever the cloud, the program or a deadline leaves open fails a check. Raises ``CallFailed``
    when there is no answer at all: the call was canceled, a process died, the state cannot be read.
    """
    seconds = call.request.deadlines.verify_seconds
    with call.phase("verify"):
        end = time.monotonic() + seconds
        search = ThreadPoolExecutor(max_workers=1)  # beside the engine, which takes longer
        unknown = search.submit(strangers, call.request, state)
        search.shutdown(wait=False)
        done = call.engine(
            "verify",
            _LOOK,
            doing="verify the stack",
            seconds=seconds,
        )
        if done.failure is not None and done.failure.code in _NO_ANSWER:
            raise done.failure
        nothing_unknown = _nothing_unknown(unknown, seconds=max(end - time.monotonic(), 0.0))
    outputs, secret_outputs = outputs_of(state)
    exported = done.run.exported
    return Look(
        checks=(
            _answers_in_cloud(done, state),
            _plans_only_same(call, done, state),
            _outputs_present(call.request.program, exported, outputs),
            nothing_unknown,
        ),
        resources=tuple(resources_of(state)),
        outputs=outputs,
        secret_outputs=secret_outputs,
        state_digest=call.digest_of(state),
    )


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
            ("did not respond", failed),
            ("not checked", unasked),
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


def _nothing_unknown(unknown: Future[list[str]], *, seconds: float) -> Check:
    """Nothing in the cloud belongs to the deployment and is not in its state."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    name = "nothing_unknown"
    try:
        found = unknown.result(seconds)
    except TimeoutError:
        return Check(name=name, ok=False, detail="the cloud was not searched within the deadline")
    except CallFailed as failed:
        return Check(name=name, ok=False, detail=failed.text)
    except (BotoCoreError, ClientError) as error:
        return Check(name=name, ok=False, detail=f"the cloud cannot be searched: {code_of(error)}")
    return Check(
        name=name,
        ok=not found,
        detail="not in the state: " + _listed(found) if found else "nothing unknown",
    )


def _plans_only_same(call: Call, done: Done, state: State | None) -> Check:
    """A preview after the look plans nothing: no operation, no option, no output."""
    name = "plans_only_same"
    if done.failure is not None:
        return Check(name=name, ok=False, detail=done.failure.text)
    seen = Preview(steps=done.events.started, run=done.run, state=state)
    other = [
        f"{o.name} ({', '.join((*((o.op,) if o.op not in _SAME else ()), *o.options))})"
        for o in operations_of(seen)
        if o.op not in _SAME or o.options
    ]
    other += [
        f"output {o.name} ({o.kind})" for o in output_changes(seen, call.crypter(state).decrypt)
    ]
    return Check(
        name=name,
        ok=not other,
        detail="planned: " + _listed(other) if other else "only same",
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


def _named(urns: Sequence[str]) -> str:
    return _listed([name_of(urn) for urn in urns])


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_NAMED]) + (" and more" if len(texts) > _NAMED else "")
