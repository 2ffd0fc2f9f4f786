"""A last commit that waits, so that one more thing becomes durable with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self, cast

from control_plane.ports import UnitOfWork, UnitOfWorkFactory


class HeldCommit:
    """Makes units of work of one thread, of which the last commit waits for ``settle``.

    Whatever comes after a held commit (a next unit of work, or more in the same block) lets it
    happen first, so that transactions keep their order and their borders.
    """

    def __init__(self, factory: UnitOfWorkFactory) -> None:
        self._factory = factory
        self._held: UnitOfWork | None = None

    def __call__(self) -> UnitOfWork:
        """Return a new unit of work; what is held until now is committed."""
        self.settle()
        return cast("UnitOfWork", _Unit(self._factory(), self._hold))

    def _hold(self, uow: UnitOfWork) -> None:
        self._held = uow

    def settle(self, add: Callable[[UnitOfWork], None] | None = None) -> None:
        """Commit what is held, together with what ``add`` writes.

        When ``add`` raises nothing of both is durable. Raises ``Conflict`` as a commit does.
        """
        held, self._held = self._held, None
        if held is None:
            if add is None:
                return
            held = self._factory()
            held.__enter__()
        try:
            if add is not None:
                add(held)
            held.commit()
        finally:
            held.__exit__(None, None, None)

    def discard(self) -> None:
        """Roll back what is held."""
        held, self._held = self._held, None
        if held is not None:
            held.__exit__(None, None, None)


class _Unit:
    """A unit of work whose commit is held until more is done with it, or its owner settles."""

    def __init__(self, uow: UnitOfWork, hold: Callable[[UnitOfWork], None]) -> None:
        self._uow = uow
        self._hold = hold
        self._is_committed = False

    def __enter__(self) -> Self:
        self._uow.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        if self._is_committed:
            self._hold(self._uow)
        else:
            self._uow.__exit__(*raised)

    def __getattr__(self, name: str) -> Any:
        if self._is_committed:
            self._is_committed = False
            self._uow.commit()
        return getattr(self._uow, name)

    def commit(self) -> None:
        self._is_committed = True
