"""A person goes from the mail to the portal in a real browser, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browsers import SIZES, Patient, chromium_running, shot
from tests.onboarding import Holder
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


@pytest.mark.parametrize("size", SIZES)
def test_from_the_mail_to_the_portal(served: Patient, chromium: Any, size: str) -> None:
    world = served.api.world
    holder = Holder(world, {"desk": "B", "phone": "A"}[size])
    world.work()
    token = holder.issued()
    width, height = SIZES[size]
    context = chromium.new_context(
        viewport={"width": width, "height": height}, java_script_enabled=False,
        locale={"desk": "en-GB", "phone": "de-DE"}[size],
    )  # fmt: skip
    page = context.new_page()
    faults: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    base = served.api.shared.base_url
    page.goto(f"{base}/onboarding/{token}")
    shot(page, f"{size}-1-link")
    page.locator("main button").first.click()
    page.wait_for_url(f"{base}/onboarding/{token}")
    field = page.locator("#code")
    field.wait_for()
    shot(page, f"{size}-2-code")
    field.fill("000000" if holder.code() != "000000" else "111111")
    page.locator("main button").first.click()
    page.locator("[role=alert]").wait_for()
    shot(page, f"{size}-3-wrong")
    code = holder.code()
    page.locator("#code").fill(f"{code[:3]} {code[3:]}")
    page.locator("main button").first.click()
    page.wait_for_url(f"{base}/onboarding")
    assert page.locator("ol.steps li").count() == 10
    shot(page, f"{size}-4-welcome")
    width_of_page = page.locator("html").bounding_box()["width"]
    assert width_of_page <= width  # nothing has to be moved sideways
    cookies = {cookie["name"]: cookie for cookie in context.cookies()}
    assert cookies["onboarding"]["httpOnly"]
    assert cookies["onboarding"]["sameSite"] == "Strict"
    page.locator("header button").click()
    page.wait_for_url(f"{base}/onboarding")
    assert page.locator("ol.steps").count() == 0
    page.goto(f"{base}/onboarding/{token}")
    shot(page, f"{size}-5-unusable")
    page.locator("main button").click()
    page.locator("h1").wait_for()
    shot(page, f"{size}-6-asked")
    context.close()
    assert all(url.startswith(base) for url in asked)
    assert not [fault for fault in faults if "favicon" not in fault and "status of" not in fault]
