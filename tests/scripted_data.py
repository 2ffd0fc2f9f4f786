"""The port ``TenantData`` in memory: stores that a test fills, and faults within a copy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import count

from control_plane.domain.canonical import digest
from control_plane.domain.transfer import Copied, Kind, Place, Thing
from control_plane.ports.tenant_data import LeftBehind

Store = dict[str, tuple[str, str]]  # name -> version, content


class ScriptedData:
    """Stores by deployment and kind.

    ``during`` hears what is done, of each copy the thing; what it raises breaks the copy off there.
    ``writes`` is what was written, once for each time.
    """

    def __init__(self) -> None:
        self.stores: dict[tuple[str, Kind], Store] = {}
        self.older_versions = 0
        self.writes: list[tuple[Kind, str]] = []
        self.during: Callable[[str, Thing | None], None] = lambda what, thing: None
        self._versions = count(1)

    # --- for tests ---------------------------------------------------------------------------
    def store(self, deployment_id: str, kind: Kind) -> Store:
        """Return a store as it is."""
        return self.stores.setdefault((deployment_id, kind), {})

    def put(self, deployment_id: str, kind: Kind, name: str, content: str) -> None:
        """Write something as the application does."""
        self.store(deployment_id, kind)[name] = (f"v{next(self._versions)}", content)

    def contents(self, deployment_id: str) -> dict[tuple[Kind, str], str]:
        """Return all that a deployment's stores hold."""
        return {
            (kind, name): content
            for (owner, kind), store in self.stores.items()
            if owner == deployment_id
            for name, (_, content) in store.items()
        }

    # --- the port ----------------------------------------------------------------------------
    def things(self, place: Place, kind: Kind) -> Iterator[Thing]:
        """Return what a place holds of a kind."""
        self.during("things", None)
        for name, (version, content) in list(self.store(place.deployment_id, kind).items()):
            yield Thing(kind=kind, name=name, version=version, size=len(content))

    def copy(self, source: Place, target: Place, things: Sequence[Thing]) -> list[Copied]:
        """Copy things of one kind."""
        copied = []
        for thing in things:
            self.during("copy", thing)
            found = self.store(source.deployment_id, thing.kind).get(thing.name)
            if found is None:
                continue
            there = self.store(target.deployment_id, thing.kind)
            if there.get(thing.name, ("", None))[1] != found[1]:
                there[thing.name] = (f"v{next(self._versions)}", found[1])
                self.writes.append((thing.kind, thing.name))
            copied.append(
                Copied(
                    kind=thing.kind,
                    name=thing.name,
                    version=found[0],
                    target_version=there[thing.name][0],
                    digest=digest(found[1]),
                    size=len(found[1]),
                )
            )
        return copied

    def describe(self, place: Place, things: Sequence[Thing]) -> list[Copied]:
        """Return things of one kind with their sizes and digests."""
        found = []
        for thing in things:
            self.during("describe", thing)
            there = self.store(place.deployment_id, thing.kind).get(thing.name)
            if there is None:
                continue
            is_secret = thing.kind is Kind.SECRET
            found.append(
                Copied(
                    kind=thing.kind,
                    name=thing.name,
                    version=there[0],
                    target_version="",
                    digest="" if is_secret else digest(there[1]),
                    size=0 if is_secret else len(there[1]),
                )
            )
        return found

    def remove(self, place: Place, kind: Kind, names: Sequence[str]) -> None:
        """Remove what was copied to a place."""
        self.during("remove", None)
        for name in names:
            self.store(place.deployment_id, kind).pop(name, None)

    def left_behind(self, place: Place) -> LeftBehind:
        """Return what a place holds beside what ``things`` returns."""
        del place
        return LeftBehind(older_versions=self.older_versions)
