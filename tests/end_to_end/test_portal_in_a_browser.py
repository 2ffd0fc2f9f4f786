"""An IT admin finishes the steps of Mode A in a real browser, without script, in one sitting."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.pages.wording import TEXTS
from tests.browsers import SIZES, Patient, barriers, chromium_running, is_too_wide, shot
from tests.onboarding_answers import ORDER, answers_to, metadata
from tests.unit.api.scene import Api
from tests.workflows.onboarded import Walk
from tests.world import World


@pytest.fixture
def served(world: World, tmp_path: Path) -> Iterator[Patient]:
    world.ready_hub()
    running = Patient(Api(world, tmp_path))
    running.api.shared.base_url = f"http://127.0.0.1:{running.port}"
    yield running
    running.stop()


@pytest.fixture
def chromium() -> Iterator[Any]:
    with chromium_running() as running:
        yield running


def fill(page: Any, answers: dict[str, Any]) -> None:
    """Fill in the fields that a page asks for."""
    for key, value in answers.items():
        field = page.locator(f"main [name={key}]")
        if field.count() == 0:
            continue
        if isinstance(value, bool):
            field.set_checked(value)
        elif field.evaluate("each => each.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill("\n".join(value) if isinstance(value, list) else str(value))


def press(page: Any, act: str) -> None:
    with page.expect_navigation():
        page.locator(f"main button[value={act}]").click()


def session(walk: Walk, base: str) -> dict[str, Any]:
    return {"name": "onboarding", "value": walk.holder.signed_in(), "url": base, "httpOnly": True}


@pytest.mark.parametrize("size", SIZES)
def test_the_steps_of_mode_a_in_one_sitting(served: Patient, chromium: Any, size: str) -> None:
    world, base = served.api.world, served.api.shared.base_url
    walk = Walk(world)
    world.work()
    language = {"desk": "en", "phone": "it"}[size]
    texts = TEXTS[language]  # type: ignore[index]  # one of the languages
    width, height = SIZES[size]
    context = chromium.new_context(
        viewport={"width": width, "height": height}, java_script_enabled=False,
        locale={"en": "en-GB", "it": "it-IT"}[language],
    )  # fmt: skip
    context.add_cookies([session(walk, base)])
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{base}/portal")
    assert page.locator("ol.steps li").count() == 10
    shot(page, f"portal-{size}-list")
    page.locator("ol.steps a").first.click()
    page.wait_for_url("**/portal/steps/verify_identity")
    fill(page, {"name": "Ida Admin", "email": "ida@rival.example.org"})
    press(page, "save")
    assert page.locator("#email-error").count() == 1
    assert page.locator("#name").input_value() == "Ida Admin"
    shot(page, f"portal-{size}-wrong")
    for key in ORDER[:-1]:
        page.goto(f"{base}/portal/steps/{key}")
        answers = answers_to(key, company=walk.company)
        if key == "sso":
            answers = {"protocol": "saml", "metadata": metadata(host=f"idp.{walk.company}")}
        fill(page, answers)
        press(page, "save")
        page.goto("about:blank")  # left, and resumed
        page.goto(f"{base}/portal/steps/{key}")
        fill(page, answers)
        shot(page, f"portal-{size}-{key}")
        press(page, "complete")
        assert page.locator(".error").count() == 0, (key, page.locator("main").inner_text())
    page.goto(f"{base}/portal/steps/review_and_launch")
    assert "Bruna Boss" in page.locator("main").inner_text()
    shot(page, f"portal-{size}-review")
    page.locator("#launch").check()
    press(page, "complete")
    page.wait_for_url("**/portal")
    assert page.locator("#launched").inner_text() == texts["launched_title"]
    assert page.locator("ol.steps li.done").count() == 10
    shot(page, f"portal-{size}-launched")
    page.go_back()
    page.reload()
    assert page.locator("main form button[value=complete]").count() == 0  # nothing twice
    context.close()
    assert all(url.startswith(base) or url == "about:blank" for url in asked)
    assert set(walk.statuses().values()) == {"complete"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_everybody_can_use_the_pages(
    served: Patient, chromium: Any, size: str, scheme: str
) -> None:
    world, base = served.api.world, served.api.shared.base_url
    walk = Walk(world)
    world.work()
    width, height = SIZES[size]
    context = chromium.new_context(
        viewport={"width": width, "height": height}, color_scheme=scheme, locale="de-DE",
        bypass_csp=True,  # for axe alone
    )  # fmt: skip
    context.add_cookies([session(walk, base)])
    page = context.new_page()
    walk.do(*ORDER[:9])
    walk.reopen("llm_platform")
    paths = ["", "/steps/verify_identity", "/steps/scim/reopen", "/steps/llm_platform",
             "/steps/review_and_launch"]  # fmt: skip
    found = {}
    for path in paths:
        page.goto(f"{base}/portal{path}")
        faults = barriers(page)
        if is_too_wide(page):
            faults.append("wider than the screen")
        shot(page, f"portal-{size}-{scheme}{path.replace('/', '-')}")
        if faults:
            found[path] = faults
    page.goto(f"{base}/portal/steps/llm_platform")
    page.locator("main [name=platform]").select_option("")
    press(page, "complete")
    if faults := barriers(page):
        found["with a fault"] = faults
    context.close()
    assert found == {}
