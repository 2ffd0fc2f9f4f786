"""An auditor walks from the exposure clock to one event of a log, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from control_plane.ports.stores import Exposure
from tests.browsers import SIZES, Patient, barriers, chromium_running, is_too_wide, shot
from tests.end_to_end.test_console_in_a_browser import sign_in
from tests.unit.api.scene import Api
from tests.world import World


@pytest.fixture
def served(world: World, tmp_path: Path) -> Iterator[Patient]:
    running = Patient(Api(world, tmp_path))
    running.api.shared.base_url = f"http://127.0.0.1:{running.port}"
    yield running
    running.stop()


@pytest.mark.parametrize("size", SIZES)
def test_from_the_clock_to_an_event(served: Patient, size: str) -> None:
    world = served.api.world
    world.trail.note = "localhost/audit/platform\n1\nAAAA\n"
    world.trail.clock = Exposure(
        size=3, newest=9, witnessed_at=None, age=timedelta(hours=2), exposed=timedelta(minutes=45),
        problem="signed heads have waited 45 minutes for the quorum of witnesses",
    )  # fmt: skip
    width, height = SIZES[size]
    with chromium_running() as chromium:
        page: Any = chromium.new_context(viewport={"width": width, "height": height}).new_page()
        faults: list[str] = []
        page.on("console", lambda message: faults.append(message.text))
        sign_in(page, served, "platform auditor")
        for name, link in (
            ("home", ""), ("audit", "Exposure of the audit log"), ("log", "platform"),
            ("event", "console.signed_in"),
        ):  # fmt: skip
            if link:
                page.locator("main").get_by_role("link", name=link, exact=True).first.click()
                page.wait_for_load_state()
            shot(page, f"auditor-{name}-{size}")
            assert barriers(page) == [], name
            assert not is_too_wide(page), name
        assert "/console/audit/platform/event?idx=" in page.url
        assert "Leaf (SHA-256)" in page.locator("main").inner_text()
        assert faults == []
