"""Things as a manifest lists them: kind, name, size and digest."""

from __future__ import annotations

import hashlib
import json
from typing import Any

SETS = {"SS", "NS", "BS"}  # of DynamoDB; their members have no order


def digest(value: Any) -> str:
    """SHA-256 over JSON with sorted names, without spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def item_content(item: dict[str, Any]) -> bytes:
    """Return the same bytes for equal items; the members of sets have no order."""
    return json.dumps(_ordered(item), sort_keys=True, ensure_ascii=False).encode()


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: sorted(each) if name in SETS and isinstance(each, list) else _ordered(each)
            for name, each in value.items()
        }
    return [_ordered(each) for each in value] if isinstance(value, list) else value


def object_entry(key: str, about: dict[str, Any], content: bytes) -> dict[str, Any]:
    """Return an object as a manifest lists it: content, headers, metadata and tags count."""
    found = digest({"sha256": hashlib.sha256(content).hexdigest(), **about})
    return {"kind": "object", "name": key, "size": len(content), "digest": found}


def item_entry(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item as a manifest lists it."""
    content = item_content(item)
    name = json.dumps([item["pk"]["S"], item["sk"]["S"]], ensure_ascii=False)
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"kind": "item", "name": name, "size": len(content), "digest": found}


def parameter_entry(each: dict[str, str]) -> dict[str, Any]:
    """Return a setting as a manifest lists it; an encrypted one is a reference."""
    is_secret = each["type"] == "SecureString"
    return {
        "kind": "parameter", "name": each["name"],
        "size": 0 if is_secret else len(each["value"].encode()),
        "digest": None if is_secret else digest([each["type"], each["value"]]),
    }  # fmt: skip


def secret_entry(purpose: str) -> dict[str, Any]:
    """Return a secret that has a value as a manifest lists it: a reference, by what it is for."""
    return {"kind": "secret", "name": purpose, "size": 0, "digest": None}


def totals(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return count, bytes and digest by kind."""
    found = {}
    for kind in ("object", "item", "secret", "parameter"):
        each = sorted((e for e in entries if e["kind"] == kind), key=lambda e: str(e["name"]))
        found[kind] = {
            "count": len(each),
            "bytes": sum(e["size"] for e in each),
            "digest": digest([[e["name"], e["digest"] or ""] for e in each]),
        }
    return found


def differences(wanted: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Name what is missing, different or more, in the order of the manifest."""
    there = {(e["kind"], e["name"]): e["digest"] for e in found}
    result = []
    for each in wanted:
        key = (each["kind"], each["name"])
        if key not in there:
            result.append({"kind": key[0], "name": key[1], "what": "missing"})
        elif there.pop(key) != each["digest"]:
            result.append({"kind": key[0], "name": key[1], "what": "different"})
    result += [{"kind": k, "name": n, "what": "not in the manifest"} for k, n in sorted(there)]
    return result
