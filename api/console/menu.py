"""The entries of the console's menu, and who may open each."""

from __future__ import annotations

from typing import Final

from api.console.rendering import Place
from control_plane.services import approvals, auditing, queue
from control_plane.services.permission import READ_TENANTS

PLACES: Final = (
    Place(name="Home", path="/console"),
    Place(name="Approvals", path="/console/approvals", roles=frozenset(approvals.READERS)),
    Place(name="Tenants", path="/console/tenants", roles=READ_TENANTS),
    Place(
        name="Audit",
        path="/console/audit",
        roles=frozenset((*auditing.TENANT_READERS, *auditing.PLATFORM_READERS)),
    ),
    Place(name="Operations", path="/console/operations", roles=frozenset(queue.READERS)),
)
