"""The form of object keys, one for all stores."""

from __future__ import annotations

import re
from typing import Final

_PART: Final = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}"
_KEY: Final = re.compile(rf"{_PART}(/{_PART}){{0,15}}\Z")
LONGEST: Final = 900  # bytes; S3 allows 1024 and prefixes are put in front


def check_key(key: str) -> str:
    """Return the key. Raises ``ValueError`` when it is not a plain relative path.

    Parts of letters, digits, ``.``, ``_`` and ``-``, separated by ``/``; none starts with a dot,
    so no key leaves its store or hides in it.
    """
    if len(key) > LONGEST or not _KEY.match(key):
        raise ValueError("an object key must be a relative path of letters, digits, '.', '_', '-'")
    return key
