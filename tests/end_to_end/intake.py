"""Signed contracts that come over HTTP, and how far Day 0 of one is."""

from __future__ import annotations

from typing import Any

import httpx

from tests.end_to_end.installation import Served
from tests.signed import as_bytes, docusign_headers


def post(served: Served, payload: dict[str, Any]) -> httpx.Response:
    """Post an event as DocuSign does."""
    body = as_bytes(payload)
    return httpx.post(
        f"http://127.0.0.1:{served.port}/v1/intake/docusign",
        content=body,
        headers={"Content-Type": "application/json", **docusign_headers(body)},
        timeout=60,
        trust_env=False,
    )


def over(journey: dict[str, Any]) -> dict[str, str] | None:
    """Return the status of each step, once only people have to act."""
    found = {step["key"]: step["status"] for step in journey["steps"]}
    under_way = {key for key, status in found.items() if status in {"waiting", "working"}}
    return found if under_way <= {"kickoff"} else None
