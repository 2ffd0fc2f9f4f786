"""Paths into a JSON value: ``data.fields[name=Legal entity].value``, ``items[0].id``.

A step is a name, in double quotes if it holds a dot or a bracket; a number in brackets is a place
in a list; ``[key=value]`` is the item of a list whose ``key`` is that text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

_STEP: Final = re.compile(
    r'(?:^|\.)(?:"(?P<quoted>[^"]+)"|(?P<name>[^.\[\]"=\s][^.\[\]"=]*))'
    r"|\[(?P<place>[0-9]{1,6})\]"
    r'|\[(?P<key>[A-Za-z_][A-Za-z0-9_]*)=(?:"(?P<quoted_value>[^"]*)"|(?P<value>[^\]"]+))\]'
)


class _Nothing:
    """What a path finds where there is nothing; null is something else."""

    def __repr__(self) -> str:
        return "nothing"


NOTHING: Final = _Nothing()


class Several(ValueError):
    """A path fits more than one item of a list."""

    def __init__(self, count: int) -> None:
        super().__init__(f"the path fits {count} items")
        self.count = count


@dataclass(frozen=True)
class JsonPath:
    """A path; ``steps`` are names, places, and pairs of key and value."""

    text: str
    steps: tuple[str | int | tuple[str, str], ...]

    @classmethod
    def read(cls, text: str) -> JsonPath:
        """Return the path of a text. Raises ``ValueError`` with a sentence."""
        steps: list[str | int | tuple[str, str]] = []
        at = 0
        while at < len(text):
            match = _STEP.match(text, at)
            if match is None or (at == 0 and text[0] == "."):
                raise ValueError(f"the path cannot be read from its character {at + 1} on")
            if match["place"] is not None:
                steps.append(int(match["place"]))
            elif match["key"] is not None:
                value = match["quoted_value"]
                steps.append((match["key"], match["value"] if value is None else value))
            else:
                steps.append(match["quoted"] or match["name"])
            at = match.end()
        if not steps or not isinstance(steps[0], str):
            raise ValueError("a path begins with a name")
        return cls(text, tuple(steps))

    def of(self, value: Any) -> Any:
        """Return what is at the path, or ``NOTHING``. Raises ``Several``."""
        for step in self.steps:
            value = _at(value, step)
            if value is NOTHING:
                break
        return value


def _at(value: Any, step: str | int | tuple[str, str]) -> Any:
    if isinstance(step, str):
        return value.get(step, NOTHING) if isinstance(value, Mapping) else NOTHING
    if not isinstance(value, list):
        return NOTHING
    if isinstance(step, int):
        return value[step] if step < len(value) else NOTHING
    key, wanted = step
    found = [each for each in value if isinstance(each, Mapping) and each.get(key) == wanted]
    if len(found) > 1:
        raise Several(len(found))
    return found[0] if found else NOTHING
