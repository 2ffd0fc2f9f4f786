"""Somebody signs in to the console in a real browser and looks around, at a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browsers import SIZES, Patient, barriers, chromium_running, is_too_wide, shot
from tests.unit.api.scene import Api
from tests.world import World


@pytest.fixture
def served(world: World, tmp_path: Path) -> Iterator[Patient]:
    running = Patient(Api(world, tmp_path))
    running.api.shared.base_url = f"http://127.0.0.1:{running.port}"
    yield running
    running.stop()


@pytest.fixture
def chromium() -> Iterator[Any]:
    with chromium_running() as running:
        yield running


def sign_in(page: Any, served: Patient, role: str) -> None:
    """Sign in by the link that ``tenantctl console`` prints."""
    page.goto(f"{served.api.shared.base_url}/console/sign-in?code={served.api.local.secret()}")
    page.get_by_label("Your name").fill("ada")
    page.get_by_label(role).check()
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Home").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_signing_in_and_looking_around(
    served: Patient, chromium: Any, size: str, scheme: str
) -> None:
    for number in (1, 2):
        served.api.world.submit("AB"[number - 1], number)
    served.api.world.work()
    width, height = SIZES[size]
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme,
        timezone_id="Asia/Tokyo", locale="en-GB",
    )  # fmt: skip
    page = context.new_page()
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    base = served.api.shared.base_url
    page.goto(f"{base}/console/sign-in")
    assert barriers(page) == []
    sign_in(page, served, "platform admin")
    dedicated = next(each for each in served.api.world.rows("tenant").values() if each.mode == "B")
    for path in (
        "/console",
        "/console/tenants",
        "/console/design",
        "/console/tenants?status=failed",
        "/console/operations",
        f"/console/tenants/{dedicated.slug}",
    ):
        page.goto(f"{base}{path}")
        shot(page, f"console-{path.strip('/').replace('/', '-').partition('?')[0]}-{size}-{scheme}")
        assert barriers(page) == [], path
        assert not is_too_wide(page), path
    page.goto(f"{base}/console/design")
    at = page.locator("time").first
    assert at.get_attribute("title") == "2026-03-09T08:41:07Z"
    assert "17:41" in at.inner_text()  # in Tokyo
    page.goto(f"{base}/console/tenants")
    assert page.locator("tbody tr").count() == 2
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("heading", name="You are signed out").wait_for()
    context.close()
    assert faults == []


def test_everything_works_without_script(served: Patient, chromium: Any) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, served, "ops approver")
    page.get_by_role("link", name="Tenants").first.click()
    page.get_by_label("Company domain").fill("nobody.example")
    page.get_by_role("button", name="Show").click()
    assert "No tenant fits" in page.locator("main").inner_text()
    context.close()


@pytest.mark.parametrize("size", SIZES)
def test_an_approver_reads_a_plan_and_decides(served: Patient, chromium: Any, size: str) -> None:
    served.api.world.submit("B", 2)
    served.api.world.work()
    width, height = SIZES[size]
    context = chromium.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    sign_in(page, served, "ops approver")
    shot(page, f"approver-1-home-{size}")
    page.get_by_role("link", name="Approvals").first.click()
    page.locator("table[data-walk] tbody tr").first.wait_for()
    shot(page, f"approver-2-queue-{size}")
    assert barriers(page) == []
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Decision").wait_for()
    shot(page, f"approver-3-run-{size}")
    assert barriers(page) == []
    assert not is_too_wide(page)
    run = page.url.rpartition("/")[2]
    other = context.new_page()  # a second tab of the same page
    other.goto(page.url)
    page.get_by_label("Reason").fill("read every value")
    page.get_by_role("button", name="Approve exactly this plan").click()
    page.get_by_role("button", name="Withdraw your approval").wait_for()
    other.get_by_label("Reason").fill("from the other tab")
    other.get_by_role("button", name="Approve exactly this plan").click()
    other.get_by_text("from the other tab").wait_for()  # refused, and what was typed is there
    shot(other, f"approver-4-stale-{size}")
    assert barriers(other) == []
    other.get_by_role("link", name="Back to the page as it is now").click()
    other.get_by_role("heading", name="Decision").wait_for()
    assert other.url.endswith(run)
    served.api.world.work()
    page.locator(".badge", has_text="applied").first.wait_for(timeout=20_000)  # by itself
    shot(page, f"approver-5-applied-{size}")
    page.go_back()  # to the page before the decision, which is shown as it is now
    page.get_by_role("heading", name="Decision").wait_for()
    assert page.get_by_role("button", name="Approve exactly this plan").count() == 0
    context.close()
    assert faults == []
