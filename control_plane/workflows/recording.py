"""Writing to the audit log: the one place that makes audit events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from control_plane.domain.audit import AuditEvent, Stage, fitted
from control_plane.domain.bundle import Bundle
from control_plane.domain.cause import Cause
from control_plane.domain.deployment import PLATFORM, Deployment
from control_plane.domain.errors import AuditUnavailable, DomainError
from control_plane.domain.run import Run
from control_plane.workflows.core import Act, Caller, Core


def record(
    act: Act,
    action: str,
    *,
    tree: str | None,
    targets: tuple[tuple[str, str], ...] = (),
    stage: Stage = Stage.COMPLETED,
    run: str | None = None,
    approval: Mapping[str, str] | None = None,
    personal: Mapping[str, Any] | None = None,
    **data: Any,
) -> str:
    """Record what happened in the transaction of ``act`` and return the event's id.

    ``tree`` is a tenant id; None means the platform's tree. ``data`` are the fields of the
    action's schema; those that are None are left out, and a list that is longer than an event can
    hold loses its end (``fitted``). Raises ``AuditUnavailable``, also
    for a change that belongs to a log which is held.
    """
    held = act.caller.held.get(tree or PLATFORM)
    if held is not None and stage is not Stage.DENIED:  # what is refused changes nothing
        raise AuditUnavailable(f"nothing was done: the audit log concerned is suspended: {held}")
    event = AuditEvent(
        id=act.new_id("event"),
        tree=tree or PLATFORM,
        action=action,
        stage=stage,
        time=act.now(),
        actor=act.caller.actor,
        targets=targets,
        run=run,
        approval=approval,
        idempotency_key_sha256=act.caller.idempotency_key_sha256,
        request_id=act.caller.request_id,
        data=fitted({name: value for name, value in data.items() if value is not None}),
        personal=personal or {},
    )
    act.uow.audit.record(event)
    return event.id


def record_run(
    act: Act, action: str, run: Run, *, targets: tuple[tuple[str, str], ...] = (), **data: Any
) -> None:
    """Record what happened to a run, in its owner's tree; ``targets`` are the others."""
    record(act, action, tree=run.tenant_id, targets=(("run", run.id), *targets), run=run.id, **data)


def record_bundle(act: Act, action: str, bundle: Bundle, **data: Any) -> None:
    """Record what happened to a bundle, with its number."""
    record(
        act, action,
        tree=bundle.tenant_id, targets=(("bundle", bundle.id),), number=bundle.number, **data,
    )  # fmt: skip


def record_caused(act: Act, action: str, bundle: Bundle, **data: Any) -> None:
    """Record what happened to a bundle, with the step of a journey that it is made for."""
    record_bundle(act, action, bundle, **said_of(bundle.cause), **data)


def said_of(cause: Cause | None) -> dict[str, str]:
    """Return what an event says of its cause: the step's key in its journey, and the playbook."""
    return {} if cause is None else {"cause": cause.key, "playbook": cause.playbook}


def record_foreign_update(
    act: Act, run: Run, deployment: Deployment, state_digest: str | None
) -> None:
    """Record that something other than our runs changed a stack since our last run."""
    record(
        act, "stack.foreign_update",
        tree=run.tenant_id, targets=(("deployment", deployment.id),), run=run.id,
        stack=deployment.stack, state_digest=state_digest,
        previous_digest=deployment.state_digest,
    )  # fmt: skip


def record_denied(
    core: Core,
    caller: Caller,
    action: str,
    error: DomainError,
    *,
    tree: str | None,
    targets: tuple[tuple[str, str], ...] = (),
    **data: Any,
) -> None:
    """Record a refusal in a transaction of its own, before the answer is given.

    The refused transaction rolls back, so its own would erase the evidence. Raises
    ``AuditUnavailable`` when it cannot be written: then the caller gets that instead.
    """
    with core.act(caller) as act:
        record(
            act, action,
            tree=tree, targets=targets, stage=Stage.DENIED, code=error.code, **data,
        )  # fmt: skip
        act.uow.commit()
    error.is_recorded = True


@contextmanager
def refused_as(
    act: Act,
    action: str,
    *,
    tree: str | None,
    targets: tuple[tuple[str, str], ...] = (),
    **data: Any,
) -> Iterator[None]:
    """Let a refusal in the block be recorded as ``action``, once its transaction is rolled back.

    What was refused further inside keeps the trace that it has.
    """
    try:
        yield
    except DomainError as error:
        leave_trace(
            error,
            partial(
                record_denied, act.core, act.caller, action, error,
                tree=tree, targets=targets, **data,
            ),
        )  # fmt: skip
        raise


def leave_trace(error: DomainError, write: Callable[[], None]) -> None:
    """Let ``write`` record a refusal when its transaction is rolled back; the first one counts."""
    if error.trace is None:
        error.trace = write
