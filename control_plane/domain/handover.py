"""A tenant's data on its way into an account of the customer: what is handed over, what arrived.

The vendor has no access there. So the control plane lists what the source holds in a manifest, the
customer's own tool says what the target holds, and both have to come to the same names, sizes and
digests before anything is switched. No value of a secret is in either.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from control_plane.domain.canonical import digest_bytes
from control_plane.domain.errors import ImportDiffers, ReceiptMismatch
from control_plane.domain.transfer import KINDS, Copied, Kind, Place, totals

SCHEMA_VERSION: Final = 1
_NAMED: Final = 20  # differences that a refusal names


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What the customer's tool found in its account; kept once it equals a manifest."""

    id: str
    saga_id: str
    manifest_digest: str
    digest: str
    body: Mapping[str, Any]
    registered_by: str
    registered_at: datetime


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the data comes from, beside the places of its stores."""

    tenant: str  # slug
    mode: str
    place: Place
    database: str | None  # identifier of a database that is handed over by a dump


def manifest_of(
    source: Source,
    target: str,
    rows: Mapping[Kind, Sequence[Copied]],
    *,
    number: int,
    is_frozen: bool,
    made_at: datetime,
) -> dict[str, Any]:
    """Return the manifest: where the data lies, and each thing with its size and digest.

    ``target`` is the deployment that the data goes to. A secret, and a parameter that is encrypted,
    is a reference: it has no digest.
    """
    place = source.place
    return {
        "schema_version": SCHEMA_VERSION,
        "number": number,
        "made_at": made_at.isoformat(),
        "is_frozen": is_frozen,
        "tenant": source.tenant,
        "deployment": target,
        "source": {
            "mode": source.mode,
            "deployment": place.deployment_id,
            "account_id": place.account_id,
            "region": place.region,
            "bucket": place.bucket,
            "prefix": place.prefix,
            "table": place.table,
            "leading_key": place.leading_key,
            "parameters": place.parameters,
            "secrets": dict(place.secrets),
            "database": source.database,
        },
        "totals": {str(kind): totals(rows[kind]).to_document() for kind in KINDS},
        "entries": [_entry(one) for kind in KINDS for one in _sorted(rows[kind])],
    }


def _sorted(rows: Iterable[Copied]) -> list[Copied]:
    return sorted(rows, key=lambda one: one.name)


def _entry(one: Copied) -> dict[str, Any]:
    return {
        "kind": str(one.kind), "name": one.name, "size": one.size, "digest": one.digest or None,
    }  # fmt: skip


def manifest_bytes(manifest: Mapping[str, Any]) -> bytes:
    """Return a manifest as it is handed over; its digest is that of these bytes."""
    return json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"


def manifest_digest(content: bytes) -> str:
    """Return the digest by which reports name a manifest."""
    return digest_bytes(content)


def require_equal_import(
    body: Mapping[str, Any],
    *,
    expected: Mapping[str, str],
    sums: Mapping[str, Mapping[str, Any]],
    dump: str | None,
) -> None:
    """Refuse a report that is about something else, or that found something else.

    ``expected`` is what it must name, by field; ``sums`` are the totals of the manifest; ``dump``
    is the digest of the database's dump, None where there is no database. Raises
    ``ReceiptMismatch`` naming the field, ``ImportDiffers`` naming what differs.
    """
    for field, value in expected.items():
        if body[field] != value:
            raise ReceiptMismatch(f"{field} must be {value}", field=f"report.{field}")
    found = body["totals"]
    wrong: list[dict[str, Any]] = [
        {"kind": kind, "expected": dict(sums[kind]), "found": dict(found[kind])}
        for kind in map(str, KINDS)
        if dict(found[kind]) != dict(sums[kind])
    ]
    named = [f"{each['kind']} {each['name']}: {each['what']}" for each in body["differences"]]
    restored = (body["database"] or {}).get("dump_digest")
    if restored != dump:
        wrong.append({"kind": "database", "expected": dump, "found": restored})
    if wrong or named:
        kinds = ", ".join(sorted({str(each["kind"]) for each in wrong})) or "things"
        raise ImportDiffers(
            f"what arrived is not what the manifest lists: {kinds}",
            kinds=wrong, differences=named[:_NAMED], count=len(named),
        )  # fmt: skip
