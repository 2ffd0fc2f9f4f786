"""Watching a tenant: what happens to it, line by line, without a name in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from control_plane.domain.tenant import Tenant
from control_plane.ports.events import TenantEvent
from control_plane.services.tenants import get_tenant
from control_plane.workflows.core import Act

EVENTS_AT_ONCE: Final = 500


def watched_tenant(act: Act, key: str) -> Tenant:
    """Return a tenant that the caller may watch. Raises ``NotFound``, ``NotAllowed``."""
    return get_tenant(act, key)


def events_after(act: Act, key: str, seq: int) -> Sequence[TenantEvent]:
    """Return lines of a tenant with numbers above ``seq``, ``EVENTS_AT_ONCE`` at most."""
    return read_events(act, get_tenant(act, key).id, seq)


def read_events(act: Act, tenant_id: str, seq: int) -> Sequence[TenantEvent]:
    """Return the next lines of a tenant; the caller was checked before."""
    return act.uow.publications.watched(tenant_id, seq, limit=EVENTS_AT_ONCE)
