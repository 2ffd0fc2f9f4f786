"""What operators do with stacks beside the runs; who did stands in the log."""

from __future__ import annotations

from control_plane.domain.deployment import Deployment
from control_plane.domain.errors import NotFound
from control_plane.domain.stack_salt import StackSalt
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record, refused_as


def all_stacks(act: Act) -> list[tuple[Deployment, StackSalt | None]]:
    """Return every deployment with its salt, sorted by the name of its stack."""
    salts = {salt.id: salt for salt in act.uow.salts.find()}
    every = sorted(act.uow.deployments.find(), key=lambda each: each.stack)
    return [(each, salts.get(each.id)) for each in every]


def open_stack(act: Act, key: str) -> tuple[Deployment, StackSalt | None]:
    """Return a deployment, by its id or the name of its stack, and the salt that opens its state.

    It may be served only after the transaction, and so the event, is durable. Raises ``NotFound``
    and ``AuditUnavailable``.
    """
    deployment = _named(act, key, "stack.opened")
    record(
        act, "stack.opened",
        tree=deployment.tenant_id, targets=(("deployment", deployment.id),),
        stack=deployment.stack,
    )  # fmt: skip
    return deployment, act.uow.salts.get(deployment.id)


def record_conversion(act: Act, key: str, resources: int) -> None:
    """Record that the state which an earlier release wrote is that of this release now.

    Raises as ``open_stack``.
    """
    deployment = _named(act, key, "stack.converted")
    record(
        act, "stack.converted",
        tree=deployment.tenant_id, targets=(("deployment", deployment.id),),
        stack=deployment.stack, resources=resources,
    )  # fmt: skip


def _named(act: Act, key: str, action: str) -> Deployment:
    with refused_as(act, action, tree=None):
        found = act.uow.deployments.find(id=key) or act.uow.deployments.find(stack=key)
        if not found:
            raise NotFound(f"no deployment or stack {key}")
    return found[0]
