"""Verification: a look at everything in the cloud, and the checks of what it finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stacks.contract import UNKNOWN, Check, Code, Look, Place, Planned, Program, Request
from stacks.engine.backend import State
from stacks.engine.drifting import drift_of
from stacks.engine.failures import CallFailed, name_of
from stacks.engine.looking_up import Cloud, code_of
from stacks.engine.residing import Places, places
from stacks.engine.state import outputs_of, resources_of, unfinished
from stacks.engine.strangers import strangers
from stacks.engine.things import Thing

if TYPE_CHECKING:
    from stacks.engine.call import Call
    from stacks.engine.looking import Sight

_SAME = frozenset({"same", "read"})
_NAMED = 10  # resources named in the detail of a check

Judged = Callable[[str], bool]


def verify(call: Call, state: State | None, *, planned: Planned | None = None) -> Look:
    """Return what is found when every resource is read and compared with what was applied.

    Where nothing is to exist, it is what is left.

    ``planned`` is what this call has planned over the state and not applied: it fails a check,
    and so does whatever the cloud, the provider or a deadline leaves open. Raises ``CallFailed``
    when there is no answer at all: the call was canceled, the provider died, the state cannot be
    read.
    """
    if call.removes:
        from stacks.engine.removed import look_for_nothing  # noqa: PLC0415 - only after a removal

        return look_for_nothing(call, state)
    from stacks.engine.looking import look_at  # noqa: PLC0415 - the SDK, imported meanwhile

    until = time.monotonic() + call.request.deadlines.verify_seconds
    with call.phase("verify"):
        searching = ThreadPoolExecutor(max_workers=3)  # beside the look
        making = searching.submit(Cloud, call.request)
        unknown = searching.submit(lambda: strangers(call.request, state, making.result()))
        residing = searching.submit(lambda: places(call.request, state, making.result()))
        searching.shutdown(wait=False)
        sight = look_at(call, state, until=until)
        search = _searched(call, unknown, until=until)
        placed = _placed(call, residing, until=until)
    mine = _judged(call.request)
    outputs, secret_outputs = outputs_of(state)
    exported = call.host.run.exported if call.host is not None else ()
    return Look(
        checks=(
            _answers_in_cloud(sight, mine),
            _as_applied(sight, unfinished(state), planned, mine),
            _outputs_present(call.request.program, exported, outputs),
            _nothing_unknown(search, mine),
        ),
        drift=drift_of(sight, search.found),
        unanswered=_unanswered(sight, search),
        places=_answering(placed.found, sight),
        unplaced=placed.unanswered,
        everywhere=call.request.everywhere,
        resources=tuple(resources_of(state)),
        outputs=outputs,
        secret_outputs=secret_outputs,
        state_digest=call.digest_of(state),
    )


def _judged(request: Request) -> Judged:
    """Return whether a difference in a subject fails the checks of a call.

    What a call with a scope leaves alone does not, nor does what is known to differ. It is in
    ``Look.drift`` all the same.
    """
    if request.scope:
        return frozenset(request.scope).__contains__
    known = frozenset(request.known)
    return lambda subject: subject not in known


def _answers_in_cloud(sight: Sight, is_judged: Judged) -> Check:
    """Every resource that a provider made was read, and the cloud knew it."""
    missing = sight.named(lambda seen: seen.is_missing)
    return _check(
        "answers_in_cloud",
        [
            ("not in the cloud", _names([*filter(is_judged, missing)])),
            ("did not respond", _names(sight.named(lambda seen: seen.error is not None))),
            ("not checked", _names(sight.unasked)),
        ],
        failure=sight.failure,
        good=f"{len(sight.asked)} resources answered{_besides(missing, is_judged)}",
    )


def _as_applied(
    sight: Sight, unfinished: Sequence[str], planned: Planned | None, is_judged: Judged
) -> Check:
    """Everything in the cloud is as it was applied, and nothing is left to be applied."""
    open_ = sight.named(lambda seen: seen.error is not None) + sight.unasked
    missing = sight.named(lambda seen: seen.is_missing)
    other = sight.named(lambda seen: seen.is_missing or bool(seen.differs))
    return _check(
        "as_applied",
        [
            ("not in the cloud", _names([*filter(is_judged, missing)])),
            ("differs from what was applied", sight.differing(is_judged)),
            ("not compared", _names(open_)),
            ("not applied", [*unfinished, *_planned(planned)]),
        ],
        failure=sight.failure,
        good=f"{len(sight.asked) - len(other)} resources as applied{_besides(other, is_judged)}",
    )


def _planned(planned: Planned | None) -> list[str]:
    """Describe what a plan would do: operations, options and outputs."""
    if planned is None:
        return []
    operations = [
        f"{o.name} ({', '.join((*((o.op,) if o.op not in _SAME else ()), *o.options))})"
        for o in planned.operations
        if o.op not in _SAME or o.options
    ]
    return operations + [f"output {o.name} ({o.kind})" for o in planned.outputs]


@dataclass(frozen=True)
class _Search:
    """What belongs to the deployment and is in no state; ``failure`` says why nobody knows."""

    found: Sequence[Thing] = ()
    failure: str = ""


def _searched(call: Call, unknown: Future[list[Thing]], *, until: float) -> _Search:
    """Wait for the search. Raises ``CallFailed`` when there is no answer at all."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    from stacks.engine.looking import NO_ANSWER, completed  # noqa: PLC0415 - see above

    try:
        for _ in completed(call, [unknown], until=until):
            pass
        return _Search(unknown.result())
    except CallFailed as failed:
        if failed.code in NO_ANSWER:
            raise
        late = failed.code is Code.DEADLINE
        text = "the cloud was not searched within the deadline" if late else failed.text
        return _Search(failure=text)
    except (BotoCoreError, ClientError) as error:
        return _Search(failure=f"the cloud cannot be searched: {code_of(error)}")


