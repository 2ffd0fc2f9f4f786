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
from control_plane.domain.delivery import DELIVERY_TRANSITIONS
from control_plane.domain.journey import JOURNEY_TRANSITIONS, STEP_TRANSITIONS
from control_plane.domain.kinds import KINDS
from control_plane.domain.kinds.kind import Kind, Shown
from control_plane.domain.message import MESSAGE_TRANSITIONS
from control_plane.domain.next_step import RULES, Rule, StepKind
from control_plane.domain.onboarding_link import LINK_TRANSITIONS
from control_plane.domain.owner_status import DECIDES_FIRST, OF_BUNDLE
from control_plane.domain.reconciling import INTAKE_FINDING_TRANSITIONS
from control_plane.domain.run import (
    CHANGING,
    LOOK_TRANSITIONS,
    NEXT_ACTION,
    PLAN_TRANSITIONS,
    RUN_TRANSITIONS,
    RunKind,
    RunStatus,
)
from control_plane.domain.run_actions import ACTIONS, BLOCKED_ACTIONS, Cell
from control_plane.domain.saga import SAGA_TRANSITIONS
from control_plane.domain.sagas import SAGAS
from control_plane.domain.task import TASK_TRANSITIONS

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "status.md"
Table = Mapping[Any, frozenset[Any]]  # of one enum of statuses
TABLES: Final[Mapping[str, tuple[str, Table]]] = {
    "Run": ("One attempt of the engine on a deployment.", RUN_TRANSITIONS),
    "Run that refreshes": ("It changes nothing, so nobody approves it.", LOOK_TRANSITIONS),
    "Run that plans": ("It says what a change would do, and ends.", PLAN_TRANSITIONS),
    "Approval": ("A request for a decision on one plan digest.", APPROVAL_TRANSITIONS),
    "Bundle": ("One version of a Mode C hand-over.", BUNDLE_TRANSITIONS),
    "Delivery": ("What a provider of signatures posted.", DELIVERY_TRANSITIONS),
    "Intake finding": (
        "A difference between a source of contracts and this installation.",
        INTAKE_FINDING_TRANSITIONS,
    ),
    "Onboarding link": ("A one-time link to the onboarding portal.", LINK_TRANSITIONS),
    "Message": ("What is said to one person.", MESSAGE_TRANSITIONS),
    "Journey": ("A playbook that a tenant is taken through.", JOURNEY_TRANSITIONS),
    "Step of a journey": ("Of one round; a step that begins again waits.", STEP_TRANSITIONS),
    "Task": ("What waits for a person.", TASK_TRANSITIONS),
    "Saga": ("What takes several steps, such as a removal.", SAGA_TRANSITIONS),
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
_KINDS: Final = """## Kinds of runs

What a run needs, and what it means for the owner of its deployment, depends on its kind
(`domain/kinds`). The kind follows from the spec that was applied last and the one that is wanted;
a refresh or a plan is asked for by name. Approval rules may ask for more people than a kind needs
at least.

| kind | what it does | wants | people at least | checks of the engine afterwards |
| --- | --- | --- | --- | --- |
"""
_SAGA_STEPS: Final = """## Steps of sagas

What takes more than one run is a saga: named steps in order (`domain/sagas`), each recorded when
it begins and when it ends. A step that failed is retried by a person. A saga that is withdrawn
takes the steps back that have an undo, newest first; after a final step it can only be completed.

"""
_OWNERS: Final = """## Tenants and Hubs

What decides is the newest run of each deployment that changes something, or its newest bundle in
Mode C; a look decides nothing. Once a customer has applied a bundle the tenant is ready. A
deployment is verified while there is evidence that held for the state that its stack has now. Of
several deployments of a tenant, the one whose status comes first in this order decides: {order}. A
tenant whose mode is undecided is `mode_conflict` and waits on an architect.

With `yes` under gives back, the account of the deployment or its place in a Hub is given back,
unless something was ever applied there. Everything else that a run has is kept when it ends.

"""
_ACTIONS: Final = """## What people may ask of a run

By kind and status (`domain/run_actions.py`); what is not here is refused. A retry wants what the
run that it repeats wanted. `run show` lists what the reader may do, with the command to type.

| kind | status | action | what it does | otherwise |
| --- | --- | --- | --- | --- |
"""
_BUNDLES: Final = """| newest bundle | tenant | waits on |
| --- | --- | --- |
"""
_OF_KIND: Final = """| newest run | verified | not verified | gives back |
| --- | --- | --- | --- |
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD, _STEPS + "\n".join(map(_step, RULES)) + "\n"]
    parts.append(_KINDS + "\n".join(map(_needs, KINDS.values())) + "\n")
    parts += [_section(name, text, table) for name, (text, table) in TABLES.items()]
    parts += [_actions(), _saga_steps(), _owners(), _blocked()]
    return "\n".join(parts)


def _step(rule: Rule) -> str:
    statuses = [f"`{status}`" for status in RunStatus if status in rule.statuses]
    when = [
        f"{name} {' or '.join(sorted(map(_value, values)))}" for name, values in rule.when.items()
    ]
    step = f"`{rule.step.kind}`"
    if rule.step.end is not None:
        step += f" `{rule.step.end}`"
    if rule.step.on is not None:
        step += f" on `{rule.step.on}`"
    if rule.step.kind is StepKind.WAIT:
        step += " for " + ", ".join(sorted(rule.step.wakers))
    return f"| {', '.join(statuses)} | {', '.join(when)} | {step} | {rule.because} |"


def _value(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _needs(kind: Kind) -> str:
    checks = ", ".join(f"`{check}`" for check in kind.checks)
    return (
        f"| `{kind.kind}` | {kind.purpose} | {kind.desired} | {kind.decisions or ''} | {checks} |"
    )


def _saga_steps() -> str:
    text = _SAGA_STEPS
    for spec in SAGAS.values():
        rows = "\n".join(
            f"| {number} | `{step.name}` | {step.does} | {step.says} | {step.undo or ''} "
            f"| {'yes' if step.is_final else ''} |"
            for number, step in enumerate(spec.steps, 1)
        )
        text += (
            f"`{spec.kind}` {spec.purpose}.\n\n| | step | is | what it does | undo | final |\n"
            f"| --- | --- | --- | --- | --- | --- |\n{rows}\n"
        )
    return text


def _actions() -> str:
    groups: dict[tuple[tuple[str, Cell], ...], list[RunKind]] = {}
    for kind, cells in ACTIONS.items():
        told = tuple((str(status), cell) for status, cell in cells.items() if _is_told(cell))
        groups.setdefault(told, []).append(kind)
    rows = [
        _action(", ".join(f"`{kind}`" for kind in kinds), f"`{status}`", cell)
        for cells, kinds in groups.items()
        for status, cell in cells
    ]
    changing = ", ".join(f"`{kind}`" for kind in ACTIONS if kind in CHANGING)
    rows += [
        _action(changing, f"`blocked` on `{on}`", cell) for on, cell in BLOCKED_ACTIONS.items()
    ]
    return _ACTIONS + "\n".join(rows) + "\n"


def _is_told(cell: Cell) -> bool:
    return bool(cell.offers or cell.by_itself)


def _action(kinds: str, status: str, cell: Cell) -> str:
    actions = "<br>".join(f"`{offer.action}`" for offer in cell.offers)
    does = "<br>".join(offer.does for offer in cell.offers)
    return f"| {kinds} | {status} | {actions} | {does} | {cell.by_itself} |"


def _owners() -> str:
    text = _OWNERS.format(order=", ".join(f"`{status}`" for status in DECIDES_FIRST))
    for kind in KINDS.values():
        rows = [
            f"| {kind.kind} `{status}` | {_shown(means.verified)} | {_shown(means.otherwise)} "
            f"| {'yes' if means.gives_back else ''} |"
            for status, means in kind.means.items()
        ]
        text += _OF_KIND + "\n".join(rows) + "\n\n"
    rows = [
        f"| `{status}` | `{tenant}` | {waiting_on or ''} |"
        for status, (tenant, waiting_on) in OF_BUNDLE.items()
    ]
    return text + _BUNDLES + "\n".join(rows) + "\n"


def _shown(shown: Shown) -> str:
    status, waiting_on = shown
    return f"`{status}`" + (f", waits on {waiting_on}" if waiting_on else "")


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
