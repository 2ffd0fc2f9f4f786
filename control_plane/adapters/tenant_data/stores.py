"""The port ``TenantData`` over the stores of AWS."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Final

from control_plane.adapters.tenant_data import items, objects, settings
from control_plane.adapters.tenant_data.clients import Clients, clients_of, translated
from control_plane.domain.transfer import Copied, Kind, Place, Thing
from control_plane.ports.stores import SecretStore
from control_plane.ports.tenant_data import LeftBehind

_CLIENTS_LIVE_SECONDS: Final = 900.0
_STORES: Final = {
    Kind.OBJECT: "the bucket",
    Kind.ITEM: "the table",
    Kind.SECRET: "Secrets Manager",
    Kind.PARAMETER: "the parameter store",
}


class AwsTenantData:
    """Stores of AWS, or of the emulated cloud at ``endpoint``; ``secrets`` key the digests."""

    def __init__(self, *, endpoint: str | None, secrets: SecretStore) -> None:
        self._endpoint = endpoint
        self._secrets = secrets
        self._made: dict[tuple[str, ...], tuple[float, Clients]] = {}

    def _clients(self, place: Place) -> Clients:
        """Return the clients of a place; they take a while to make, and their credentials end."""
        role = (place.role_arn or "", place.external_id or "")
        key, now = (place.region, place.account_id, *role), time.monotonic()
        made_at, clients = self._made.get(key, (0.0, None))
        if clients is None or now - made_at > _CLIENTS_LIVE_SECONDS:
            clients = clients_of(place, self._endpoint)
            self._made[key] = (now, clients)
        return clients

    def things(self, place: Place, kind: Kind) -> Iterator[Thing]:
        """Return what a place holds of a kind."""
        listers = {
            Kind.OBJECT: objects.things,
            Kind.ITEM: items.things,
            Kind.SECRET: settings.secrets,
            Kind.PARAMETER: settings.parameters,
        }
        with translated(_STORES[kind]):
            yield from listers[kind](self._clients(place), place)

    def copy(self, source: Place, target: Place, things: Sequence[Thing]) -> list[Copied]:
        """Copy things of one kind, and read what was written."""
        if not things:
            return []
        kind, key = things[0].kind, self._secrets.hmac_key(target.deployment_id)
        read, write = self._clients(source), self._clients(target)
        with translated(_STORES[kind]):
            match kind:
                case Kind.OBJECT:
                    return objects.copy(read, write, source, target, things)
                case Kind.ITEM:
                    return items.copy(read, write, source, target, things)
                case Kind.SECRET:
                    return settings.copy_secrets(read, write, source, target, things, key)
                case Kind.PARAMETER:
                    return settings.copy_parameters(read, write, source, target, things, key)

    def describe(self, place: Place, things: Sequence[Thing]) -> list[Copied]:
        """Return things of one kind with their sizes and digests; see the port."""
        if not things:
            return []
        describers = {
            Kind.OBJECT: objects.describe,
            Kind.ITEM: items.describe,
            Kind.SECRET: settings.describe_secrets,
            Kind.PARAMETER: settings.describe_parameters,
        }
        kind = things[0].kind
        with translated(_STORES[kind]):
            return describers[kind](self._clients(place), place, things)

    def remove(self, place: Place, kind: Kind, names: Sequence[str]) -> None:
        """Remove what was copied to a place; a secret keeps its shell."""
        removers = {
            Kind.OBJECT: objects.remove,
            Kind.ITEM: items.remove,
            Kind.SECRET: settings.empty_secrets,
            Kind.PARAMETER: settings.remove_parameters,
        }
        if names:
            with translated(_STORES[kind]):
                removers[kind](self._clients(place), place, names)

    def left_behind(self, place: Place) -> LeftBehind:
        """Return what a place holds beside what ``things`` returns."""
        clients = self._clients(place)
        with translated(_STORES[Kind.OBJECT]):
            older = objects.older_versions(clients, place)
        with translated(_STORES[Kind.SECRET]):
            return LeftBehind(older_versions=older, secrets=settings.other_secrets(clients, place))
