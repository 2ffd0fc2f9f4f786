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
