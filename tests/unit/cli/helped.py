"""What each command says of itself: every one of its flags."""

from __future__ import annotations

import re

from tests.unit.cli.terminal import run

_COLORS = re.compile(r"\x1b\[[0-9;]*m")


def flags_of(*command: str) -> set[str]:
    """Return the long flags that the help of a command names, ``--help`` left out."""
    answer = run(*command, "--help")
    assert answer.code == 0, answer.err
    text = _COLORS.sub("", answer.out)
    assert text.strip()
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help"}
