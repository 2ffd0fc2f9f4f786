"""One mover for all status tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from control_plane.domain.errors import IllegalTransition

S = TypeVar("S", bound=StrEnum)


def move(table: Mapping[S, frozenset[S]], current: S, target: S, *, subject: str) -> S:
    """Return ``target`` when ``table`` allows it from ``current``.

    ``subject`` names what moves, for the error. Raises ``IllegalTransition``.
    """
    if target not in table[current]:
        raise IllegalTransition(
            f"{subject} is {current}; it cannot become {target}",
            subject=subject,
            present_status=str(current),
            wanted=str(target),
        )
    return target


def terminal(table: Mapping[S, frozenset[S]]) -> frozenset[S]:
    """Return the statuses that nothing leaves."""
    return frozenset(status for status, targets in table.items() if not targets)
