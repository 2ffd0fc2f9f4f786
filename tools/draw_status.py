"""Draw the status tables: ``python -m tools.draw_status`` writes ``docs/status.md``.

With ``--check`` nothing is written and exit code 1 says that the page is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from control_plane.domain.approval import APPROVAL_TRANSITIONS
from control_plane.domain.bundle import BUNDLE_TRANSITIONS
from control_plane.domain.hub import HUB_TRANSITIONS
from control_plane.domain.run import NEXT_ACTION, RUN_TRANSITIONS
from control_plane.domain.tenant import TENANT_TRANSITIONS

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "status.md"
Table = Mapping[Any, frozenset[Any]]  # of one enum of statuses
TABLES: Final[Mapping[str, tuple[str, Table]]] = {
    "Run": ("One attempt of the engine on a deployment.", RUN_TRANSITIONS),
    "Tenant": ("Where a tenant's infrastructure stands.", TENANT_TRANSITIONS),
    "Hub": ("The shared Hub of one region and cell.", HUB_TRANSITIONS),
    "Approval": ("A request for a decision on one plan digest.", APPROVAL_TRANSITIONS),
    "Bundle": ("One version of a Mode C hand-over.", BUNDLE_TRANSITIONS),
}


_HEAD: Final = """# Status tables

Drawn from the tables in `control_plane/domain` by `python -m tools.draw_status`; do not edit.
A status changes by the mover of its entity alone; a move that is not drawn is refused with
`illegal_transition`.
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD]
    parts += [_section(name, text, table) for name, (text, table) in TABLES.items()]
    parts.append(_blocked())
    return "\n".join(parts)


def _section(name: str, text: str, table: Table) -> str:
    first = next(iter(table))
    lines = [f"    [*] --> {first}"]
    for status, targets in table.items():
        lines += [f"    {status} --> {target}" for target in sorted(targets)]
        if not targets:
            lines.append(f"    {status} --> [*]")
    drawing = "\n".join(lines)
    return f"## {name}\n\n{text}\n\n```mermaid\nstateDiagram-v2\n{drawing}\n```\n"


def _blocked() -> str:
    rows = "\n".join(f"| `{reason}` | {action} |" for reason, action in NEXT_ACTION.items())
    return (
        "## What a blocked run waits for\n\n"
        "`wait`: it goes on by itself. `retry`: an operator mends the cause and retries it.\n\n"
        f"| blocked on | next action |\n| --- | --- |\n{rows}\n"
    )


def main() -> int:
    """Write the page, or with ``--check`` compare it; return the exit code."""
    wanted = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    sys.stderr.write("docs/status.md is out of date: run `python -m tools.draw_status`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
