"""The folder of what is fetched or built once per user and may be deleted at any time."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

NAME = "tenantplane"
SETTING = "TENANTPLANE_CACHE"


def cache_folder(environ: Mapping[str, str] = os.environ, *, platform: str = sys.platform) -> Path:
    """Return the cache folder; it need not exist.

    ``TENANTPLANE_CACHE`` names it. Else it is the folder ``tenantplane`` in ``XDG_CACHE_HOME``
    (which must be absolute, as the XDG base directory specification says), else in
    ``~/Library/Caches`` on macOS and ``~/.cache`` elsewhere.
    """
    chosen = environ.get(SETTING, "")
    if chosen:
        return Path(chosen).expanduser().absolute()
    base = environ.get("XDG_CACHE_HOME", "")
    if base and Path(base).is_absolute():
        return Path(base) / NAME
    home = Path(environ.get("HOME") or Path.home())
    return home / ("Library/Caches" if platform == "darwin" else ".cache") / NAME
