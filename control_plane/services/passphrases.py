"""Giving an operator the passphrase of a stack; who got it stands in the log."""

from __future__ import annotations

from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.errors import NotFound
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.recording import record, record_denied


def disclose(core: Core, *, user: str, key: str) -> str:
    """Return the passphrase of a deployment, by its id or the name of its stack.

    ``user`` is the operator's name on this machine. The event is durable before the passphrase is
    known to anybody. Raises ``NotFound`` and ``AuditUnavailable``.
    """
    caller = Caller(actor=Actor(id=f"local:{user}", kind=ActorKind.USER, tenants=("*",)))
    with core.uow() as uow:
        found = uow.deployments.find(id=key) or uow.deployments.find(stack=key)
        if not found:
            error = NotFound(f"there is no deployment or stack {key}")
            record_denied(core, caller, "stack.passphrase_disclosed", error, tree=None)
            raise error
        (deployment,) = found
        secret = core.secrets.passphrase(deployment.id)
        record(
            core, uow, caller, "stack.passphrase_disclosed",
            tree=deployment.tenant_id, targets=(("deployment", deployment.id),),
            stack=deployment.stack,
        )  # fmt: skip
        uow.commit()
    return secret
