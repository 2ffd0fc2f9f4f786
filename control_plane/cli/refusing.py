"""How a command ends without doing what it was asked for: one sentence, and an exit code.

Every command needs this and most need little more, so that it imports little.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Annotated, Any, Final, NoReturn

import typer

# what a command opened; closed when it ends, however it ends
CONNECTIONS: Final = ExitStack()


class _Wish:
    """Whether the command of this process was asked for JSON."""

    is_wanted = False

    def hear(self, value: bool) -> bool:
        """Remember what ``--json`` says; it is read before anything is done."""
        self.is_wanted = value
        return value


_JSON: Final = _Wish()
Json = Annotated[bool, typer.Option("--json", help="Print JSON.", callback=_JSON.hear)]


class Refused(typer.Exit):
    """The API said no, or nothing; the sentence has been printed."""


def refuse(sentence: str, code: int, *, problem: Mapping[str, Any] | None = None) -> NoReturn:
    """Print a sentence on stderr and end the command with an exit code."""
    say_error(sentence, problem)
    raise Refused(code)


def say_error(sentence: str, problem: Mapping[str, Any] | None = None) -> None:
    """Print a sentence on stderr.

    With ``--json`` it is printed as one JSON object: the problem, or ``detail`` alone.
    """
    if _JSON.is_wanted:
        sentence = json.dumps(problem or {"detail": sentence})
    sys.stderr.write(f"{sentence}\n")


def forget_json() -> None:
    """Begin a command: that an earlier one of this process was asked for JSON does not count."""
    _JSON.hear(False)
