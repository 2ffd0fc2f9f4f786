"""The cells of the matrix: how a run of a kind and a mode is requested, or why none can be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.kinds import KINDS
from tests.crash_matrix import upgrading
from tests.crash_matrix.owners import (
    Owner,
    applied,
    change_hub,
    choice_left,
    create_hub,
    oldest,
    run_of,
    spare,
    submit,
)
from tests.crash_matrix.removing import completed, destroy_run, unprotect_run
from tests.crash_matrix.repairing import revert_run
from tests.crash_matrix.site import Site
from tests.crash_matrix.victims import ENDED, EVENTS, OF_STEPS, VICTIMS

MODES: Final = ("A", "hub", "B")
REPAIR: Final = "repair"  # an update too, limited to what differs
UPGRADE: Final = "upgrade"  # no run: the copy of a slice's data
KINDS_AND_MORE: Final = (*map(str, KINDS), REPAIR, UPGRADE)
Cell = tuple[str, str]


Request = Callable[[Site], str]


def _nothing_more(_: Site, __: str) -> list[str]:
    return []


def _itself(_: Site, subject: str) -> str:
    return subject


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """How a run is requested, and what is done after its good end, before all is checked.

    ``request`` returns the run's id, ``finish`` takes it and returns what is wrong. What is no run
    says how it is followed, by which queries it is seen to get on and to have ended, and which run
    of it is checked.
    """

    request: Request
    finish: Callable[[Site, str], list[str]] = _nothing_more
    victims: tuple[str, ...] = tuple(VICTIMS)
    follow: Callable[[Site, str, list[str], Request], list[str]] | None = None
    progress: str = EVENTS
    ended: str = ENDED
    run: Callable[[Site, str], str] = _itself


# --- changes -----------------------------------------------------------------------------------
def _new_allow_list(site: Site) -> dict[str, Any]:
    """Return a wish for other networks than the ones before."""
    block = next(site.companies) % 250
    return {
        "facts": {"ip_allow_list": [f"203.0.{block}.0/24", f"198.51.{block}.0/24"]},
        "reason": "new offices",
    }


def _update_dedicated(site: Site) -> str:
    path = f"/v1/tenants/{oldest(site, 'B').id}/changes"
    return run_of(site.api("crm").post(path, _new_allow_list(site)))


def _plan_dedicated(site: Site) -> str:
    path = f"/v1/tenants/{oldest(site, 'B').id}/changes"
    found = site.api("crm").post(path, _new_allow_list(site), dry_run="true", with_plan="true")
    return run_of(found, "plan_run_id")


def _hub_to_change(site: Site) -> tuple[Owner, dict[str, Any]]:
    """Return a Hub that can still be changed, and how: what was chosen is never taken back."""
    for owner in applied(site, "hub"):
        choice = choice_left(site, owner)
        if choice is not None:
            return owner, choice
    owner = spare(site, "hub")
    return owner, {"zones": 3}


def _update_hub(site: Site) -> str:
    return run_of(change_hub(site, *_hub_to_change(site)))


def _plan_hub(site: Site) -> str:
    return run_of(change_hub(site, *_hub_to_change(site), with_plan=True), "plan_run_id")


# --- looks, repairs, removals --------------------------------------------------------------------
def _look(mode: str) -> Scenario:
    """Ask for a look at what is there longest."""

    def request(site: Site) -> str:
        path = f"{oldest(site, mode).path}/drift-checks"
        return str(site.api("olga").post(path)["id"])

    return Scenario(request=request)


def _repair(mode: str) -> Scenario:
    return Scenario(request=lambda site: revert_run(site, oldest(site, mode)))


def _removal(mode: str, run: Callable[[Site, Owner], str]) -> Scenario:
    return Scenario(
        request=lambda site: run(site, spare(site, mode)), finish=completed, victims=OF_STEPS
    )


SCENARIOS: Final[Mapping[Cell, Scenario]] = {
    ("provision", "A"): Scenario(request=lambda site: submit(site, "A")),
    ("provision", "hub"): Scenario(request=create_hub),
    ("provision", "B"): Scenario(request=lambda site: submit(site, "B")),
    # what changes in a slice is that it loses its protection, as the first half of its removal
    ("update", "A"): _removal("A", unprotect_run),
    ("update", "hub"): Scenario(request=_update_hub),
    ("update", "B"): Scenario(request=_update_dedicated),
    ("refresh", "A"): _look("A"),
    ("refresh", "hub"): _look("hub"),
    ("refresh", "B"): _look("B"),
    ("plan", "hub"): Scenario(request=_plan_hub),
    ("plan", "B"): Scenario(request=_plan_dedicated),
    ("destroy", "A"): _removal("A", destroy_run),
    ("destroy", "hub"): _removal("hub", destroy_run),
    ("destroy", "B"): _removal("B", destroy_run),
    (REPAIR, "A"): _repair("A"),
    (REPAIR, "hub"): _repair("hub"),
    (REPAIR, "B"): _repair("B"),
    (UPGRADE, "A"): Scenario(
        request=upgrading.upgrade,
        victims=upgrading.VICTIMS,
        follow=upgrading.copied,
        progress=upgrading.COPIED,
        ended=upgrading.ENDED,
        run=upgrading.build_run,
    ),
}
_REASONS: Final[Mapping[Cell, str]] = {
    ("plan", "A"): "no fact that can be changed changes what a slice has",
    (UPGRADE, "hub"): "a Hub has no mode",
    (UPGRADE, "B"): "what follows Mode B is the customer's, and nothing of it is automated",
}


def cells() -> dict[Cell, str]:
    """Return every cell, with the reason why it cannot be tried; empty where it can."""
    return {
        (kind, mode): ""
        if (kind, mode) in SCENARIOS
        else _REASONS.get((kind, mode), f"no service requests a {kind} yet")
        for kind in KINDS_AND_MORE
        for mode in MODES
    }
