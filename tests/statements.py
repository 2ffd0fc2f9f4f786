"""Counting what is asked of databases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import Engine, event

COMMIT: Final = "COMMIT"


@contextmanager
def counted_statements(*, commits: bool = False) -> Iterator[list[str]]:
    """Give the statements of this process while the block runs, and its commits if asked to."""
    asked: list[str] = []

    def note(_: object, __: object, statement: str, *___: Any) -> None:
        asked.append(statement)

    def note_commit(_: object) -> None:
        asked.append(COMMIT)

    listeners = {"before_cursor_execute": note, **({"commit": note_commit} if commits else {})}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield asked
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)
