"""Rows as revision 0001 had them, with everything under way that an upgrade may meet."""

from __future__ import annotations

import json
from typing import Any, Final

import psycopg
from psycopg import sql

MADE: Final = "2026-11-20T14:00:00Z"
EXPIRES: Final = "2026-11-23T14:00:00Z"
_JSON: Final = (dict, list)


def _id(prefix: str, number: int) -> str:
    return f"{prefix}_{number:026d}"


def tenant(number: int) -> dict[str, Any]:
    return {
        "id": _id("ten", number), "slug": f"acme-{number}", "legal_name": "Acme Srl",
        "domain": "acme.example", "country": "IT", "time_zone": "Europe/Rome",
        "status": "pending", "hold": False, "drifted": False, "mode": "B", "region": "eu-west-1",
        "facts": {"seats": 12}, "decision": {}, "editors": [], "created_at": MADE,
        "updated_at": MADE, "version": 1,
    }  # fmt: skip


def deployment(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": _id("dep", number), "tenant_id": _id("ten", number), "kind": "dedicated",
        "environment": "production", "region": "eu-west-1", "account_id": "123456789012",
        "stack": f"acme-{number}.production.b", "spec": {"region": "eu-west-1"},
        "spec_version": 1, "outputs": {}, "created_at": MADE, "updated_at": MADE, "version": 1,
        **changes,
    }  # fmt: skip


def run(number: int, deployment_number: int, status: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": _id("run", number), "deployment_id": _id("dep", deployment_number),
        "tenant_id": _id("ten", deployment_number), "kind": "provision", "status": status,
        "attempt": 1, "requested_by": "crm", "on_behalf_of": "user:asks", "requested_at": MADE,
        "cancel_requested": False, "call_ids": [], "lock_ids": [], "states_written": [],
        "checks": [], "updated_at": MADE, "version": 1, **changes,
    }  # fmt: skip


def plan(number: int, deployment_number: int, **changes: Any) -> dict[str, Any]:
    operations = [
        {"urn": f"urn:{name}", "type": "t", "name": name, "op": op, "diffs": {}, "protect": False,
         "secrets": []}
        for name, op in (("a", "create"), ("b", "delete"))
    ]  # fmt: skip
    return {
        "id": _id("pln", number), "run_id": _id("run", number),
        "deployment_id": _id("dep", deployment_number), "digest": f"sha256:{number}",
        "parts": {"spec": "sha256:1"}, "operations": operations, "resources": [],
        "summary": {"create": 1, "delete": 1}, "irreversible": operations[1:],
        "evaluation": {"ok": True, "violations": [], "rules": [], "judged": 2, "stage": "plan",
                       "digest": "sha256:9"},
        "created_at": MADE, **changes,
    }  # fmt: skip


def approval(number: int, deployment_number: int, status: str) -> dict[str, Any]:
    return {
        "id": _id("apr", number), "run_id": _id("run", number), "plan_id": _id("pln", number),
        "plan_digest": f"sha256:{number}", "tenant_id": _id("ten", deployment_number),
        "status": status, "expires_at": EXPIRES, "created_at": MADE, "updated_at": MADE,
        "version": 1,
    }  # fmt: skip


def bundle(number: int, status: str, **changes: Any) -> dict[str, Any]:
    return {
        "id": _id("bnd", number), "tenant_id": _id("ten", number),
        "deployment_id": _id("dep", number), "number": 1, "status": status, "inputs": {"a": 1},
        "rehearsal": "none", "files": {}, "checks": [], "created_at": MADE, "updated_at": MADE,
        "version": 1, **changes,
    }  # fmt: skip


