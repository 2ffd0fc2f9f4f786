"""The operation ``resolve``: what became of what a dead engine, or a dead provider, had started.

Three kinds of traces are followed. What was made half-way stands in the state with its error: the
last step of its creation is done. Interrupted operations stand there too: creates are looked up in
the cloud, everything else is read again. What was made but never answered for stands nowhere,
since an engine whose provider dies believes that nothing was made; so whatever the program would
create is looked up as well. What exists and is ours enters the state with the inputs that it was to
be made with; what may be somebody else's is left for people. At the end everything is read again,
also when nothing had to be settled: what somebody deleted or changed is then planned again. A scope
limits what is looked up and read: the rest of the state stays what was applied.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from stacks.contract import Code, Resolved, Result
from stacks.engine.applying import touched
from stacks.engine.backend import State
from stacks.engine.call import Call
from stacks.engine.failures import CallFailed, name_of, type_of
from stacks.engine.finishing import finish
from stacks.engine.identities import SETTINGS
from stacks.engine.looking_up import Cloud, Verdict, is_of_the_state_alone
from stacks.engine.session import targets, within
from stacks.engine.state import has_provider, ids_of, is_unknown, pending_creates, pending_of

_CONSISTENCY_SECONDS = 10.0  # AWS may not show at once what it has just made
_ROUNDS = 20  # each finds what belongs to what the one before found
_CREATING = frozenset({"create", "create-replacement"})
_PREVIEW = ["preview", "--skip-plugin-pre-install"]
_REFRESH = ["refresh", "--yes", "--skip-preview", "--skip-plugin-pre-install"]

# What a state keeps of a resource's options; the next apply writes the rest.
_GOALS = ("type", "custom", "parent", "provider", "protect", "dependencies", "retainOnDelete",
          "propertyDependencies", "additionalSecretOutputs", "customTimeouts",
          "deletedWith")  # fmt: skip

Resource = Mapping[str, Any]


@dataclass(frozen=True)
class _Entry:
    """A resource about which more is known now: it enters the state if the verdict has its id."""

    resource: Resource
    verdict: Verdict


def resolve(call: Call) -> Result:
    """Settle what was interrupted. Raises ``CallFailed``, naming what remains unknown."""
    state = call.state()
    resolved: list[Resolved] = []
    if state is not None and (pending_of(state) or has_provider(state)):
        call.check_version()
        with call.phase("look_up"):
            heed = _heed(call)
            cloud = Cloud(call.request)
            if call.request.cloud.endpoint is None:
                heed(seconds=_CONSISTENCY_SECONDS)
            resolved += _complete(cloud, state)
            resolved += _settle_pending(call, cloud, state, heed)
            resolved += _adopt(call, cloud, heed)
        _refresh(call, resolved)
    after = call.state()
    return Result(
        outcome="resolved",
        state_digest=None if after is None else call.digest_of(after),
        history_digest=call.backend.history()[0],
        changed=call.digest_of(state) != call.digest_of(after),
        resolved=tuple(resolved),
        seconds=call.seconds,
    )


def _heed(call: Call) -> Callable[..., None]:
    """Return what looks whether the look-up is to stop: its rounds have one deadline together."""
    deadlines = call.request.deadlines
    return partial(
        call.heed,
        until=time.monotonic() + deadlines.plan_seconds + deadlines.verify_seconds,
        doing="look up what was interrupted",
    )


# --- what the state tells --------------------------------------------------------------------
def _settle_pending(
    call: Call, cloud: Cloud, state: State, heed: Callable[..., None]
) -> list[Resolved]:
    """Write the verdicts on all interrupted creates at once; a refresh settles the others.

    The engine's own ``--import-pending-creates`` forgets the resource instead (3.259.0).
    """
    creates = pending_creates(state)
    verdicts = cloud.verdicts(state, creates, heed=heed)
    _refuse_unsure(verdicts)
    if creates:
        heed()
        entries = [_Entry(r, v) for r, v in zip(creates, verdicts, strict=True)]
        entries = _finished(cloud, entries)
        verdicts = [e.verdict for e in entries]
        _write(call, state, {"pending_operations": _others(state)}, entries)
    read_again = [
        Resolved(
            urn=p.urn,
            type=p.type,
            resolution="cleared",
            proof=f"it was {p.operation}: the cloud is read again",
        )
        for p in pending_of(state)
        if p.operation != "creating"
    ]
    return [_resolved(v, "imported") for v in verdicts] + read_again


def _finished(cloud: Cloud, entries: Sequence[_Entry]) -> list[_Entry]:
    """Do the last step of what enters the state, before it does: a resolve that dies in between
    does it again."""
    done = [replace(e, verdict=finish(cloud.client, e.resource, e.verdict)) for e in entries]
    _refuse_unsure([e.verdict for e in done])
    return done


def _others(state: State) -> list[Mapping[str, Any]]:
    return [p for p in state.get("pending_operations") or () if p.get("type") != "creating"]


def _complete(cloud: Cloud, state: State) -> list[Resolved]:
    """Do the last step of what a provider made half-way before it failed or was canceled.

    The engine has it in the state, and nothing that is read of it shows that this step is missing.
    """
    half = [r for r in state.get("resources") or () if r.get("initErrors") and r.get("id")]
    proof = "its creation ended half-way"
    found = [_Entry(r, Verdict(r["urn"], r["type"], proof, id=r["id"])) for r in half]
    done = [entry.verdict for entry in _finished(cloud, found)]
    return [_resolved(verdict, "completed") for verdict in done if verdict.proof != proof]


# --- what nothing tells ----------------------------------------------------------------------
def _adopt(call: Call, cloud: Cloud, heed: Callable[..., None]) -> list[Resolved]:
    """Look up whatever would be created, until a preview shows nothing more that exists.

    What belongs to something that is found only now is not known before the next preview.
    """
    adopted: list[Resolved] = []
    state = call.state()
    for _ in range(_ROUNDS):
        if not has_provider(state):
            break  # without one nothing has been made
        wanted = _would_create(call, state)
        verdicts = cloud.verdicts(state, wanted, heed=heed)
        _refuse_unsure(verdicts)
        found = [_Entry(r, v) for r, v in zip(wanted, verdicts, strict=True) if v.id is not None]
        whole = [e for e in found if not is_unknown(e.resource["inputs"])]
        if not whole:
            _refuse_unsure([_orphaned(e.verdict) for e in found])
            break
        heed()
        whole = _finished(cloud, whole)
        _write(call, state or {}, {}, whole)
        adopted += [_resolved(e.verdict, "adopted") for e in whole]
        state = call.state()
    return adopted


def _would_create(call: Call, state: State | None) -> list[Resource]:
    """Return what a preview would create, in the form of a state but without ids."""
    path = call.folder.root / "look-up-plan.json"
    done = call.engine(
        "look_up",
        [*_PREVIEW, *_limits(call, state), "--save-plan", str(path)],
        doing="plan what is still to be created",
        seconds=call.request.deadlines.plan_seconds,
    )
    if done.failure is not None:
        raise done.failure
    existing = {r["urn"]: r.get("inputs") or {} for r in (state or {}).get("resources") or ()}
    planned = [
        _goal(urn, entry["goal"], existing.get(urn, {}))
        for urn, entry in _resource_plans(path.read_bytes()).items()
        if _CREATING.intersection(entry.get("steps") or ())
    ]
    return [r for r in planned if not is_of_the_state_alone(r) and r["type"] not in SETTINGS]


def _limits(call: Call, state: State | None) -> list[str]:
    scope = call.request.scope
    return within(scope, state) if scope else ["--refresh"]


def _resource_plans(saved_plan: bytes) -> Mapping[str, Any]:
    """Return what a saved plan has on each resource, by URN."""
    document = json.loads(saved_plan)
    return document.get("plan", document).get("resourcePlans") or {}


def _goal(urn: str, goal: Mapping[str, Any], inputs: Mapping[str, Any]) -> Resource:
    """Return a planned resource; the plan says how its inputs differ from the current ones."""
    change = goal.get("inputDiff") or {}
    gone = set(change.get("deletes") or ())
    return {
        "urn": urn,
        **{key: goal[key] for key in _GOALS if goal.get(key)},
        "inputs": {
            **{k: v for k, v in inputs.items() if k not in gone},
            **(change.get("updates") or {}),
            **(change.get("adds") or {}),
        },
    }


def _orphaned(verdict: Verdict) -> Verdict:
    why = f"{verdict.proof}, but its parent does not exist"
    return Verdict(verdict.urn, verdict.type, why, sure=False)


# --- what both do ----------------------------------------------------------------------------
def _write(call: Call, state: State, more: Mapping[str, Any], entries: Sequence[_Entry]) -> None:
    """Put what exists into the state, and ``more``, signed as an update of this call.

    An old resource of the same name is one that was being replaced: it is still to be deleted.
    Raises ``CallFailed`` when the state is no longer the one that the verdicts are about.
    """
    made = [_existing(e.resource, e.verdict.id) for e in entries if e.verdict.id is not None]
    urns = {r["urn"] for r in made}
    olds = [{**r, "delete": True} if r["urn"] in urns else r for r in state.get("resources") or ()]
    with call.taken() as update:
        if update.state != state:
            raise CallFailed(
                Code.LOCKED, "Somebody else changed the stack in the meantime: nothing was settled."
            )
        update.close("settled", {**state, **more, "resources": [*olds, *made]})


def _existing(resource: Resource, identity: str) -> dict[str, Any]:
    """Return a state's entry; what the cloud alone knows is read by the refresh that follows."""
    inputs = resource.get("inputs") or {}
    outputs = {k: v for k, v in inputs.items() if not k.startswith("__")}
    return {**resource, "id": identity, "outputs": {**outputs, "id": identity}}


