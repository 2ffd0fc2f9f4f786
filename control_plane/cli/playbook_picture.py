"""A playbook as a picture: an SVG of its steps from left to right, in light and in dark.

A step stands to the right of all that it needs. A line that passes a column has a place of its own
in it, so that no line crosses a box.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Final

from control_plane.cli.playbook_words import conditions_of, said
from control_plane.domain.playbook import Playbook, Step

_BOX: Final = 290  # width
_GAP: Final = 70  # between columns
_BETWEEN: Final = 14  # rows
_LINE: Final = 16
_EDGE: Final = 24  # around everything
_HEAD: Final = 60
_FOOT: Final = 44
_PASSING: Final = 6  # height of a line that passes a column
_LETTERS: Final = (32, 40)  # of a line of the title, and of a smaller one
_SWEEPS: Final = 6
_KINDS: Final[Mapping[str, tuple[str, str]]] = {  # fill in light and in dark
    "action": ("#ddf4ff", "#12335c"), "task": ("#fff8c5", "#443708"),
    "form": ("#fff1e5", "#4a2b12"), "meeting": ("#fbefff", "#3a2258"),
    "approval": ("#ffebe9", "#5a1e1b"), "gate": ("#dafbe1", "#123d22"),
}  # fmt: skip
_INK: Final = ("#1f2328", "#e6edf3")
_GREY: Final = ("#59636e", "#9198a1")
_PAPER: Final = ("#ffffff", "#0d1117")


@dataclass
class _Place:
    """A box, or without a step the point at which a line passes a column."""

    column: int
    step: Step | None = None
    before: list[_Place] = field(default_factory=list)
    after: list[_Place] = field(default_factory=list)
    x: float = 0
    y: float = 0  # of its middle

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The lines in the box, each with its class."""
        if self.step is None:
            return []
        step = self.step
        small = [f"{step.key} · {step.owner}"]
        small += [f"from {said(step.starts)}"] if step.starts else []
        small += [f"due {said(step.due)}"] if step.due else []
        small += [f"when {when}"] if (when := conditions_of(step)) else []
        wrapped = textwrap.wrap(step.title, _LETTERS[0])
        lines = [("title", each) for each in wrapped]
        return lines + [
            ("line", each) for text in small for each in textwrap.wrap(text, _LETTERS[1])
        ]

    @property
    def height(self) -> int:
        """How high it is."""
        return _PASSING if self.step is None else _LINE * len(self.lines) + 14


@dataclass(frozen=True)
class _Edge:
    """A line between steps through the places where it passes columns."""

    way: Sequence[_Place]
    kind: str = "needs"
    label: str = ""


def picture(playbook: Playbook) -> str:
    """Return the picture of a playbook, an SVG document."""
    places = _placed(playbook)
    edges = list(_edges(playbook, places))
    columns = _columns(places, edges)
    inner = max(sum(each.height + _BETWEEN for each in column) for column in columns)
    for number, column in enumerate(columns):
        y = _HEAD + (inner - sum(each.height + _BETWEEN for each in column)) / 2
        for each in column:
            each.x = _EDGE + number * (_BOX + _GAP)
            each.y = y + each.height / 2
            y += each.height + _BETWEEN
    ways_back = sum(len(step.again) for step in playbook.steps)
    height = _HEAD + inner + 26 * ways_back + _FOOT
    width = 2 * _EDGE + len(columns) * (_BOX + _GAP) - _GAP
    lines = [
        *_opening(playbook, max(width, 560), int(height)),
        *(part for edge in edges for part in _line(edge)),
        *_back(playbook, places, _HEAD + inner),
        *(part for place in places.values() for part in _box(place)),
        *_legend(int(height) - 16),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


# --- where things are --------------------------------------------------------------------------
def _before(step: Step) -> list[tuple[str, str, str]]:
    """Return the steps that are to the left of one: key, kind of the line, label."""
    found = [(need.step, "needs", need.outcome or "") for need in step.needs]
    return found + ([(step.unless.step, "unless", "unless")] if step.unless is not None else [])


def _placed(playbook: Playbook) -> dict[str, _Place]:
    columns: dict[str, int] = {}

    def column(key: str) -> int:
        if key not in columns:
            before = [column(each) for each, *_ in _before(playbook.by_key[key])]
            columns[key] = max(before, default=-1) + 1
        return columns[key]

    return {step.key: _Place(column=column(step.key), step=step) for step in playbook.steps}


def _edges(playbook: Playbook, places: Mapping[str, _Place]) -> Iterator[_Edge]:
    for step in playbook.steps:
        for key, kind, label in _before(step):
            first, last = places[key], places[step.key]
            passed = [_Place(column=each) for each in range(first.column + 1, last.column)]
            way = [first, *passed, last]
            for left, right in pairwise(way):
                left.after.append(right)
                right.before.append(left)
            yield _Edge(way, kind, label)


def _columns(places: Mapping[str, _Place], edges: Sequence[_Edge]) -> list[list[_Place]]:
    """Return the places by columns, in an order in which few lines cross."""
    passed = [place for edge in edges for place in edge.way[1:-1]]
    everything = [*places.values(), *passed]
    count = max(each.column for each in everything) + 1
    columns = [[each for each in everything if each.column == number] for number in range(count)]
    for sweep in range(_SWEEPS):
        is_right = sweep % 2 == 0
        for number in range(1, count) if is_right else range(count - 2, -1, -1):
            beside = columns[number - 1 if is_right else number + 1]
            rank = {id(each): place / len(beside) for place, each in enumerate(beside)}
            _sort(columns[number], rank, is_right=is_right)
    return columns


def _sort(column: list[_Place], rank: Mapping[int, float], *, is_right: bool) -> None:
    own = {id(each): place / len(column) for place, each in enumerate(column)}

    def middle(place: _Place) -> float:
        others = place.before if is_right else place.after
        return sum(rank[id(each)] for each in others) / len(others) if others else own[id(place)]

    column.sort(key=middle)


# --- what is drawn -----------------------------------------------------------------------------
def _opening(playbook: Playbook, width: int, height: int) -> Iterator[str]:
    title = escape(f"{playbook.title} ({playbook.key}, version {playbook.version})")
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-labelledby="what">'
    )
    yield f'<title id="what">{title}</title>'
    yield f"<style>{_style(0)} @media (prefers-color-scheme: dark) {{ {_style(1)} }}</style>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="tip" d="M0 0L10 5L0 10z"/></marker></defs>'
    )
    yield f'<rect class="paper" width="{width}" height="{height}" rx="12"/>'
    yield f'<text class="head" x="{_EDGE}" y="34">{title}</text>'


