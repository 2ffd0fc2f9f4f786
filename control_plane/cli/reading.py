"""What commands read from files and from stdin."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from control_plane.cli.errors import USAGE
from control_plane.cli.refusing import refuse


def read_json(file: Path) -> dict[str, Any]:
    """Return the JSON object of a file, ``-`` being stdin; an invalid one is a sentence and exit 2.

    UTF-8 and UTF-16 are read, with and without a byte order mark: shells of Windows write them.
    """
    name = "standard input" if str(file) == "-" else file
    try:
        content = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        found = json.loads(content)
    except OSError as error:
        refuse(f"{file} cannot be read: {error.strerror}", USAGE)
    except (ValueError, RecursionError) as error:
        refuse(f"{name} is not valid JSON: {error}", USAGE)
    if not isinstance(found, dict):
        refuse(f"{name} must contain a JSON object", USAGE)
    return found
