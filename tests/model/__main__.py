"""``make model``: searches larger scopes, and prints how much was searched."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tests.model.scopes import LARGE, SMALL
from tests.model.search import Violation, search


def main(names: Sequence[str]) -> int:
    """Search the scopes with these names, all without any; exit 1 when something does not hold."""
    scopes = {**SMALL, **LARGE}
    _say(f"{'scope':<12} {'tenants':<8} {'situations':>10} {'steps':>10} {'depth':>6} {'s':>7}")
    for name in names or scopes:
        scope = scopes[name]
        try:
            found = search(scope)
        except Violation as wrong:
            _say(f"{name}: {wrong}")
            return 1
        modes = "+".join(scope.modes)
        _say(f"{name:<12} {modes:<8} {len(found.situations):>10} {found.transitions:>10}"
              f" {found.depth:>6} {found.seconds:>7.1f}")  # fmt: skip
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
