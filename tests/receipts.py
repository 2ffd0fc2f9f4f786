"""Receipts as the apply of a bundle prints them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from control_plane.domain.bundle import Bundle
from control_plane.domain.destroy_receipt import sample_destroy_receipt
from control_plane.domain.receipt import sample_receipt


def receipt_of(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    """Return the receipt of a bundle's apply; ``changes`` replace its fields."""
    return {**sample_receipt(bundle.inputs, str(bundle.content_digest)), **changes}


def destroy_receipt_of(bundle: Bundle, now: datetime, **changes: Any) -> dict[str, Any]:
    """Return the receipt of a complete destroy of what a bundle built."""
    receipt = sample_destroy_receipt(bundle.inputs, str(bundle.content_digest), now)
    return {**receipt, **changes}
