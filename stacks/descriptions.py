"""The descriptions of AWS's services that botocore works by, read once for a process and its forks.

Most of a description is prose, which only documentation is made from, and its words are the same
few thousand over and over. Without the one, and with one copy of each of the others, that of EC2
takes half of its memory.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from botocore.loaders import JSONFileLoader, Loader
    from botocore.session import Session

_OPENERS: Final[tuple[tuple[str, Callable[..., Any]], ...]] = (
    (".json", open),
    (".json.gz", gzip.open),
)
_PROSE: Final = "documentation"
_NOBODY: Final = {"aws_access_key_id": "none", "aws_secret_access_key": "none"}


def new_session() -> Session:
    """Return a session of botocore that takes descriptions from what the process has read."""
    from botocore.session import Session  # noqa: PLC0415 - only what asks the cloud needs it

    session = Session()
    session.register_component("data_loader", _loader())
    return session


def read(services: Iterable[str]) -> None:
    """Read the descriptions of services, for all processes that are forked from this one."""
    session: Any = new_session()  # its services are any names
    for service in services:
        session.create_client(service, region_name="us-east-1", **_NOBODY)


@cache
def _loader() -> Loader:
    """What reads descriptions and keeps them: it has no credentials and no connection."""
    from botocore.loaders import Loader  # noqa: PLC0415 - see new_session

    return Loader(file_loader=cast("JSONFileLoader", _WithoutProse()))


class _WithoutProse:
    """Reads files of descriptions; it has the two methods that are used."""

    def exists(self, file_path: str) -> bool:
        """Return whether a description is there; `file_path` has no suffix."""
        return any(Path(file_path + suffix).is_file() for suffix, _ in _OPENERS)

    def load_file(self, file_path: str) -> Any:
        """Return the description at `file_path` (without suffix), or None when there is none."""
        for suffix, opened in _OPENERS:
            path = Path(file_path + suffix)
            if path.is_file():
                with opened(path, "rb") as file:
                    return json.load(file, object_pairs_hook=_lean)
        return None


def _lean(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object with its prose empty; what has a member of that name keeps it."""
    return {
        key: _lean_text(key, value) if isinstance(value, str) else value for key, value in pairs
    }


def _lean_text(key: str, text: str) -> str:
    return "" if key == _PROSE else sys.intern(text)
