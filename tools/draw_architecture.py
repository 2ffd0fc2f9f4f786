"""Draw the architecture: ``python -m tools.draw_architecture`` writes ``docs/architecture.svg``.

The layers are those of the import contracts in ``pyproject.toml``, the adapters the folders that
there are; a box that names a path which does not exist is refused. With ``--check`` nothing is
written and exit code 1 says that the picture is out of date.
"""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
PICTURE: Final = ROOT / "docs" / "architecture.svg"
_WIDTH: Final = 1000
_HEIGHT: Final = 640
_PAPER, _INK, _GREY = "#ffffff", "#1f2328", "#59636e"
_PEOPLE, _OURS, _TOOLS, _CORE = "#fff1e5", "#ddf4ff", "#f6f8fa", "#dafbe1"


@dataclass(frozen=True, kw_only=True)
class Box:
    """A box with a title and smaller lines; ``path`` is the folder or file that it stands for."""

    x: int
    y: int
    width: int
    height: int
    title: str
    lines: tuple[str, ...] = ()
    path: str = ""
    fill: str = _OURS

    def svg(self) -> str:
        """Return the elements of the box. Raises ``FileNotFoundError`` for a path that is gone."""
        if self.path and not (ROOT / self.path).exists():
            raise FileNotFoundError(self.path)
        texts = (*self.lines, *((self.path,) if self.path else ()))
        top = self.y + self.height / 2 - 8 * len(texts) + 5
        middle = self.x + self.width / 2
        frame = (
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" '
            f'rx="8" fill="{self.fill}" stroke="{_INK}"/>'
        )
        parts = [
            frame,
            f'<text x="{middle:g}" y="{top:g}" class="title">{escape(self.title)}</text>',
        ]
        for number, line in enumerate(texts, 1):
            kind = "path" if line == self.path else "line"
            at = f'x="{middle:g}" y="{top + 16 * number:g}"'
            parts.append(f'<text {at} class="{kind}">{escape(line)}</text>')
        return "\n".join(parts)


# what runs: people above, our processes and their database, tools and clouds to the right
def _person(x: int, title: str, does: str) -> Box:
    return Box(x=x, y=50, width=125, height=46, title=title, lines=(does,), fill=_PEOPLE)


def _process(x: int, title: str, does: str) -> Box:
    lines = (f"tenantctl {title.lower()}", does)
    return Box(x=x, y=150, width=165, height=74, title=title, lines=lines)


def _tool(y: int, title: str, does: str, path: str) -> Box:
    return Box(x=625, y=y, width=165, height=74, title=title, lines=(does,), path=path)


def _outside(y: int, title: str, *lines: str, path: str = "", fill: str) -> Box:
    return Box(x=840, y=y, width=140, height=74, title=title, lines=lines, path=path, fill=fill)


RUNNING: Final = (
    _person(20, "automation", "sends contracts"),
    _person(155, "operations", "approve plans"),
    _person(290, "architects", "hand over bundles"),
    _person(425, "auditors", "verify the logs"),
    _process(20, "API", "answers and enqueues"),
    _process(205, "signer", "holds the audit key"),
    _process(390, "worker", "plans, applies, builds"),
    Box(x=20, y=280, width=535, height=64, title="PostgreSQL", fill=_TOOLS,
        lines=("rows, queue and timers; audit entries with signed checkpoints",)),
    _tool(50, "Pulumi", "one process per call", "stacks/engine"),
    _tool(150, "Terraform", "builds and rehearses", "stacks/mode_c_modules"),
    _tool(270, "policies", "check every plan", "policies/rules"),
    _outside(50, "AWS", "or its emulation", path="stacks/sandbox", fill=_TOOLS),
    _outside(150, "customer", "applies the bundle", "in their own account", fill=_PEOPLE),
)  # fmt: skip
# from x, y to x, y
ARROWS: Final = (
    (82, 96, 82, 148), (217, 96, 140, 148), (352, 96, 155, 148), (487, 96, 170, 148),
    (102, 224, 102, 278), (287, 224, 287, 278), (472, 224, 472, 278),
    (555, 170, 623, 95), (555, 190, 623, 190), (555, 210, 623, 296),
    (790, 87, 838, 87), (790, 187, 838, 187),
)  # fmt: skip
LABELS: Final = ((556, 120, "Modes A, B"), (590, 184, "Mode C"))
NOTES: Final = (
    "adapters, each the only one that knows its technology: {adapters}",
    "green: plain Python, no framework, I/O or clock; the workflow is a table, domain/next_step.py",
    "stacks and policies do not know control_plane: the worker starts a process per engine call",
    "rules: versioned documents for modes, regions, slugs, approvals and policies",
)


