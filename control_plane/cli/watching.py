"""Following a run on a terminal: its progress with how far it is, and what it waits for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from control_plane.cli import output
from control_plane.cli.client import RECONNECT_SECONDS, Api, segment

# operations that the engine carries out, as its progress names them
_CHANGING: Final = frozenset(
    {"create", "update", "delete", "replace", "create-replacement", "delete-replaced", "import"}
)
_PART_OF_ONE: Final = frozenset({"replace"})  # of a replacement the two halves are counted


@dataclass
class Progress:
    """How many resources of a plan are done; ``total`` is unknown until the plan was read."""

    total: int = 0
    done: set[tuple[str, str]] = field(default_factory=set)

    def of_plan(self, plan: Mapping[str, Any]) -> None:
        """Take the total from a plan."""
        self.total = sum(_counts(item["op"], item["type"]) for item in plan["operations"])

    def mark(self, body: Mapping[str, Any]) -> str:
        """Count a line about a resource; returns ``3 of 12`` for one that is done."""
        op, kind = str(body.get("op") or ""), str(body.get("type") or "")
        if body.get("phase") != "apply" or body.get("status") != "done" or not _counts(op, kind):
            return ""
        self.done.add((str(body.get("urn")), op))
        total = max(self.total, len(self.done))
        return f"{len(self.done)} of {total}" if self.total else str(len(self.done))


def _counts(op: str, kind: str) -> bool:
    is_change = op in _CHANGING and op not in _PART_OF_ONE
    return is_change and not kind.startswith(output.GROUPING)


def follow(api: Api, run_id: str, *, show: bool = True, as_json: bool = False) -> None:
    """Follow a run to its end, and print its progress unless that is not wanted."""
    progress, told = Progress(), _Told(api, run_id)
    heard = {"on_quiet": told.waiting, "on_cut": _say_cut} if show and not as_json else {}
    for event in api.events(run_id, **heard):
        if as_json:
            output.line(json.dumps(event))
        elif show:
            _show(api, run_id, event, progress)
            told.line = ""


def _say_cut() -> None:
    output.say(f"  the connection to the API was cut; trying again for {RECONNECT_SECONDS:.0f} s")


@dataclass
class _Told:
    """What was printed last of what a run waits for: nothing is printed twice in a row."""

    api: Api
    run_id: str
    line: str = ""

    def waiting(self) -> None:
        """Print what the run waits for, if that is something new."""
        found = self.api.get(f"/v1/runs/{segment(self.run_id)}")
        sentence = (found.get("waiting") or {}).get("sentence", "")
        if sentence and sentence != self.line:
            self.line = sentence
            output.say(f"  {sentence}")


def _show(api: Api, run_id: str, event: Mapping[str, Any], progress: Progress) -> None:
    body = event["body"]
    line = output.event(event)
    if event["kind"] == "resource":
        count = progress.mark(body)
        line = f"{line}  ({count})" if line and count else line
    if line:
        output.say(line)
    status = body.get("status") if event["kind"] == "status" else None
    if status == "applying":
        progress.of_plan(api.get(f"/v1/runs/{segment(run_id)}/plan"))
    elif status == "awaiting_approval":
        approval_id = api.get(f"/v1/runs/{segment(run_id)}")["approval_id"]
        output.say(f"  waiting for a decision: tenantctl approval show {approval_id}")
