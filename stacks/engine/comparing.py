"""What a plan touches, looked at again in the cloud before it is applied.

A plan is made over the state of the stack, which nobody who changes the cloud by hand writes. So
where plan and apply are separate calls, each existing resource that the plan touches is read once
more, and each that such a one depends on, and compared with that state by the provider, as in a
look (`looking.py`). A plan that creates alone, from nothing that exists, asks nothing and starts
no provider.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal

from stacks.contract import CloudDifference, PlannedOperation, Result
from stacks.engine.backend import State
from stacks.engine.call import Call
from stacks.engine.changes import path_steps, values_at
from stacks.engine.failures import Said, classify, name_of, type_of
from stacks.engine.looking import Looks, Properties, Resource, Secrets, completed
from stacks.engine.plan import UNCHANGING, Change, Preview
from stacks.engine.provider import Found, Provider, ProviderError
from stacks.engine.state import in_cloud, pending_of
from stacks.engine.values import is_secret, plain

_DOING = "look again at what the plan touches"

Compared = tuple[CloudDifference, ...] | ProviderError


def differences(
    call: Call, preview: Preview, operations: Sequence[PlannedOperation]
) -> tuple[CloudDifference, ...]:
    """Return in what the cloud differs from the state over which ``operations`` were planned.

    Raises ``CallFailed`` when something could not be read: nobody knows then what it is.
    """
    urns = _asked(call, preview, operations)
    resources = [
        r for r in in_cloud(preview.state) if r["urn"] in urns and not r.get("pendingReplacement")
    ]
    return _compared(call, preview.state, resources)


def compare(call: Call) -> Result:
    """The operation ``compare``: in what the cloud differs from the state, of what a scope names.

    An interrupted apply is not begun again over what somebody has changed meanwhile. What a call
    was interrupted in is left out: nobody knows yet what became of it. Raises as ``differences``.
    """
    state = call.state()
    interrupted = {pending.urn for pending in pending_of(state)}
    wanted = set(call.request.scope) - interrupted
    resources = [
        r for r in in_cloud(state) if r["urn"] in wanted and not r.get("pendingReplacement")
    ]
    return Result(
        outcome="compared",
        state_digest=None if state is None else call.digest_of(state),
        differences=_compared(call, state, resources),
        seconds=call.seconds,
    )


def _compared(
    call: Call, state: State | None, resources: Sequence[Resource]
) -> tuple[CloudDifference, ...]:
    if not resources:
        return ()
    until = time.monotonic() + call.request.deadlines.verify_seconds
    with call.phase("compare"), ExitStack() as closing:
        asking = Looks(call, state, until, closing, doing=_DOING)
        asked = asking.begin(resources, _compare)
        found = [
            (asked[done], done.result())
            for done in completed(call, asked, until=until, doing=_DOING)
        ]
    _refuse_unread(found)
    every = [each for _, compared in found if isinstance(compared, tuple) for each in compared]
    return tuple(sorted(every, key=lambda each: (each.urn, each.path)))


def touched(preview: Preview, operations: Sequence[PlannedOperation]) -> frozenset[str]:
    """Return the URNs, as the state has them, of what a plan touches and of what that depends on.

    ``operations`` are those of the preview. What does not exist yet is among them.
    """
    renamed = {c.urn: str(c.old["urn"]) for c in preview.changes if c.old.get("urn")}
    found: set[str] = set()
    for change, operation in zip(preview.changes, operations, strict=True):
        if operation.op not in UNCHANGING or operation.options:
            found |= {change.urn, *_dependencies(preview, change, renamed.get(change.urn, ""))}
    return frozenset(renamed.get(urn, urn) for urn in found)


def _asked(call: Call, preview: Preview, operations: Sequence[PlannedOperation]) -> frozenset[str]:
    """Return the URNs to read: of a scope what it names, since the rest is known to differ."""
    urns = touched(preview, operations)
    return urns & frozenset(call.request.scope) if call.request.scope else urns


def _dependencies(preview: Preview, change: Change, old_urn: str) -> Iterator[str]:
    """Yield what a resource depends on, by its state and by what the program registers now."""
    for place in (preview.living.get(old_urn), preview.run.registered.get(change.urn)):
        if place is None:
            continue
        yield from place.get("dependencies") or ()
        yield from filter(None, (place.get("deletedWith"), place.get("parent")))
        for of_property in (place.get("propertyDependencies") or {}).values():
            # the state lists URNs, a registration has them in an object
            urns = of_property.get("urns") if isinstance(of_property, Mapping) else of_property
            yield from urns or ()


def _compare(
    provider: Provider,
    resource: Resource,
    inputs: Properties,
    outputs: Properties,
    secrets: Secrets,
) -> Compared:
    """Read a resource and name in what it differs from the state."""
    try:
        found = provider.read(resource, inputs, outputs)
        if found is None:
            return (_difference(resource, "missing"),)
        if resource.get("external"):  # only read by the stack: the preview has just read it
            return ()
        paths = provider.differences(resource, found, inputs).paths
    except ProviderError as error:
        return ProviderError(secrets.hide(str(error)))
    hidden = {name for name, value in inputs.items() if is_secret(value)}
    named = {first if (first := str((path_steps(p) or [p])[0])) in hidden else p for p in paths}
    unhealthy = found.reasons and not resource.get("initErrors")
    return (
        *(_changed(resource, found, path, secrets) for path in sorted(named)),
        *((_difference(resource, "unhealthy"),) if unhealthy else ()),
    )


def _changed(resource: Resource, found: Found, path: str, secrets: Secrets) -> CloudDifference:
    """Return a property with both values; a provider's outputs are what the cloud has."""
    before, after = values_at(
        path,
        [resource.get("inputs") or {}, resource.get("outputs") or {}],
        [found.outputs],
    )
    return _difference(
        resource, "changed",
        path=path, in_plan=plain(before, secrets.hide), in_cloud=plain(after, secrets.hide),
    )  # fmt: skip


def _difference(
    resource: Resource, kind: Literal["changed", "missing", "unhealthy"], **more: Any
) -> CloudDifference:
    urn = resource["urn"]
    return CloudDifference(urn=urn, type=type_of(urn), name=name_of(urn), kind=kind, **more)


def _refuse_unread(found: Sequence[tuple[Resource, Compared]]) -> None:
    """Raise ``CallFailed`` naming what could not be read."""
    errors = sorted(
        (resource["urn"], str(error))
        for resource, error in found
        if isinstance(error, ProviderError)
    )
    if errors:
        raise classify(
            Said(
                exit_code=1,
                diagnostics=[{"severity": "error", "urn": u, "message": m} for u, m in errors],
                failed=[{"urn": u, "type": type_of(u), "op": "refresh"} for u, _ in errors],
            ),
            doing=_DOING,
        )