def picture() -> str:
    """Return the whole picture."""
    return "\n".join((*_head(), *_running(), *_layered(), "</svg>", ""))


def layers() -> list[list[str]]:
    """Return the layers of ``control_plane`` from the outside to the inside."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (inward,) = (each for each in contracts if each.get("containers") == ["control_plane"])
    found = [[name.strip() for name in layer.split("|")] for layer in inward["layers"]]
    return [["api"], *found]


def adapters() -> list[str]:
    """Return the names of the packages of adapters."""
    folder = ROOT / "control_plane" / "adapters"
    return sorted(init.parent.name for init in folder.glob("*/__init__.py"))


def _head() -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-labelledby="what">'
    )
    yield "<!-- drawn by tools/draw_architecture.py; do not edit -->"
    yield '<title id="what">tenantplane: what runs, and how the code depends</title>'
    yield (
        "<style>text { font-family: -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; "
        f"fill: {_INK}; text-anchor: middle; }} .title {{ font-size: 14px; font-weight: 600; }} "
        ".line { font-size: 12px; } .path { font-size: 11px; font-family: ui-monospace, Menlo, "
        f"Consolas, monospace; fill: {_GREY}; }} .head {{ font-size: 15px; font-weight: 600; "
        "text-anchor: start; } .note { font-size: 12px; text-anchor: start; }</style>"
    )
    yield (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="{_INK}"/></marker></defs>'
    )
    yield (
        f'<rect x="1" y="1" width="{_WIDTH - 2}" height="{_HEIGHT - 2}" rx="12" fill="{_PAPER}" '
        f'stroke="{_GREY}"/>'
    )


def _running() -> Iterator[str]:
    yield '<text x="20" y="32" class="head">What runs</text>'
    for x, y, to_x, to_y in ARROWS:
        yield (
            f'<line x1="{x}" y1="{y}" x2="{to_x}" y2="{to_y}" stroke="{_INK}" '
            'marker-end="url(#tip)"/>'
        )
    yield from (box.svg() for box in RUNNING)
    for x, y, label in LABELS:
        yield f'<text x="{x}" y="{y}" class="line">{label}</text>'


def _layered() -> Iterator[str]:
    yield f'<line x1="20" y1="372" x2="{_WIDTH - 20}" y2="372" stroke="{_GREY}"/>'
    yield '<text x="20" y="400" class="head">How the code depends: only from left to right</text>'
    found = layers()
    gap = 24
    width = (_WIDTH - 40 - gap * (len(found) - 1)) // len(found)
    for column, names in enumerate(found):
        x = 20 + column * (width + gap)
        height = 96 // len(names) - (len(names) - 1) * 4
        for row, name in enumerate(names):
            path = name if name == "api" else f"control_plane/{name}"
            if not (ROOT / path).exists() and not (ROOT / f"{path}.py").exists():
                raise FileNotFoundError(path)
            fill = _CORE if column >= len(found) - 4 and name != "adapters" else _OURS
            yield Box(
                x=x, y=420 + row * (height + 8), width=width, height=height, title=name, fill=fill
            ).svg()
        if column:
            yield (
                f'<line x1="{x - gap}" y1="468" x2="{x - 2}" y2="468" stroke="{_INK}" '
                'marker-end="url(#tip)"/>'
            )
    for row, note in enumerate(NOTES):
        text = note.format(adapters=", ".join(adapters()))
        yield f'<text x="20" y="{548 + 24 * row}" class="note">{text}</text>'


def main() -> int:
    """Write the picture, or with ``--check`` compare it; return the exit code."""
    wanted = picture()
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(wanted, encoding="utf-8")
        return 0
    if PICTURE.exists() and PICTURE.read_text(encoding="utf-8") == wanted:
        return 0
    sys.stderr.write("docs/architecture.svg is out of date: run `make schemas`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