APPLIED: Final[dict[str, Any]] = {
    "started_at": MADE,
    "ended_at": MADE,
    "checks": [{"name": "answers", "ok": True, "detail": "2"}],
}
# 1 is ready; 2 waits for a decision; 3 was handed over; 4 is being built; 5 is in its apply;
# 6 waits for a lock; 7 was ready until a run failed in its apply; 8 is ready and a change of it
# waits; 9 is the Hub, which is planned
ROWS: Final[dict[str, list[dict[str, Any]]]] = {
    "tenant": [tenant(number) for number in range(1, 9)],
    "contract": [
        {"id": _id("ctr", 1), "provider": "docusign", "envelope_id": "e-1", "contract_id": "C-1",
         "digest": "sha256:1", "signed_at": MADE, "subscription": "enterprise", "mode": "B",
         "seats": 12, "tenant_id": _id("ten", 1), "created_at": MADE}
    ],
    "provisioning_request": [
        {"id": _id("req", 1), "tenant_id": _id("ten", 1), "contract_ref": _id("ctr", 1),
         "body": {"environment": "production"}, "body_digest": "sha256:1", "requested_by": "crm",
         "created_at": MADE}
    ],
    "hub": [
        {"id": _id("hub", 1), "region": "eu-west-1", "cell": "c1", "capacity": 10,
         "status": "requested", "outputs": {}, "created_at": MADE, "updated_at": MADE,
         "version": 1}
    ],
    "deployment": [
        deployment(1, state_digest="sha256:s1", outputs={"url": "https://acme"}),
        deployment(2),
        deployment(3, kind="customer_run", account_id="", spec={}),
        deployment(4, kind="customer_run", account_id="", spec={}),
        deployment(5),
        deployment(6, spec={}),
        deployment(7, state_digest="sha256:s7"),
        deployment(8, state_digest="sha256:s8", spec_version=2),
        deployment(9, kind="hub", tenant_id=None, hub_id=_id("hub", 1)),
    ],
    "account": [
        {"id": _id("acc", 1), "account_id": "123456789012", "shared": False,
         "claimed_by": _id("dep", 1), "created_at": MADE}
    ],
    "run": [
        run(1, 1, "applied", states_written=["sha256:s1"], plan_id=_id("pln", 1),
            approval_id=_id("apr", 1), call_ids=[f"{_id('run', 1)}.{n}" for n in (1, 2)],
            attempt=2, **APPLIED),
        run(2, 2, "awaiting_approval", plan_id=_id("pln", 2), approval_id=_id("apr", 2)),
        run(3, 5, "applying", started_at=MADE, call_ids=[f"{_id('run', 3)}.1"]),
        run(4, 6, "blocked", blocked_on="foreign_lock", blocked_from="planning"),
        run(5, 7, "applied", states_written=["sha256:s7"], plan_id=_id("pln", 5), **APPLIED),
        run(6, 7, "errored", kind="update", started_at=MADE, ended_at=MADE,
            error={"code": "engine_failed", "message": "it broke", "remedy": "retry", "data": {}}),
        run(7, 8, "applied", states_written=["sha256:s8"], plan_id=_id("pln", 7), **APPLIED),
        run(8, 8, "awaiting_approval", kind="update", plan_id=_id("pln", 8),
            approval_id=_id("apr", 8)),
        run(9, 9, "planning", tenant_id=None),
    ],
    "run_event": [
        {"run_id": _id("run", 1), "seq": seq, "time": MADE, "kind": "status",
         "body": {"status": "applied"}}
        for seq in (1, 2)
    ],
    "plan": [
        plan(1, 1, irreversible=[]), plan(2, 2), plan(5, 7), plan(7, 8),
        plan(8, 8, parts={"spec": "sha256:2"}),
    ],
    "approval": [
        approval(1, 1, "waiting"), approval(2, 2, "waiting"), approval(8, 8, "waiting"),
    ],
    "barred": [
        {"id": f"{_id('apr', 2)}:user:asks", "approval_id": _id("apr", 2),
         "subject": "user:asks", "reason": "requester"}
    ],
    "decision": [
        {"id": _id("dec", 1), "approval_id": _id("apr", 1), "decision": "approve",
         "plan_digest": "sha256:1", "actor_id": "user:olga", "actor_kind": "user",
         "reason": "read it", "decided_at": MADE}
    ],
    "bundle": [
        bundle(3, "handed_over", expires_at=EXPIRES, content_digest="sha256:3"),
        bundle(4, "building", accepted_by="user:sam"),
    ],
    "handover": [
        {"id": _id("hov", 3), "bundle_id": _id("bnd", 3), "recipient_name": "Ada",
         "recipient_email": "ada@acme.example", "handed_over_by": "user:sam",
         "handed_over_at": MADE}
    ],
    "download_link": [
        {"id": _id("lnk", 3), "bundle_id": _id("bnd", 3), "handover_id": _id("hov", 3),
         "token_hash": "sha256:t", "expires_at": EXPIRES, "uses": 1, "created_at": MADE}
    ],
    "receipt": [
        {"id": _id("rct", 3), "bundle_id": _id("bnd", 3), "digest": "sha256:r",
         "body": {"vpc_id": "vpc-1"}, "registered_by": "user:sam", "registered_at": MADE}
    ],
    "idempotency_record": [
        {"id": "0" * 64, "body_digest": "sha256:1", "response_status": 202,
         "response_body": {"id": _id("req", 1)}, "response_headers": {}, "created_at": MADE,
         "expires_at": EXPIRES}
    ],
}  # fmt: skip


def put(connection: psycopg.Connection[Any], table: str, row: dict[str, Any]) -> None:
    """Write one row."""
    columns = sql.SQL(", ").join(map(sql.Identifier, row))
    values = [json.dumps(v) if isinstance(v, _JSON) else v for v in row.values()]
    places = sql.SQL(", ").join(sql.Placeholder() * len(row))
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(table), columns, places),
        values,
    )


def fill(owner_url: str) -> None:
    """Write the rows, in one transaction; the first approval was given and used."""
    with psycopg.connect(owner_url) as connection:
        for table, rows in ROWS.items():
            for row in rows:
                put(connection, table, row)
        for status in ("approved", "consumed"):
            connection.execute(
                "UPDATE approval SET status = %s WHERE id = %s", [status, _id("apr", 1)]
            )
