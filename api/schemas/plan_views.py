"""What the API answers on how two plans differ."""

from __future__ import annotations

from typing import Any, Self

from api.schemas.views import DifferenceView, View, documents
from control_plane.domain.plan_comparison import PlanComparison
from control_plane.domain.run import Run


class ChangedOperationView(View):
    """What two plans do otherwise with one resource; ``inputs`` are those that would differ."""

    before: dict[str, Any]
    after: dict[str, Any]
    inputs: list[DifferenceView]


class PlanComparisonView(View):
    """How the plan of a run differs from the one whose place it takes.

    Without such a plan ``earlier_…`` are null and everything is added. ``differences`` is what the
    earlier run found in the cloud, and was stopped for.
    """

    run_id: str
    plan_id: str
    digest: str
    earlier_run_id: str | None
    earlier_plan_id: str | None
    earlier_digest: str | None
    parts: list[str]
    added: list[dict[str, Any]]
    removed: list[dict[str, Any]]
    changed: list[ChangedOperationView]
    outputs: list[dict[str, Any]]
    differences: list[dict[str, Any]]

    @classmethod
    def of(cls, earlier: Run | None, found: PlanComparison) -> Self:
        """Return the view of a comparison with the plan of an earlier run."""
        error = (earlier.error if earlier is not None else None) or {}
        older = found.older
        return cls(
            run_id=found.newer.run_id,
            plan_id=found.newer.id,
            digest=found.newer.digest,
            earlier_run_id=earlier.id if earlier is not None else None,
            earlier_plan_id=older.id if older is not None else None,
            earlier_digest=older.digest if older is not None else None,
            parts=list(found.parts),
            added=documents(found.added),
            removed=documents(found.removed),
            changed=[
                ChangedOperationView(
                    before=each.before.to_document(),
                    after=each.after.to_document(),
                    inputs=[DifferenceView.like(difference) for difference in each.inputs],
                )
                for each in found.changed
            ],
            outputs=documents(found.outputs),
            differences=list(error.get("data", {}).get("differences", [])),
        )
