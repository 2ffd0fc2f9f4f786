"""An approved plan is applied inside its change window, or when that opens next."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.workflows.timers import fire_due
from tests.workflows.deciding import OTTO, Site
from tests.workflows.held import place, release
from tests.world import World

S, A = RunStatus, ApprovalStatus


def window(now: Any, *, hours: int, length: int = 2) -> dict[str, Any]:
    """Return a daily window of UTC that opens some hours from now."""
    start = (now + timedelta(hours=hours)).replace(minute=0, second=0, microsecond=0)
    end = start + timedelta(hours=length)
    return {
        "weekdays": ["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
        "from": start.strftime("%H:%M"), "to": end.strftime("%H:%M"), "time_zone": "UTC",
    }  # fmt: skip


def windowed(world: World, folder: Path, hours: int = 5, **windows: dict[str, Any]) -> Site:
    """Return a site whose first build waits for a decision under rules with windows."""
    site = Site(world)
    known = windows or {"office": window(world.clock.now(), hours=hours)}

    def change(content: dict[str, Any]) -> None:
        content["windows"] = known
        for rule, name in zip(content["rules"], known, strict=False):
            rule["window"], rule["deployments"] = name, ["dedicated", "hub"]

    site.follow(folder, change)
    site.change()
    return site


@pytest.fixture
def site(world: World, tmp_path: Path) -> Site:
    return windowed(world, tmp_path / "rules")


def open_window(site: Site) -> None:
    """Let time pass to the opening, and do what is due."""
    opens_at = site.approval.opens_at
    assert opens_at is not None
    site.world.clock.advance(seconds=(opens_at - site.world.clock.now()).total_seconds())
    fire_due(site.world.core)
    site.world.work()


def test_an_approved_plan_waits_for_its_window(site: Site) -> None:
    assert site.approval.windows == ("office",)
    calls = list(site.world.engine.calls)
    site.decide()
    site.world.work()
    assert (site.run.status, site.approval.status) == (S.APPROVED, A.APPROVED)
    assert site.world.engine.calls == calls  # not even settled or planned again
    with site.world.core.uow() as uow:
        (line,) = [e for e in uow.run_events.after(site.run_id, 0, limit=500) if e.kind == "window"]
    assert site.approval.opens_at is not None
    assert line.body["applies_from"] == site.approval.opens_at.isoformat()
    site.world.clock.advance(hours=2)  # nothing else wakes it
    fire_due(site.world.core)
    site.world.work()
    assert site.run.status is S.APPROVED
    assert (site.run.is_working, site.run.deaths) == (False, 0)
    open_window(site)
    assert site.run.status is S.APPLIED, site.run.error


def test_inside_the_window_it_is_applied_at_once(world: World, tmp_path: Path) -> None:
    site = windowed(world, tmp_path / "rules", hours=-1)
    site.decide()
    site.world.work()
    assert site.run.status is S.APPLIED


def test_a_window_that_passed_unused_opens_again(site: Site) -> None:
    site.decide()
    site.world.work()
    first = site.approval.opens_at
    assert first is not None
    # no worker was there while it was open
    site.world.clock.advance(seconds=(first - site.world.clock.now()).total_seconds() + 3 * 3600)
    fire_due(site.world.core)
    site.world.work()
    assert site.run.status is S.APPROVED
    assert site.approval.opens_at == first + timedelta(days=1)
    open_window(site)
    assert site.run.status is S.APPLIED, site.run.error


def test_it_expires_if_no_window_opens_in_time(world: World, tmp_path: Path) -> None:
    now = world.clock.now()
    never = window(now, hours=5) | {
        "blackouts": [{"from": str(now.date()), "to": str((now + timedelta(days=30)).date())}]
    }
    site = windowed(world, tmp_path / "rules", office=never)
    site.decide()
    site.world.work()
    assert site.run.status is S.APPROVED
    assert not site.approval.is_due(site.world.clock.now())
    site.world.clock.advance(hours=72)
    fire_due(site.world.core)
    site.world.work()
    assert (site.run.status, site.approval.status) == (S.EXPIRED, A.EXPIRED)


def test_of_two_windows_both_must_be_open(world: World, tmp_path: Path) -> None:
    site = Site(world)
    now = world.clock.now()
    wide, late = window(now, hours=2, length=8), window(now, hours=6, length=8)

    def change(content: dict[str, Any]) -> None:
        content["windows"] = {"wide": wide, "late": late}
        content["rules"][0]["window"] = "wide"
        content["rules"].append({**content["rules"][0], "id": "more", "window": "late"})

    site.follow(tmp_path / "rules", change)
    site.change()
    assert site.approval.windows == ("wide", "late")
    site.decide()
    opens_at, closes_at = site.approval.opens_at, site.approval.closes_at
    assert opens_at is not None
    assert closes_at is not None
    assert opens_at.strftime("%H:%M") == late["from"]
    assert closes_at.strftime("%H:%M") == wide["to"]


def test_a_withdrawal_while_it_waits_ends_the_wait(site: Site) -> None:
    site.decide()
    site.world.work()
    first = site.approval.opens_at
    site.withdraw()
    assert site.run.status is S.AWAITING_APPROVAL
    assert (site.approval.opens_at, site.approval.closes_at) == (None, None)
    assert first is not None
    site.world.clock.advance(seconds=(first - site.world.clock.now()).total_seconds())
    fire_due(site.world.core)
    site.world.work()
    assert site.run.status is S.AWAITING_APPROVAL
    site.decide(OTTO)  # inside the window by now
    site.world.work()
    assert site.run.status is S.APPLIED


def test_a_hold_that_is_released_outside_the_window_waits_for_it(site: Site) -> None:
    site.decide()
    site.world.work()
    hold = place(site.world, site.tenant_id)
    open_window(site)
    assert (site.run.status, site.run.blocked_on) == (S.BLOCKED, BlockedOn.HOLD)
    site.world.clock.advance(hours=3)
    release(site.world, hold)
    assert site.run.status is S.APPROVED
    open_window(site)
    assert site.run.status is S.APPLIED
