"""Bugs put into the product on purpose: each must be found, by the model alone or by its traces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Final

from control_plane.domain import next_step as table
from control_plane.domain.next_step import Rule
from control_plane.domain.run import RunStatus
from control_plane.workflows import gate


@contextmanager
def _rules(rules: tuple[Rule, ...]) -> Iterator[None]:
    kept = table.RULES
    table.RULES = rules  # type: ignore[misc] # put back below
    try:
        yield
    finally:
        table.RULES = kept  # type: ignore[misc] # as it was


def an_approved_run_is_not_superseded() -> AbstractContextManager[None]:
    """A newer run ends those that wait, and not one that is approved already."""
    begins = "A newer run of the deployment supersedes"
    return _rules(
        tuple(
            replace(rule, statuses=rule.statuses - {RunStatus.APPROVED})
            if rule.because.startswith(begins)
            else rule
            for rule in table.RULES
        )
    )


def a_hold_is_ignored_on_resume() -> AbstractContextManager[None]:
    """A hold that stops what began before it stops nothing."""
    begins = "A hold stands that stops"
    return _rules(tuple(rule for rule in table.RULES if not rule.because.startswith(begins)))


@contextmanager
def the_gate_does_not_compare() -> Iterator[None]:
    """What would be applied is applied, whatever was approved."""
    kept = gate._moved
    gate._moved = lambda *_: ()
    try:
        yield
    finally:
        gate._moved = kept


BUGS: Final[dict[str, Callable[[], AbstractContextManager[None]]]] = {
    "an approved run is not superseded": an_approved_run_is_not_superseded,
    "a hold is ignored on resume": a_hold_is_ignored_on_resume,
}