def _refresh(call: Call, resolved: Sequence[Resolved]) -> None:
    """Have the engine read everything, which also ends the operations that are not creates."""
    scope = _in_scope(call, call.state())
    if call.request.scope and not scope:
        return
    with call.phase("refresh"):
        done = call.engine(
            "refresh",
            [*_REFRESH, *targets(scope)],
            doing="read what was settled",
            seconds=call.request.deadlines.apply_seconds,
            program=False,
            updates=True,
        )
    if done.failure is not None:
        raise touched(call, done)
    after = call.state()
    left = [p.urn for p in pending_of(after)] + [
        each.urn
        for each in resolved
        if each.resolution != "cleared" and not ids_of(after, each.type, urn=each.urn)
    ]
    if left:
        raise CallFailed(
            Code.PENDING_UNRESOLVED,
            "The engine did not settle: " + ", ".join(map(name_of, left)),
            data={"resources": [{"urn": urn} for urn in left]},
        )


def _in_scope(call: Call, state: State | None) -> list[str]:
    """Return the URNs that are read of a scope: what exists of it, and what was interrupted."""
    if not call.request.scope:
        return []
    interrupted = {p.urn for p in pending_of(state)}
    wanted = [urn for urn in call.request.scope if ids_of(state, type_of(urn), urn=urn)]
    return sorted({*wanted, *interrupted})


def _resolved(verdict: Verdict, resolution: str) -> Resolved:
    return Resolved(
        urn=verdict.urn,
        type=verdict.type,
        resolution=resolution if verdict.id is not None else "cleared",
        proof=verdict.proof,
    )


def _refuse_unsure(verdicts: Sequence[Verdict]) -> None:
    unsure = [v for v in verdicts if not v.sure]
    if unsure:
        raise CallFailed(
            Code.PENDING_UNRESOLVED,
            "Could not determine the outcome of: "
            + "; ".join(f"{name_of(v.urn)} ({v.proof})" for v in unsure),
            data={"resources": [{"urn": v.urn, "type": v.type, "why": v.proof} for v in unsure]},
        )
