"""The parts that pages are made of, each in every state: for people who build or check a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from fastapi import APIRouter, Response

from api.console.progress import Node, Step
from api.console.visiting import PageRoute, VisitorDep

router = APIRouter(prefix="/console", include_in_schema=False, route_class=PageRoute)
_AT: Final = datetime(2026, 3, 9, 8, 41, 7, tzinfo=UTC)
_TABLE: Final = Step(
    op="delete", type="aws:dynamodb/table:Table", name="orders", status="in progress", began=_AT
)
_NODES: Final = (
    Node(
        Step(op="update", type="tenantplane:Hub", name="hub"),
        (
            Node(_TABLE, ()),
            Node(Step(op="create", type="aws:kms/key:Key", name="key", status="failed"), ()),
        ),
    ),
)
_CHANGE: Final = {
    "op": "update", "name": "more", "type": "aws:iam/rolePolicy:RolePolicy", "irreversible": False,
    "on_removal": "", "options": [], "rule_before": None, "rule_after": None, "widened": [],
    "properties": [
        {
            "path": "policy", "kind": "update", "before": "", "after": "",
            "statements_before": ["Read: allows s3:GetObject on arn:aws:s3:::data/*"],
            "statements_after": ["Read: allows s3:* on arn:aws:s3:::data/*"],
            "widened": ["allows s3:* on arn:aws:s3:::data/*"],
        },
    ],
}  # fmt: skip


@router.get("/design")
def design(who: VisitorDep) -> Response:
    """Show every part of the design system."""
    return who.page("design.html", at=_AT, nodes=_NODES, change=_CHANGE)
