"""Many tenants with all that they have, as requests and runs would have left them.

Rows are written in bulk and fit together. Events of the audit log are only recorded: the
installation's own signer gives them their places and signs the logs.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import psycopg
from sqlalchemy import Engine, Text, Uuid, select

from benchmarks.site import REGION, Site, request_body
from control_plane.adapters.audit.given import Bytes, rows_given
from control_plane.adapters.db.audit_tables import audit_pending
from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.mapping import MAPPED, RUN_EVENT
from control_plane.adapters.system import RandomIds, SystemClock
from control_plane.domain.actor import system
from control_plane.domain.approval import Approval, ApprovalStatus
from control_plane.domain.audit import AuditEvent, Stage, encode_body, event_uuid
from control_plane.domain.bundle import Bundle, BundleStatus
from control_plane.domain.deployment import Account, Deployment, DeploymentKind
from control_plane.domain.engine import Check, Operation
from control_plane.domain.evaluation import Evaluation
from control_plane.domain.evidence import Evidence
from control_plane.domain.hub import Hub, HubStatus
from control_plane.domain.plan import Plan
from control_plane.domain.run import Run, RunEvent, RunKind, RunStatus
from control_plane.domain.tenant import (
    Contract,
    ProvisioningRequest,
    Tenant,
    TenantStatus,
    WaitingOn,
)

EVENTS_EACH: Final = 100
HUBS: Final = 60  # and as many accounts: a page is full however many tenants there are
_AT_ONCE: Final = 200  # tenants in one transaction
_OPERATIONS: Final = 20  # of a plan
_MAPPED: Final = {mapped.entity: mapped for mapped in (*MAPPED, RUN_EVENT)}
_ENDED: Final = (*[RunStatus.APPLIED] * 6, *[RunStatus.NO_CHANGES] * 3, RunStatus.ERRORED)
_DIGEST: Final = "sha256:" + "5" * 64
# the actions of a tenant's first run, over and over; a tenth of a log is of each
_STORY: Final = (
    "run.requested", "run.planned", "run.policy_evaluated", "run.approved", "run.apply",
    "run.apply", "run.verified", "tenant.status_changed", "log.read", "mode.resolved",
)  # fmt: skip


@dataclass
class Crowd:
    """What was added: the ids of tenants, runs and bundles that lists are asked about."""

    tenants: list[str] = field(default_factory=list)
    run: str = ""


class Filler:
    """Adds tenants to an installation; Hubs and accounts come with the first of them."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._ids = RandomIds()
        self._now = SystemClock().now()
        self._owner = connect(site.database_url_of("OWNER"), name="bench", connections=1)
        self._app = connect(site.database_url, name="bench", connections=1)
        self._hubs: list[str] = []
        self.crowd = Crowd()

    def grow_to(self, tenants: int) -> Crowd:
        """Add tenants until there are so many, and return when their logs are signed."""
        if not self._hubs:
            self._insert(self._owner, [row for n in range(HUBS) for row in self._hub(n)])
        while len(self.crowd.tenants) < tenants:
            first = len(self.crowd.tenants)
            numbers = range(first, min(first + _AT_ONCE, tenants))
            self._insert(self._owner, [row for n in numbers for row in self._tenant(n)])
            self._record(self.crowd.tenants[first:])
        self._settle()
        return self.crowd

    def close(self) -> None:
        """Close the connections."""
        self._owner.dispose()
        self._app.dispose()

    def _insert(self, engine: Engine, rows: Sequence[object]) -> None:
        by_kind: dict[type, list[Any]] = defaultdict(list)
        for row in rows:
            by_kind[type(row)].append(row)
        with engine.begin() as connection:  # references are looked at when it commits
            for kind, entities in by_kind.items():
                mapped = _MAPPED[kind]
                connection.execute(mapped.table.insert(), [mapped.to_row(e) for e in entities])

    # --- rows ----------------------------------------------------------------------------------
    def _hub(self, number: int) -> Iterator[object]:
        hub = Hub(
            id=self._ids.new("hub"), region=REGION, cell=f"k{number}", capacity=900,
            status=HubStatus.READY, outputs={"vpc_id": f"vpc-{number}"}, requesters=("bench",),
            created_at=self._now, updated_at=self._now,
        )  # fmt: skip
        self._hubs.append(hub.id)
        home = self._deployment(None, DeploymentKind.HUB, f"hub.{REGION}.k{number}", hub.id)
        account = Account(
            id=self._ids.new("account"), account_id=f"{5 * 10**11 + number}", role_arn=None,
            external_id=None, shared=False, claimed_by=home.id, created_at=self._now,
        )  # fmt: skip
        yield from (hub, home, account, *self._runs(home, 1))

    def _tenant(self, number: int) -> Iterator[object]:
        mode = "AAAAAABBCC"[number % 10]
        body = request_body(f"k{number}", mode=mode)
        company, given = body["company"], body["contract"]
        tenant = Tenant(
            id=self._ids.new("tenant"), slug=f"crowd-{number}",
            legal_name=company["legal_name"], domain=company["domain"], country="IE",
            time_zone="Europe/Dublin",
            status=TenantStatus.READY if mode == "A" else TenantStatus.PENDING,
            waiting_on={"B": WaitingOn.OPS, "C": WaitingOn.ARCHITECT}.get(mode),
            mode=mode, region=REGION, facts=body["requirements"],
            decision={"outcome": "resolved", "summary": f"Mode {mode}: the contract buys it."},
            created_at=self._now, updated_at=self._now,
        )  # fmt: skip
        contract = Contract(
            id=self._ids.new("contract"), provider=given["provider"],
            envelope_id=given["envelope_id"], contract_id=given["contract_id"], digest=_DIGEST,
            signed_at=self._now, subscription=given["subscription"], mode=mode, seats=None,
            tenant_id=tenant.id, created_at=self._now,
        )  # fmt: skip
        request = ProvisioningRequest(
            id=self._ids.new("request"), tenant_id=tenant.id, contract_ref=contract.id,
            body={**body, "environment": "production"}, body_digest=_DIGEST, requested_by="crm",
            on_behalf_of=None, created_at=self._now,
        )  # fmt: skip
        kind = {"A": DeploymentKind.SLICE, "B": DeploymentKind.DEDICATED}.get(
            mode, DeploymentKind.CUSTOMER_RUN
        )
        hub = self._hubs[number % HUBS] if mode == "A" else None
        place = self._deployment(tenant.id, kind, f"{tenant.slug}.production.{mode.lower()}", hub)
        self.crowd.tenants.append(tenant.id)
        yield from (tenant, contract, request, place)
        if mode == "C":
            yield from self._bundles(place)
        else:
            yield from self._runs(place, 12 + number % 2)  # ten for each tenant of any mode

    def _deployment(
        self, tenant_id: str | None, kind: DeploymentKind, stack: str, hub_id: str | None
    ) -> Deployment:
        return Deployment(
            id=self._ids.new("deployment"), tenant_id=tenant_id, hub_id=hub_id, kind=kind,
            environment="production", region=REGION, account_id="123456789012", stack=stack,
            created_at=self._now, updated_at=self._now,
        )  # fmt: skip

    def _bundles(self, place: Deployment) -> Iterator[Bundle]:
        for number in (1, 2, 3):
            yield Bundle(
                id=self._ids.new("bundle"), tenant_id=str(place.tenant_id),
                deployment_id=place.id, number=number,
                status=BundleStatus.AWAITING_ARCHITECT if number == 3 else BundleStatus.SUPERSEDED,
                inputs={"region": REGION, "network": {"mode": "create", "cidr": "10.0.0.0/16"}},
                expires_at=self._now + timedelta(days=60), created_at=self._now,
                updated_at=self._now,
            )  # fmt: skip

    def _runs(self, place: Deployment, count: int) -> Iterator[object]:
        """Yield runs with what they found; the last three of a dedicated Hub wait for decisions."""
        waits = 3 if place.kind is DeploymentKind.DEDICATED else 0
        for number in range(1, count + 1):
            run = Run(
                id=self._ids.new("run"), deployment_id=place.id, tenant_id=place.tenant_id,
                number=number, kind=RunKind.UPDATE if number > 1 else RunKind.PROVISION,
                status=_ENDED[number % len(_ENDED)], requested_by="crm", requesters=("crm",),
                requested_at=self._now + timedelta(seconds=number), started_at=self._now,
                ended_at=self._now, updated_at=self._now,
            )  # fmt: skip
            if number > count - waits:
                yield from self._waiting(run)
            elif run.status is RunStatus.APPLIED:
                yield from self._applied(run)
            else:
                yield run
        self.crowd.run = run.id
        for seq in range(1, 11):
            yield RunEvent(
                run_id=run.id, seq=seq, time=self._now, kind="status", body={"status": "applying"}
            )

    def _applied(self, run: Run) -> Iterator[object]:
        evidence = Evidence(
            id=self._ids.new("evidence"), deployment_id=run.deployment_id, run_id=run.id,
            call_id="call", spec_number=1, state_digest=_DIGEST, ok=True,
            checks=tuple(Check(name=f"check_{n}", ok=True, detail="as planned") for n in range(5)),
            looked_at=self._now,
        )  # fmt: skip
        yield from (replace(run, evidence_id=evidence.id), evidence)

    def _waiting(self, run: Run) -> Iterator[object]:
        plan = Plan(
            id=self._ids.new("plan"), run_id=run.id, deployment_id=run.deployment_id,
            digest=_DIGEST, parts={"spec": _DIGEST}, resources=(),
            operations=tuple(
                Operation(
                    urn=f"urn:pulumi:s::tenantplane::aws:s3/bucket:Bucket::data-{n}",
                    type="aws:s3/bucket:Bucket", name=f"data-{n}", op="create",
                    irreversible=n == 0,
                )
                for n in range(_OPERATIONS)
            ),
            summary={"create": _OPERATIONS}, evaluation=Evaluation(ok=True, digest=_DIGEST),
            created_at=self._now,
        )  # fmt: skip
        approval = Approval(
            id=self._ids.new("approval"), run_id=run.id, plan_id=plan.id, plan_digest=_DIGEST,
            tenant_id=run.tenant_id, status=ApprovalStatus.WAITING, rule="dedicated", needed=1,
            roles=("ops_approver",), expires_at=self._now + timedelta(days=30),
            created_at=self._now, updated_at=self._now,
        )  # fmt: skip
        status = RunStatus.AWAITING_APPROVAL
        waiting = replace(
            run, status=status, plan_id=plan.id, approval_id=approval.id, started_at=None,
            ended_at=None,
        )  # fmt: skip
        yield from (waiting, plan, approval)

    # --- the audit logs ------------------------------------------------------------------------
    def _record(self, tenants: Sequence[str]) -> None:
        """Record the story of each tenant, as its runs would have."""
        rows = [row for tenant in tenants for row in self._events(tenant)]
        given = rows_given(rows, event=Uuid, tree=Text, body=Bytes)
        names = ["event_id", "tenant_id", "body"]
        with self._app.begin() as connection:
            connection.execute(audit_pending.insert().from_select(names, select(given)))

    def _events(self, tenant: str) -> Iterator[tuple[Any, str, bytes]]:
        run = self._ids.new("run")
        templates = []
        for action in _STORY:
            event = AuditEvent(
                id=self._ids.new("event"), tree=tenant, action=action, stage=Stage.COMPLETED,
                time=self._now, actor=system("worker"), run=run, targets=(("run", run),),
                request_id="rq-0123456789abcdef",
            )  # fmt: skip
            templates.append((event.id.encode(), encode_body(event, {})))
        for number in range(EVENTS_EACH):
            known, body = templates[number % len(templates)]
            own = self._ids.new("event")
            yield event_uuid(own), tenant, body.replace(known, own.encode())

    def _settle(self) -> None:
        """Wait until every event has its place and every log is signed; bring statistics up."""
        url = self.site.database_url_of("AUDITOR")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("SELECT set_config('tenantplane.trees', '*', false)")
            while connection.execute(
                "SELECT FROM audit_pending UNION ALL"
                " SELECT FROM audit_tree WHERE unsigned_since IS NOT NULL LIMIT 1"
            ).rowcount:
                time.sleep(0.5)
        with psycopg.connect(self.site.database_url_of("OWNER"), autocommit=True) as connection:
            connection.execute("VACUUM (ANALYZE)")
