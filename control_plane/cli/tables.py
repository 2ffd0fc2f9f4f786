"""Tables that fit the terminal: what nobody copies gives way first, first columns stay whole.

Without a terminal (a pipe, a file) nothing is cut or folded, one line is one row.
"""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Final

import typer
from rich.cells import cell_len

_GAP: Final = "  "
_LEAST_LAST: Final = 16  # columns that the last one keeps before it is folded
_ID: Final = re.compile(r"[a-z]{3}_[0-9A-Z]{26}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_TIME: Final = re.compile(r"\d{4}-(\d\d-\d\d \d\d:\d\d):\d\dZ")
Shorten = Callable[[str], str]
_SHORTER: Final[tuple[tuple[re.Pattern[str], Shorten], ...]] = (
    (_DIGEST, lambda value: f"{value[7:15]}…"),
    (_ID, lambda value: f"…{value[-8:]}"),
    (_TIME, lambda value: value[5:16]),
)


def draw(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as wide as the terminal, or as it is when there is none."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines(names, rows, width):
        typer.echo(line)


def lines(
    names: Sequence[str], rows: Sequence[Sequence[str]], width: int | None = None
) -> list[str]:
    """Return the lines of a table, at most ``width`` cells wide where that is possible.

    Digests, ids and times are shortened in that order, from the right, never in the first column;
    then a last column of them is left out, and one of words is folded.
    """
    columns = [[name, *(row[at] for row in rows)] for at, name in enumerate(names)]
    if width is not None:
        columns = _shortened(columns, width)
    return [line for row in zip(*columns, strict=True) for line in _row(row, columns, width)]


def _shortened(columns: list[list[str]], width: int) -> list[list[str]]:
    given = list(columns)
    for pattern, shorten in _SHORTER:
        for at in range(len(columns) - 1, 0, -1):
            if _needed(columns) > width:
                columns[at] = [
                    shorten(cell) if pattern.fullmatch(cell) else cell for cell in columns[at]
                ]
    if _needed(columns) > width and len(columns) > 1 and columns[-1] != given[-1]:
        return columns[:-1]
    return columns


def _needed(columns: Sequence[Sequence[str]]) -> int:
    return sum(_wide(column) for column in columns) + len(_GAP) * (len(columns) - 1)


def _wide(column: Sequence[str]) -> int:
    return max(cell_len(cell) for cell in column)


def _row(row: Sequence[str], columns: Sequence[Sequence[str]], width: int | None) -> list[str]:
    head = "".join(
        cell + " " * (_wide(column) - cell_len(cell)) + _GAP
        for cell, column in zip(row[:-1], columns[:-1], strict=True)
    )
    room = None if width is None else max(width - cell_len(head), _LEAST_LAST)
    folded = [row[-1]] if room is None else textwrap.wrap(row[-1], room) or [""]
    indent = " " * cell_len(head)
    return [f"{head}{folded[0]}".rstrip(), *(f"{indent}{part}" for part in folded[1:])]
