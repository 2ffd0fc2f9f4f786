"""Questions about the slices of Hubs, one indexed statement each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ARRAY, Connection, Select, Text, any_, bindparam, func, select

from control_plane.adapters.db import tables
from control_plane.adapters.db.faults import translated
from control_plane.domain.deployment import DeploymentKind, Desired
from control_plane.ports.rows import Dependent

_place, _tenant, _spec, _hub = (
    tables.deployment, tables.tenant, tables.deployment_spec, tables.hub
)  # fmt: skip


def _of_hubs(*what: Any) -> Select[Any]:
    among = _place.c.hub_id == any_(bindparam("hubs", type_=ARRAY(Text)))
    return select(_place.c.hub_id, *what).where(
        among, _place.c.kind == DeploymentKind.SLICE, _place.c.removed_at.is_(None)
    )


def _outdated() -> Select[Any]:
    pinned = _spec.c.document["hub"].op("-")("hub_id")
    query = _of_hubs(_place.c.id).join(_hub, _hub.c.id == _place.c.hub_id)
    query = query.join(
        _spec,
        (_spec.c.deployment_id == _place.c.id) & (_spec.c.number == _place.c.applied_spec),
    )
    return query.where(_spec.c.desired == Desired.PRESENT, pinned != _hub.c.outputs)


# made once: making a statement costs more than it does
_SLICES: Final = _of_hubs(func.count()).group_by(_place.c.hub_id)
_DEPENDENTS: Final = (
    _of_hubs(_tenant.c.id, _tenant.c.slug)
    .join(_tenant, _tenant.c.id == _place.c.tenant_id)
    .order_by(_tenant.c.slug)
)
_OUTDATED: Final = _outdated().order_by(_place.c.id)


class HubQueries:
    """The part of the port ``Queries`` that is about Hubs."""

    _connection: Connection

    def slices(self, hub_ids: Sequence[str]) -> Mapping[str, int]:
        """Return the number of slices on each of some Hubs."""
        found = {str(hub): int(count) for hub, count in self._rows_of(_SLICES, hub_ids)}
        return {hub_id: found.get(hub_id, 0) for hub_id in hub_ids}

    def dependents(self, hub_ids: Sequence[str]) -> Mapping[str, Sequence[Dependent]]:
        """Return the tenants that have a slice on each of some Hubs, by slug."""
        found: dict[str, list[Dependent]] = {hub_id: [] for hub_id in hub_ids}
        for hub, tenant_id, slug in self._rows_of(_DEPENDENTS, hub_ids):
            found[hub].append(Dependent(tenant_id=tenant_id, slug=slug))
        return found

    def outdated_slices(self, hub_ids: Sequence[str]) -> Mapping[str, Sequence[str]]:
        """Return the slices of each of some Hubs that were made over other outputs than it has."""
        found: dict[str, list[str]] = {hub_id: [] for hub_id in hub_ids}
        for hub, deployment_id in self._rows_of(_OUTDATED, hub_ids):
            found[hub].append(deployment_id)
        return found

    def _rows_of(self, query: Select[Any], hub_ids: Sequence[str]) -> Sequence[Any]:
        with translated():
            return self._connection.execute(query, {"hubs": list(hub_ids)}).all()