def _style(theme: int) -> str:
    ink, grey, paper = _INK[theme], _GREY[theme], _PAPER[theme]
    family = "font-family: -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
    shapes = (
        f"text {{ {family}; fill: {ink}; font-size: 12px; }} "
        f".head {{ font-size: 16px; font-weight: 600; }} "
        f".title {{ font-size: 13px; font-weight: 600; }} .line, .label {{ fill: {grey}; }} "
        f".label {{ font-size: 11px; stroke: {paper}; stroke-width: 4px; paint-order: stroke; }} "
        f".paper {{ fill: {paper}; stroke: {grey}; }} .box {{ stroke: {grey}; }} "
        f".tip {{ fill: {grey}; }} .needs, .unless, .again {{ fill: none; stroke: {grey}; "
        "stroke-width: 1.4; } .unless { stroke-dasharray: 2 4; } .again { stroke-dasharray: 7 4; }"
    )
    return " ".join(
        (shapes, *(f".{kind} {{ fill: {fills[theme]}; }}" for kind, fills in _KINDS.items()))
    )


def _box(place: _Place) -> Iterator[str]:
    if place.step is None:
        return
    top = place.y - place.height / 2
    yield (
        f'<rect class="box {place.step.kind}" x="{place.x:g}" y="{top:g}" width="{_BOX}" '
        f'height="{place.height}" rx="8"/>'
    )
    for number, (kind, text) in enumerate(place.lines, 1):
        y = top + 4 + _LINE * number
        yield f'<text class="{kind}" x="{place.x + 12:g}" y="{y:g}">{escape(text)}</text>'


def _line(edge: _Edge) -> Iterator[str]:
    first, *passed, last = edge.way
    x, y = first.x + _BOX, first.y
    parts = [f"M{x:g} {y:g}"]
    for place in (*passed, last):
        half = (place.x - x) / 2
        parts.append(f"C{x + half:g} {y:g} {place.x - half:g} {place.y:g} {place.x:g} {place.y:g}")
        x, y = place.x, place.y
        if place.step is None:
            x += _BOX
            parts.append(f"H{x:g}")
    yield f'<path class="{edge.kind}" d="{" ".join(parts)}" marker-end="url(#tip)"/>'
    if edge.label:
        at = f'x="{last.x - 12:g}" y="{last.y - 6:g}"'
        yield f'<text class="label" text-anchor="end" {at}>{escape(edge.label)}</text>'


def _back(playbook: Playbook, places: Mapping[str, _Place], bottom: float) -> Iterator[str]:
    """Draw the ways back below everything, each in a lane of its own."""
    lane = bottom + 6
    for step in playbook.steps:
        for again in step.again:
            start, end = places[step.key], places[again.back_to]
            from_x, to_x = start.x + _BOX + 16, end.x - 16
            yield (
                f'<path class="again" d="M{start.x + _BOX:g} {start.y:g} H{from_x:g} V{lane:g} '
                f'H{to_x:g} V{end.y:g} H{end.x:g}" marker-end="url(#tip)"/>'
            )
            label = escape(f"{again.outcome}, {again.limit} times at most")
            yield f'<text class="label" x="{to_x + 12:g}" y="{lane - 4:g}">{label}</text>'
            lane += 26


def _legend(y: int) -> Iterator[str]:
    x = _EDGE
    for kind in _KINDS:
        yield f'<rect class="box {kind}" x="{x}" y="{y - 11}" width="14" height="14" rx="3"/>'
        yield f'<text class="line" x="{x + 20}" y="{y}">{kind}</text>'
        x += 86
