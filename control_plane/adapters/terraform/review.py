"""Review files: what a security team reads first, derived from the plan that needs no AWS."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policies.catalog import CATALOG

# the bucket of the access logs, which `uninstall` empties
_LOG_BUCKET: Final = "aws_s3_bucket.logs"
_ON_LOGS: Final = "refused while it holds objects, until uninstall = true; then emptied and deleted"
_HEADER: Final = ("address", "type", "holds data", "on removal")


def review_files(plan: Mapping[str, Any], account_id: str) -> dict[str, bytes]:
    """Return file name -> content; the same plan gives the same bytes."""
    resources = sorted(_resources(plan), key=lambda item: str(item["address"]))
    return {
        "review/inventory.csv": _inventory(resources).encode(),
        "review/policies.json": _policies(resources).encode(),
        "review/VENDOR-ACCESS.md": _vendor_access(resources, account_id).encode(),
    }


def _resources(plan: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every resource that the plan creates."""
    for change in plan.get("resource_changes", ()):
        if change["mode"] == "managed":
            yield {
                "address": change["address"],
                "type": change["type"],
                "values": change["change"].get("after") or {},
            }


def _inventory(resources: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_HEADER)
    for item in resources:
        facts = CATALOG.get(item["type"])
        held = facts.on_removal if facts and facts.holds_data else ""
        if str(item["address"]).endswith(_LOG_BUCKET):
            held = _ON_LOGS
        table.writerow((item["address"], item["type"], "yes" if held else "no", held or "deleted"))
    return text.getvalue()


def _documents(resources: list[dict[str, Any]]) -> Iterator[tuple[str, str, Any]]:
    for item in resources:
        for name in ("policy", "assume_role_policy"):
            document = item["values"].get(name)
            if isinstance(document, str):
                yield item["address"], name, json.loads(document)


def _policies(resources: list[dict[str, Any]]) -> str:
    found = {f"{address}.{name}": document for address, name, document in _documents(resources)}
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def _principals(document: Any) -> Iterator[str]:
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        principal = statement.get("Principal", {})
        values = principal.values() if isinstance(principal, dict) else [principal]
        for value in values:
            yield from value if isinstance(value, list) else [str(value)]


def _vendor_access(resources: list[dict[str, Any]], account_id: str) -> str:
    foreign = sorted(
        {
            f"{address}: {principal}"
            for address, _, document in _documents(resources)
            for principal in _principals(document)
            if principal.startswith("arn:") and f":{account_id}:" not in principal
        }
    )
    lines = [
        "# What the vendor can reach",
        "",
        "Derived from the plan of this bundle: every trust, key and resource policy in it.",
        "",
        f"* Principals of accounts other than {account_id}: {len(foreign) or 'none'}.",
        *(f"  * {item}" for item in foreign),
        "* Vendor agents, inbound connections, standing or break-glass access: none.",
        "* What goes back to the vendor: the output `receipt`, only if you send it yourself.",
        "",
    ]
    return "\n".join(lines)
