"""Review files: what a security team reads first, derived from the plan that needs no AWS."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from policies.catalog import CATALOG
from policies.terraform_references import Configuration

# the bucket of the access logs, which `uninstall` empties
_LOG_BUCKET: Final = "aws_s3_bucket.logs"
_ON_LOGS: Final = "refused while it holds objects, until uninstall = true; then emptied and deleted"
_POLICIES: Final = ("policy", "assume_role_policy")
_UNKNOWN: Final = "known after the apply"
_ENDPOINT: Final = "aws_vpc_endpoint"
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
    configuration = Configuration(plan.get("configuration") or {})
    for change in plan.get("resource_changes", ()):
        if change["mode"] == "managed":
            configured = configuration.resource(change["address"]) or {}
            yield {
                "address": change["address"],
                "type": change["type"],
                "values": change["change"].get("after") or {},
                "unknown": change["change"].get("after_unknown") or {},
                "given": configured.get("expressions") or {},
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


def _documents(resources: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Yield resource, attribute and document of each policy; None for one that nobody knows yet.

    A bucket or a secret repeats the policy that another resource gives it: an attribute that the
    configuration does not set is unknown too, and no policy of its own.
    """
    for item in resources:
        for name in _POLICIES:
            document = item["values"].get(name)
            if isinstance(document, str):
                yield item, name, json.loads(document)
            elif item["unknown"].get(name) is True and name in item["given"]:
                yield item, name, None


def _policies(resources: list[dict[str, Any]]) -> str:
    found = {
        f"{item['address']}.{name}": _UNKNOWN if document is None else document
        for item, name, document in _documents(resources)
    }
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def _foreign(document: Any, account_id: str) -> Iterator[str]:
    """Yield whom a policy allows something who is neither a service of AWS nor of this account."""
    for statement in _listed(document.get("Statement", [])):
        if statement.get("Effect") != "Allow":
            continue
        if "NotPrincipal" in statement:
            yield "everybody but some"
        principal = statement.get("Principal", {})
        by_kind = principal if isinstance(principal, dict) else {"AWS": principal}
        for kind, values in by_kind.items():
            for value in map(str, _listed(values)):
                if kind != "Service" and not _is_own(value, account_id):
                    yield value


def _is_own(principal: str, account_id: str) -> bool:
    """Tell whether a principal is the account itself or, by its ARN, something in it."""
    return principal == account_id or principal.split(":")[4:5] == [account_id]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _vendor_access(resources: list[dict[str, Any]], account_id: str) -> str:
    foreign: set[str] = set()
    unknown: set[str] = set()
    for item, name, document in _documents(resources):
        if document is None:
            unknown.add(f"{item['address']}.{name}")
        elif item["type"] != _ENDPOINT:
            foreign |= {f"{item['address']}: {who}" for who in _foreign(document, account_id)}
    lines = [
        "# What the vendor can reach",
        "",
        "Derived from the plan of this bundle: every trust, key and resource policy in it, all of",
        "them in `policies.json`. Policies of VPC endpoints limit and give nobody access, so they",
        "are not counted.",
        "",
        f"* Principals of accounts other than {account_id}: {len(foreign) or 'none'}.",
        *(f"  * {item}" for item in sorted(foreign)),
        f"* Policies that only the apply makes known: {len(unknown) or 'none'}.",
        *(f"  * {item}" for item in sorted(unknown)),
        "",
        "What a plan cannot show, and the vendor says: no agent of the vendor runs in the account,",
        "nothing opens a connection to the vendor, and there is no standing or break-glass access.",
        "What comes back is the output `receipt`, only if you send it, by hand.",
        "",
    ]
    return "\n".join(lines)
