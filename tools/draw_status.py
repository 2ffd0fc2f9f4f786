"""Draw the status tables: ``python -m tools.draw_status`` writes ``docs/status.md``.

With ``--check`` nothing is written and exit code 1 says that the page is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from control_plane.domain.approval import APPROVAL_TRANSITIONS
from control_plane.domain.bundle import BUNDLE_TRANSITIONS
from control_plane.domain.next_step import RULES, Rule, StepKind
from control_plane.domain.owner_status import OF_BUNDLE, OF_RUN
from control_plane.domain.run import NEXT_ACTION, RUN_TRANSITIONS, RunStatus

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "status.md"
Table = Mapping[Any, frozenset[Any]]  # of one enum of statuses
TABLES: Final[Mapping[str, tuple[str, Table]]] = {
    "Run": ("One attempt of the engine on a deployment.", RUN_TRANSITIONS),
    "Approval": ("A request for a decision on one plan digest.", APPROVAL_TRANSITIONS),
    "Bundle": ("One version of a Mode C hand-over.", BUNDLE_TRANSITIONS),
}


_HEAD: Final = """# Statuses and steps

Drawn from the tables in `control_plane/domain` by `python -m tools.draw_status`; do not edit.
The status of a run, an approval or a bundle changes only by its mover; a move that is not drawn
is refused with `illegal_transition`. The status of a tenant or Hub is computed from what it has.
"""
_STEPS: Final = """## What a run does next

The executor reads the facts of a run and takes the first row that fits. This table
(`domain/next_step.py`) is the whole workflow; a test walks every combination of facts, and no
combination is without a next event, a person's action or a timer.

| status | when | step | because |
| --- | --- | --- | --- |
"""
_OWNERS: Final = """## Tenants and Hubs

A deployment is ready when the newest verification held, for the state that its stack has now. Until
then its newest run decides, or its newest bundle in Mode C; once a customer has applied a bundle
the tenant is ready. The worst deployment of a tenant decides; a tenant whose mode is undecided is
`mode_conflict` and waits on an architect.

| newest run or bundle | tenant | waits on |
| --- | --- | --- |
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD, _STEPS + "\n".join(map(_step, RULES)) + "\n"]
    parts += [_section(name, text, table) for name, (text, table) in TABLES.items()]
    parts += [_owners(), _blocked()]
    return "\n".join(parts)


def _step(rule: Rule) -> str:
    statuses = [f"`{status}`" for status in RunStatus if status in rule.statuses]
    when = [
        f"{name} {' or '.join(sorted(map(_value, values)))}" for name, values in rule.when.items()
    ]
    step = f"`{rule.step.kind}`"
    if rule.step.end is not None:
        step += f" `{rule.step.end}`"
    if rule.step.kind is StepKind.WAIT:
        step += " for " + ", ".join(sorted(rule.step.wakers))
    return f"| {', '.join(statuses)} | {', '.join(when)} | {step} | {rule.because} |"


def _value(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _owners() -> str:
    rows = [
        f"| {what} `{status}` | `{tenant}` | {waiting_on or ''} |"
        for what, table in (("run", OF_RUN), ("bundle", OF_BUNDLE))
        for status, (tenant, waiting_on) in table.items()
    ]
    return _OWNERS + "\n".join(rows) + "\n"


def _section(name: str, text: str, table: Table) -> str:
    first = next(iter(table))
    lines = [f"    [*] --> {first}"]
    for status, targets in table.items():
        lines += [f"    {status} --> {target}" for target in sorted(targets)]
        if not targets:
            lines.append(f"    {status} --> [*]")
    drawing = "\n".join(lines)
    return f"## {name}\n\n{text}\n\n```mermaid\nstateDiagram-v2\n{drawing}\n```\n"


def _blocked() -> str:
    rows = "\n".join(f"| `{reason}` | {action} |" for reason, action in NEXT_ACTION.items())
    return (
        "## What a blocked run waits for\n\n"
        "`wait`: it continues automatically. `retry`: an operator removes the cause and retries "
        "it.\n\n"
        f"| blocked on | next action |\n| --- | --- |\n{rows}\n"
    )


def main() -> int:
    """Write the page, or with ``--check`` compare it; return the exit code."""
    wanted = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(wanted, encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == wanted:
        return 0
    sys.stderr.write("docs/status.md is out of date: run `make schemas`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