def _placed(call: Call, residing: Future[Places], *, until: float) -> Places:
    """Wait for where everything is. Raises ``CallFailed`` when there is no answer at all."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - loaded by now

    from stacks.engine.looking import NO_ANSWER, completed  # noqa: PLC0415 - see above

    try:
        for _ in completed(call, [residing], until=until):
            pass
        return residing.result()
    except CallFailed as failed:
        if failed.code in NO_ANSWER:
            raise
        return Places((), failed.text)
    except (BotoCoreError, ClientError) as error:
        return Places((), f"nobody said where anything is: {code_of(error)}")


def _answering(found: Sequence[Place], sight: Sight) -> tuple[Place, ...]:
    """Leave out the resources that did not answer: nobody knows where they are, if anywhere."""
    silent = {*sight.named(lambda seen: seen.is_missing or seen.error is not None), *sight.unasked}
    return tuple(each for each in found if each.subject not in silent)


def _nothing_unknown(search: _Search, is_judged: Judged) -> Check:
    """Nothing in the cloud belongs to the deployment and is not in its state."""
    name = "nothing_unknown"
    if search.failure:
        return Check(name=name, ok=False, detail=search.failure)
    found = [*map(str, search.found)]
    return _check(
        name,
        [("not in the state", [*filter(is_judged, found)])],
        good=f"nothing unknown{_besides(found, is_judged)}",
    )


def _unanswered(sight: Sight, search: _Search) -> str:
    """Say why what was found may not be all there is; empty when it is."""
    looked = _check(
        "",
        [
            ("did not respond", _names(sight.named(lambda seen: seen.error is not None))),
            ("not checked", _names(sight.unasked)),
        ],
        failure=sight.failure,
        good="",
    )
    return "; ".join(filter(None, (looked.detail, search.failure)))


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


def _check(
    name: str,
    found: Sequence[tuple[str, Sequence[str]]],
    *,
    good: str,
    failure: CallFailed | None = None,
) -> Check:
    """Return a check that holds when nothing was found, and nothing prevented the look."""
    problems = [f"{text}: {_listed(names)}" for text, names in found if names]
    if failure is not None:
        problems.append(failure.text)
    return Check(name=name, ok=not problems, detail="; ".join(problems) or good)


def _besides(subjects: Sequence[str], is_judged: Judged) -> str:
    """Say how much differs that does not concern this call: it stays a finding."""
    others = sum(not is_judged(subject) for subject in subjects)
    return f"; {others} known to differ or outside of the scope" if others else ""


def _names(urns: Sequence[str]) -> list[str]:
    return [name_of(urn) for urn in urns]


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(texts[:_NAMED]) + (" and more" if len(texts) > _NAMED else "")
