"""Where tenants stand: newest run and bundle, what these say is wrong, and what holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from control_plane.domain.hold import HoldKind
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork


@dataclass(frozen=True, kw_only=True)
class Standing:
    """The newest run and bundle of a tenant.

    ``error`` is ``{code, message, data}`` of the error that ended or blocked the newest run, makes
    it wait, or ended the newest bundle; None when there was none. ``holds`` are the kinds of the
    holds that stand, each once.
    """

    run_id: str | None
    bundle_id: str | None
    error: Mapping[str, Any] | None
    holds: tuple[HoldKind, ...] = ()


def standings(uow: UnitOfWork, tenants: Sequence[Tenant]) -> Mapping[str, Standing]:
    """Return where each of some tenants stands, by its id, in one question for all.

    One more is asked where a hold stands.
    """
    newest = uow.queries.newest_of_tenants([tenant.id for tenant in tenants])
    held = tuple(tenant.id for tenant in tenants if tenant.hold)
    holds = uow.holds.find(tenant_id=held, released_at=None) if held else []
    return {
        tenant: Standing(
            run_id=found.run_id,
            bundle_id=found.bundle_id,
            error=found.run_error or found.bundle_error,
            holds=tuple(sorted({each.kind for each in holds if each.tenant_id == tenant})),
        )
        for tenant, found in newest.items()
    }
