"""What a customer's receipt of its destroy must say, and what of it is wrong.

The schema (``stacks/schemas/mode_c_destroy_receipt.schema.json``) says its form. Whether it is
about this tenant, this deployment and a bundle that was handed over is said here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from control_plane.domain.errors import DestroyIncomplete, InvalidInput, ReceiptMismatch
from control_plane.domain.spellings import instant

CLOCKS_DIFFER: Final = timedelta(minutes=5)  # between the customer's clock and ours
_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class HandedOverVersion:
    """A version of the bundle that the customer may have applied, and destroyed."""

    number: int
    content_digest: str
    handed_over_at: datetime


def require_about(
    body: Mapping[str, Any], *, expected: Mapping[str, str], versions: Sequence[HandedOverVersion]
) -> HandedOverVersion:
    """Return the version that a receipt is about.

    ``expected`` is what the receipt must name, by field. Raises ``ReceiptMismatch`` naming the
    field that belongs to something else.
    """
    for field, value in expected.items():
        if body[field] != value:
            raise ReceiptMismatch(
                f"{field} of what was handed over is {value}", field=f"receipt.{field}"
            )
    for version in versions:
        if version.content_digest == body["content_digest"]:
            return version
    known = ", ".join(f"version {each.number}: {each.content_digest}" for each in versions)
    raise ReceiptMismatch(
        f"content_digest is of no version that the customer may have now; these are {known}",
        field="receipt.content_digest",
    )


def require_empty(
    body: Mapping[str, Any], *, version: HandedOverVersion, now: datetime
) -> Sequence[Mapping[str, Any]]:
    """Return what remains in the account, in plain JSON.

    Raises ``DestroyIncomplete`` while the state lists something for which no reason is given, and
    ``InvalidInput`` for times that cannot be right.
    """
    destroyed_at = _time(body["destroyed_at"], "receipt.destroyed_at")
    if not version.handed_over_at - CLOCKS_DIFFER <= destroyed_at <= now + CLOCKS_DIFFER:
        raise InvalidInput(
            "destroyed_at must be after the hand-over and not in the future",
            field="receipt.destroyed_at",
        )
    remaining = body["remaining"]
    for number, each in enumerate(remaining):
        field = f"receipt.remaining.{number}.until"
        if each["until"] is not None and _time(each["until"], field) <= destroyed_at:
            raise InvalidInput(f"{each['what']} was to be gone before the destroy", field=field)
    named = {each["what"] for each in remaining}
    left = sorted(set(body["state"]) - named)
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        raise DestroyIncomplete(
            f"the state still has {', '.join(left[:_SHOWN])}{more}, and no reason is given",
            left=left,
        )
    return [{name: each[name] for name in ("what", "why", "until")} for each in remaining]


def _time(text: str, field: str) -> datetime:
    try:
        return instant(text)
    except ValueError as error:
        raise InvalidInput(f"{field} {error}", field=field) from error


def sample_destroy_receipt(
    inputs: Mapping[str, Any], content_digest: str, destroyed_at: datetime
) -> dict[str, Any]:
    """Return a receipt of a complete destroy of these inputs, for trying things out."""
    return {
        "schema_version": 1,
        "tenant": inputs["owner"]["tenant"],
        "environment": inputs["owner"]["environment"],
        "deployment": inputs["owner"]["deployment"],
        "account_id": inputs["account_id"],
        "region": inputs["region"],
        "content_digest": content_digest,
        "destroyed_at": destroyed_at.isoformat(),
        "state": [],
        "remaining": [],
    }
