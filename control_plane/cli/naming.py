"""Names that people type before something that cannot be undone: asked for, or given as options.

A program is not asked. It is refused with the command to type, which has every name in it.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import typer

from control_plane.cli import output
from control_plane.cli.errors import USAGE
from control_plane.cli.refusing import refuse

_ATTEMPTS: Final = 3  # one slip in the last of many names is not to cost the others


def asks(as_json: bool) -> bool:
    """Tell whether somebody is there who can be asked."""
    return not as_json and sys.stdin.isatty()


def ask_names(items: Mapping[str, str], *, what: str, otherwise: str) -> list[str]:
    """Ask for each name; the third other one in its place ends the command. Returns the names.

    ``items`` says of each name what it is. ``what`` says what typing it does, ``otherwise`` what
    has not happened where another one is typed.
    """
    for name, says in items.items():
        output.say(says)
        for attempt in range(1, _ATTEMPTS + 1):
            typed = typer.prompt(f"type its name to {what}").strip()
            if typed == name:
                break
            if attempt == _ATTEMPTS:
                refuse(f"{typed!r} is not {name!r}; {otherwise}", USAGE)
            output.say(f"{typed!r} is not {name!r}")
    return list(items)


def command(words: Iterable[str], option: str, names: Sequence[str], reason: str) -> str:
    """Return a command to type: its words, an option for each name, and the reason."""
    given = [part for name in dict.fromkeys(names) for part in (option, name)]
    because = shlex.quote(reason) if reason else "…"
    return f"{shlex.join(['tenantctl', *words, *given])} --reason {because}"


def missing_names(
    problem: Mapping[str, Any], code: str, given: Sequence[str]
) -> tuple[str, ...] | None:
    """Return the names that a refused request has to give, None for another refusal."""
    if problem.get("code") != code:
        return None
    unknown = set(problem.get("unknown") or ())
    return (*(name for name in given if name not in unknown), *(problem.get("missing") or ()))
