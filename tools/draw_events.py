"""Write the tables of events into ``docs/events.md``: ``python -m tools.draw_events``.

With ``--check`` nothing is written and exit code 1 says that the page is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from control_plane.domain.public_events import PUBLIC_TYPES, WATCHED_TYPES, PublicType

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "events.md"
_MARK: Final = "<!-- types -->\n"


def table() -> str:
    """Return the tables of the types: those to subscribe to, and those that are only watched."""
    lines = ["| type | version | when | data |", "| --- | --- | --- | --- |"]
    for kind in PUBLIC_TYPES.values():
        cells = (f"`{kind.type}`", str(kind.version), kind.description, _fields(kind))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "Only watched:", "", "| name | when | data |", "| --- | --- | --- |"]
    for kind in WATCHED_TYPES.values():
        lines.append(f"| `{kind.name}` | {kind.description} | {_fields(kind)} |")
    return "\n".join(lines) + "\n"


def _fields(kind: PublicType) -> str:
    return ", ".join(
        f"**`{name}`** {shape}" if name in kind.always else f"`{name}` {shape}"
        for name, shape in kind.fields.items()
    )


def page(present: str) -> str:
    """Return the page with the table of the code."""
    return f"{present.partition(_MARK)[0]}{_MARK}\n{table()}"


def main() -> int:
    """Write the page, or compare it."""
    present = PAGE.read_text(encoding="utf-8")
    wanted = page(present)
    if "--check" in sys.argv[1:]:
        if present != wanted:
            sys.stderr.write("docs/events.md is out of date: python -m tools.draw_events\n")
        return int(present != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
