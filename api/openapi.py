"""``python -m api.openapi``: write docs/openapi.json; ``--check``: exit 1 when it is stale."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from api.app import create_app

FILE = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def document() -> dict[str, Any]:
    """Return the OpenAPI document; no route is called, so that no core is needed."""
    return create_app(None).openapi()


def main(arguments: list[str]) -> int:
    """Write or check; returns the exit code."""
    text = json.dumps(document(), indent=1, sort_keys=True) + "\n"
    if FILE.exists() and FILE.read_text() == text:
        return 0
    if "--check" in arguments:
        sys.stderr.write("docs/openapi.json is out of date; run `make schemas`\n")
        return 1
    FILE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
