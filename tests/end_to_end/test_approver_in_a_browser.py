"""An approver's day in a real browser: the queue, a run, ticks, two tabs, and a lost session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.run import RunStatus
from control_plane.services import runs
from control_plane.services.performing import perform
from tests.browsers import SIZES, Patient, barriers, chromium_running, is_too_wide, shot
from tests.unit.api.scene import Api
from tests.workflows.deciding import OTTO, PETRA, Site
from tests.workflows.test_approvals_by_risk import ROLE_POLICY, policy
from tests.world import World

TABLE = "aws:dynamodb/table:Table"


@pytest.fixture
def site(world: World) -> Site:
    found = Site(world)
    found.more = {
        (TABLE, "orders"): {"name": "orders"},
        (ROLE_POLICY, "more"): {"role": "app", "policy": policy("s3:GetObject")},
    }
    found.change()
    world.approve(found.run_id)
    found.more = {(ROLE_POLICY, "more"): {"role": "app", "policy": policy("s3:*")}}
    found.change()
    return found


@pytest.fixture
def served(site: Site, tmp_path: Path) -> Iterator[Patient]:
    running = Patient(Api(site.world, tmp_path))
    running.api.shared.base_url = f"http://127.0.0.1:{running.port}"
    yield running
    running.stop()


@pytest.fixture
def chromium() -> Iterator[Any]:
    with chromium_running() as running:
        yield running


def sign_in(page: Any, served: Patient) -> None:
    page.goto(f"{served.api.shared.base_url}/console/sign-in?code={served.api.local.secret()}")
    page.get_by_label("Your name").fill("grace")
    page.get_by_label("ops approver").check()
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Home").wait_for()


def test_an_approvers_day(site: Site, served: Patient, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    sign_in(page, served)
    page.get_by_role("link", name="Approvals").first.click()
    page.get_by_role("heading", name="Approvals").wait_for()
    assert page.get_by_text("may decide").count() == 1
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Cannot be undone").wait_for()
    address = page.url
    other = context.new_page()  # the same run in a second tab
    other.goto(address)
    page.keyboard.press("a")
    page.keyboard.press("Space")  # the key went to the first thing to tick
    assert page.get_by_role("checkbox").is_checked()
    page.get_by_label("Reason to approve").fill("read it")
    page.get_by_role("button", name="Approve exactly this plan").click()
    page.get_by_text("You may not decide: you have decided already.").wait_for()
    page.go_back()
    if page.get_by_role("button", name="Approve exactly this plan").count():
        page.get_by_role("checkbox").check()
        page.get_by_label("Reason to approve").fill("once more")
        page.get_by_role("button", name="Approve exactly this plan").click()
        page.get_by_text("you have already decided on this approval").wait_for()
    other.get_by_label("Reason to reject").fill("from the other tab")
    other.get_by_role("button", name="Reject").click()
    other.get_by_text("you have already decided on this approval").wait_for()
    assert "from the other tab" in other.locator("main").inner_text()
    assert site.approval.status is ApprovalStatus.WAITING  # it needs two
    page.goto(address)
    page.get_by_label("Reason to withdraw").fill("doubts")
    context.clear_cookies()  # the login ends in the middle
    page.get_by_role("button", name="Withdraw").click()
    page.get_by_role("heading", name="Nothing was done").wait_for()
    assert "doubts" in page.locator("main").inner_text()
    assert barriers(page) == []
    other.goto(served.api.shared.base_url)
    sign_in(other, served)
    page.get_by_role("button", name="Send again").click()
    if page.get_by_role("button", name="Send again").count():  # with the mark of the new session
        page.get_by_role("button", name="Send again").click()
    page.get_by_text("0 of 2 people approve;").wait_for()
    context.close()
    assert faults == []


def test_the_tree_grows_while_one_looks(site: Site, served: Patient, chromium: Any) -> None:
    context = chromium.new_context()
    page = context.new_page()
    sign_in(page, served)
    page.goto(f"{served.api.shared.base_url}/console/runs/{site.run_id}")
    live = page.locator("[data-live]")
    live.get_by_text("awaiting approval").wait_for()
    site.decide(OTTO)
    site.decide(PETRA)
    site.world.work()
    live.get_by_text("applied").wait_for(timeout=20_000)  # nobody loaded the page again
    assert live.get_by_text("done", exact=True).count() > 0
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_pages_can_be_used_by_everybody(
    site: Site, served: Patient, chromium: Any, size: str, scheme: str
) -> None:
    width, height = SIZES[size]
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="en-GB"
    )
    page, base = context.new_page(), served.api.shared.base_url
    sign_in(page, served)
    looked = {"queue": f"{base}/console/approvals", "run": f"{base}/console/runs/{site.run_id}"}
    for name, address in looked.items():
        page.goto(address)
        shot(page, f"console-{name}-{size}-{scheme}")
        assert barriers(page) == [], name
        assert not is_too_wide(page), name
    site.decide(OTTO, "reject")
    retried = perform(site.world.core, PETRA, runs.retry_run, site.run_id)
    site.world.work()
    page.goto(f"{base}/console/runs/{retried.id}")
    page.get_by_role("heading", name="The plan before", exact=True).wait_for()
    shot(page, f"console-moved-{size}-{scheme}")
    assert barriers(page) == []
    assert not is_too_wide(page)
    context.close()


def test_deciding_without_script(site: Site, served: Patient, chromium: Any) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, served)
    page.goto(f"{served.api.shared.base_url}/console/runs/{site.run_id}")
    page.get_by_label("Reason to reject").fill("not like this")
    page.get_by_role("button", name="Reject").click()
    page.get_by_text("grace rejected").wait_for()
    assert site.run.status is RunStatus.REJECTED
    context.close()


def test_a_lost_connection_is_said_and_deciding_still_works(
    site: Site, served: Patient, chromium: Any
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    sign_in(page, served)
    page.route("**/live", lambda route: route.abort())
    page.goto(f"{served.api.shared.base_url}/console/runs/{site.run_id}")
    page.locator("[data-lost]").wait_for()
    page.get_by_label("Reason to reject").fill("not like this")
    page.get_by_role("button", name="Reject").click()
    page.get_by_text("grace rejected").wait_for()
    context.close()
