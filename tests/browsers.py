"""A real browser for tests of pages, and what looks at a page with it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.unit.api.served import Served
from tools.browser import BrowserUnavailable, ensure_axe, ensure_browser

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--single-process",
    "--no-zygote", "--headless=new",
]  # fmt: skip
SIZES = {"desk": (1280, 900), "phone": (360, 740)}
KEEP = "TESTS_SCREENSHOTS"  # a folder where pictures are kept, to be looked at


class Patient(Served):
    """The API over sockets, for a browser that opens connections before it needs them."""


@contextmanager
def chromium_running() -> Iterator[Any]:
    """Yield a browser of its own: with --single-process it ends with its pages."""
    try:
        found = ensure_browser()
    except BrowserUnavailable as reason:
        pytest.skip(f"no browser: {reason}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        running = driver.chromium.launch(
            executable_path=str(found.program), env=dict(found.environment), args=FLAGS
        )
        yield running
        running.close()


def shot(page: Any, name: str) -> None:
    """Keep a picture of a page, where somebody wants to look at it."""
    if os.environ.get(KEEP):
        page.screenshot(path=f"{os.environ[KEEP]}/{name}.png", full_page=True)


def barriers(page: Any) -> list[str]:
    """Return what axe finds that keeps somebody from using a page."""
    try:
        program = ensure_axe()
    except BrowserUnavailable as reason:
        pytest.skip(f"no axe: {reason}")
    page.evaluate(program)
    found = page.evaluate("async () => (await axe.run(document)).violations")
    return [
        f"{each['id']}: {node['html'][:160]} ({node['failureSummary'][:200]})"
        for each in found
        for node in each["nodes"]
    ]


def is_too_wide(page: Any) -> bool:
    """Tell whether something has to be moved sideways to see a page."""
    return bool(page.evaluate("document.documentElement.scrollWidth > window.innerWidth"))
