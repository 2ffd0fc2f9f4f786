"""Draw the playbook of Day 0: ``python -m tools.draw_playbook`` writes ``docs/day-0.svg``.

With ``--check`` nothing is written and exit code 1 says that the picture is out of date.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from control_plane.adapters.rules.playbooks import read_playbook
from control_plane.cli.playbook_picture import picture

ROOT: Final = Path(__file__).resolve().parent.parent
DOCUMENT: Final = ROOT / "rules" / "playbooks" / "day-0.yaml"
PICTURE: Final = ROOT / "docs" / "day-0.svg"


def drawn() -> str:
    """Return the picture of the document."""
    return picture(read_playbook(DOCUMENT, ROOT / "rules" / "schemas"))


def main() -> int:
    """Write the picture, or with ``--check`` compare it; return the exit code."""
    wanted = drawn()
    if "--check" not in sys.argv[1:]:
        PICTURE.write_text(wanted, encoding="utf-8")
        return 0
    if PICTURE.exists() and PICTURE.read_text(encoding="utf-8") == wanted:
        return 0
    sys.stderr.write("docs/day-0.svg is out of date: run `make schemas`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
