"""What a canceled apply has done and what it has left: what people decide on next."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from control_plane.domain.plan import CHANGING, Plan
from control_plane.domain.run import Run
from control_plane.workflows.core import Act

_AT_ONCE: Final = 500  # lines of progress
_NAMED: Final = 5  # in the text; the data has all


def what_is_left(act: Act, run: Run, plan: Plan) -> Mapping[str, Any]:
    """Return the error of a run that was canceled while it applied its plan.

    ``done`` counts the planned changes that were made, ``left`` names the resources of the others.
    """
    made = _made(act, run)
    planned = [item for item in plan.operations if item.op in CHANGING]
    left = [item.urn for item in planned if item.urn not in made]
    done = len(planned) - len(left)
    names = list(dict.fromkeys(urn.rpartition("::")[2] for urn in left))
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    rest = f" Not made: {', '.join(names[:_NAMED])}{more}." if left else ""
    return {
        "code": "canceled",
        "message": f"Canceled after {done} of {len(planned)} changes; these stay.{rest}",
        "remedy": "Retry the run: it settles what was made, and plans the rest.",
        "data": {"done": done, "planned": len(planned), "left": left},
    }


def _made(act: Act, run: Run) -> set[str]:
    """Return the URNs that the engine said were done, in whatever attempt of the run."""
    made: set[str] = set()
    seq = 0
    while lines := act.uow.run_events.after(run.id, seq, limit=_AT_ONCE):
        seq = lines[-1].seq
        made |= {
            str(line.body.get("urn"))
            for line in lines
            if line.kind == "resource"
            and line.body.get("status") == "done"
            and line.body.get("phase", "apply") == "apply"
        }
    return made
