"""Giving an operator the passphrase of a stack; who got it stands in the log."""

from __future__ import annotations

from control_plane.domain.errors import NotFound
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record, refused_as


def disclose(act: Act, key: str) -> str:
    """Return the passphrase of a deployment, by its id or the name of its stack.

    Nobody may be given it before the transaction, and so the event, is durable. Raises ``NotFound``
    and ``AuditUnavailable``.
    """
    with refused_as(act, "stack.passphrase_disclosed", tree=None):
        found = act.uow.deployments.find(id=key) or act.uow.deployments.find(stack=key)
        if not found:
            raise NotFound(f"no deployment or stack {key}")
    (deployment,) = found
    record(
        act, "stack.passphrase_disclosed",
        tree=deployment.tenant_id, targets=(("deployment", deployment.id),),
        stack=deployment.stack,
    )  # fmt: skip
    return act.core.secrets.passphrase(deployment.id)
