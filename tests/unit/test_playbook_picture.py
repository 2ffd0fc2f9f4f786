"""The picture of a playbook shows each step once, apart from the others, and is up to date."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from control_plane.cli.playbook_picture import picture
from control_plane.domain.playbook import Playbook
from tests.journeys import day_0, sample
from tools import draw_playbook

SVG = "{http://www.w3.org/2000/svg}"
WITH_A_WAY_BACK = sample("""
- {key: record, kind: action, title: Record <of> & for, owner: sales, action: crm.upsert_company}
- {key: assign, kind: action, title: Who, owner: csm, action: people.assign, with: {role: csm},
   needs: [record]}
- {key: review, kind: approval, title: Go, owner: csm, needs: [assign], outcomes: [go, rescope],
   again: [{outcome: rescope, back_to: assign, limit: 2}]}
- {key: launch, kind: task, title: Launch, owner: ops, needs: [{step: review, outcome: go}, record],
   starts: {after: review, amount: 1, unit: day}}
""")


def parts(playbook: Playbook, tag: str) -> list[ET.Element]:
    return list(ET.fromstring(picture(playbook)).iter(f"{SVG}{tag}"))  # noqa: S314 - our own


def boxes(playbook: Playbook) -> list[tuple[float, float, float, float]]:
    """Return left, top, right and bottom of the boxes of steps; those of the legend are small."""
    found = [
        tuple(float(each.attrib[name]) for name in ("x", "y", "width", "height"))
        for each in parts(playbook, "rect") if each.attrib["class"].startswith("box ")
    ]  # fmt: skip
    return [(x, y, x + width, y + height) for x, y, width, height in found if width > 20]


def test_the_picture_in_the_docs_is_that_of_the_document() -> None:
    assert draw_playbook.PICTURE.read_text(encoding="utf-8") == draw_playbook.drawn()
    page = Path(draw_playbook.ROOT / "docs" / "journeys.md").read_text(encoding="utf-8")
    assert f"({draw_playbook.PICTURE.name})" in page


@pytest.mark.requirement("W-019")
@pytest.mark.parametrize("playbook", [day_0(), WITH_A_WAY_BACK], ids=["day-0", "sample"])
def test_each_step_is_shown_with_its_owner_and_lies_apart(playbook: Playbook) -> None:
    texts = [each.text for each in parts(playbook, "text")]
    for step in playbook.steps:
        assert texts.count(f"{step.key} · {step.owner}") == 1
    found = boxes(playbook)
    assert len(found) == len(playbook.steps)
    for one, other in combinations(found, 2):
        beside = one[2] <= other[0] or other[2] <= one[0]
        assert beside or one[3] <= other[1] or other[3] <= one[1]
    (whole,) = (each for each in parts(playbook, "rect") if each.attrib["class"] == "paper")
    assert max(each[2] for each in found) < float(whole.attrib["width"])
    assert max(each[3] for each in found) < float(whole.attrib["height"])


def test_each_line_is_drawn_once_with_what_it_asks() -> None:
    lines = [each.attrib["class"] for each in parts(WITH_A_WAY_BACK, "path")]
    assert (lines.count("needs"), lines.count("again"), lines.count("unless")) == (4, 1, 0)
    texts = [each.text for each in parts(WITH_A_WAY_BACK, "text")]
    assert "go" in texts
    assert "rescope, 2 times at most" in texts
    assert "from 1 day after review" in texts
    assert "Record <of> & for" in texts
    of_day_0 = [each.attrib["class"] for each in parts(day_0(), "path")]
    assert of_day_0.count("unless") == 5
    assert "due 2 business days after signed" in [each.text for each in parts(day_0(), "text")]


def test_it_is_readable_in_light_and_in_dark() -> None:
    (style,) = parts(day_0(), "style")
    light, dark = (style.text or "").split("@media (prefers-color-scheme: dark)")
    for kind in ("paper", "gate", "task", "action", "head"):
        assert f".{kind} {{" in light
        assert f".{kind} {{" in dark
    assert "#ffffff" in light
    assert "#ffffff" not in dark
