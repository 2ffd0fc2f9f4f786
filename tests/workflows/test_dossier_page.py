"""The page of a dossier: what a person reads, and what hostile texts cannot do in it."""

from __future__ import annotations

import csv
import io
from html.parser import HTMLParser
from typing import Any

import pytest

from control_plane.adapters.audit.dossier_page import Page
from control_plane.adapters.audit.dossier_texts import CSV_HEAD, csv_line
from tests.world import OPS, World

HOSTILE = '<script>alert(1)</script><img src=x onerror="x">\u202egnp.exe'


class Tags(HTMLParser):
    """Collects tags, attributes and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: Page) -> Tags:
    found = Tags()
    found.feed(b"".join(page.parts(7, "ab" * 32, (None, None))).decode())
    return found


@pytest.fixture
def bodies(world: World) -> list[dict[str, Any]]:
    """What is recorded of a B tenant that was approved and applied."""
    accepted = world.submit("B")
    world.work()
    world.approve(accepted.run_id)
    world.work()
    return [event.body for event in world.events() if event.tree == accepted.tenant.id]


def test_a_page_says_who_did_what_with_exceptions_first(bodies: list[dict[str, Any]]) -> None:
    page = Page(tree="ten_1", host="localhost")
    for idx, body in enumerate(bodies):
        page.see(idx, body["time"], body)
    page.see(len(bodies), "", {**bodies[0], "stage": "denied", "data": {"code": "not_allowed"}})
    found = read(page)
    titles = (
        "Exceptions: 1", "Runs, with", "What people did", "Everything, counted", "How to verify",
    )  # fmt: skip
    order = [found.text.index(title) for title in titles]
    assert order == sorted(order)
    assert "verdict approve" in found.text
    given = next(body for body in bodies if body["action"] == "decision.given")
    run = found.text.index(given["run"])
    assert found.text.index(given["data"]["plan_digest"]) > run  # beside the plan that it covers
    assert OPS.actor.id in found.text
    assert "code not_allowed" in found.text


def test_hostile_texts_stay_texts(bodies: list[dict[str, Any]]) -> None:
    page = Page(tree=HOSTILE, host=HOSTILE)
    body = {
        **bodies[0], "action": HOSTILE, "run": HOSTILE, "actor": {"type": "user", "id": HOSTILE},
        "data": {"kind": HOSTILE, "plan_digest": HOSTILE, "verdict": HOSTILE}, "stage": HOSTILE,
    }  # fmt: skip
    page.see(0, HOSTILE, body)
    for odd in (None, [], "x", {"actor": 5, "data": [], "action": {}}):
        page.see(1, "", odd)
    found = read(page)
    assert not {"script", "img", "a", "link", "iframe", "form"} & set(found.tags)
    names = {name for name, _ in found.attributes}
    assert not {name for name in names if name.startswith("on")}
    assert not {"src", "href", "action"} & names
    assert "\u202e" not in found.text
    assert HOSTILE.partition("\u202e")[0] in found.text


def test_a_page_is_bounded(bodies: list[dict[str, Any]]) -> None:
    page = Page(tree="ten_1", host="localhost")
    for idx in range(20_000):
        page.see(idx, "", {**bodies[-1], "run": f"run_{idx}", "stage": "failed"})
    content = b"".join(page.parts(7, "", (None, None)))
    assert len(content) < 2_000_000
    assert "further lines" in content.decode()


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\n=1"])
def test_no_cell_is_a_formula(text: str, bodies: list[dict[str, Any]]) -> None:
    body = {**bodies[0], "actor": {"id": text}, "target": [{"type": text, "id": text}]}
    rows = list(csv.reader(io.StringIO((CSV_HEAD + csv_line(0, "ab", text, body)).decode())))
    assert len(rows) == 2
    assert len(rows[0]) == len(rows[1])
    assert not [cell for cell in rows[1] if cell.lstrip(" ")[:1] in set("=+-@\t\r\n")]
    assert dict(zip(*rows, strict=True))["actor"] == f"'{text}"
