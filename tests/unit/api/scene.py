"""The HTTP API over a control plane of the test, with a tenant of every sort, and callers."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from api.app import create_app
from api.auth import Identity
from api.claims import TokenRules
from api.dependencies import Shared
from api.openapi import document
from control_plane.adapters.identity.embedded import ISSUER, EmbeddedIssuer, create_issuer_key
from control_plane.adapters.identity.embedded_sign_in import EmbeddedSignIn
from control_plane.adapters.rules.journeys import FolderPlaybooks
from control_plane.domain.actor import Role
from control_plane.domain.engine import Drift
from control_plane.domain.hold import HoldKind
from control_plane.domain.message import Recipient
from control_plane.domain.reconciling import Difference, DifferenceKind
from control_plane.domain.suppression import SuppressionKind
from control_plane.domain.tenant import Tenant
from control_plane.ports.events import Attempt
from control_plane.services import (
    accounts,
    bundles,
    deliveries,
    disclosures,
    drift,
    erasures,
    holds,
    subscriptions,
    suppressions,
    sweeps,
)
from control_plane.services.performing import perform
from control_plane.workflows.beginning import begin_journeys, journeys_of
from control_plane.workflows.outbox import post
from control_plane.workflows.publishing import publish_sealing_key
from control_plane.workflows.reconciling import open_finding
from tests.approver_hands import OLGA, Hand, enrolled
from tests.entities import Entities
from tests.journeys import sample
from tests.receipts import receipt_of
from tests.scripted_provider import ScriptedDeals, ScriptedProvider, asking
from tests.signed import allowing_account, as_bytes, docusign, docusign_headers, install_keys
from tests.world import ACCOUNT, ARCHITECT, AUDITOR, World, machine, request_body
from tests.world import ADMIN as WORLD_ADMIN

AUDIENCE = "tenantplane-tests"
PROBLEM = "application/problem+json"
MACHINES = {Role.AUTOMATION}
NOBODY = machine("unknown")
SECONDS = 30.0
WITH_BODY = ("DELETE", "onboarding-link")  # its reason
ROOT = Path(__file__).resolve().parents[3]
DECIDER = Hand(f"some-{Role.OPS_APPROVER}")
_numbers = itertools.count(1)


class Api:
    """Calls the application without a network. ``who`` is a role, a token or None."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        key = folder / "issuer.pem"
        if not key.exists():
            create_issuer_key(key)
        self.issuer = EmbeddedIssuer(key, audience=AUDIENCE)
        self.ticks: Callable[[], float] = time.monotonic
        self.identity = Identity(
            rules=TokenRules(issuer=ISSUER, audience=AUDIENCE),
            fetch=self.issuer.keys,
            ticks=self.now,
        )
        self.parts = {"database": "ok"}
        self.local = EmbeddedSignIn(self.issuer)
        self.shared = Shared(
            settings=[("TENANTPLANE_HOME", "/srv/home", "Where files are.")],
            core=self.world.core,
            identity=self.identity,
            base_url="http://localhost:8080",
            page_key=b"k" * 32,
            readiness=lambda: self.parts,
            local_sign_in=self.local,
            sign_in=self.local,
        )
        self.app: FastAPI = create_app(self.shared)

    def now(self) -> float:
        """Return the seconds that the identity's keys age by; a test sets ``ticks``."""
        return self.ticks()

    def token(self, role: Role, *, subject: str | None = None, tenants: tuple[str, ...] = ("*",),
              **more: Any) -> str:  # fmt: skip
        """Return a token of somebody with a role."""
        name = subject or f"some-{role}"
        machine = role in MACHINES
        return self.issuer.mint(name, roles=[role], tenants=tenants, machine=machine, **more)

    def call(
        self,
        method: str,
        path: str,
        who: Role | str | None = None,
        *,
        json: Any = None,
        content: bytes | Any = None,
        key: str | None = "",
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Call; ``key`` is the Idempotency-Key: empty for a new one, None for none."""
        sent = dict(headers or {})
        if isinstance(who, Role):
            who = self.token(who)
        if who is not None:
            sent["Authorization"] = f"Bearer {who}"
        if method != "GET" and key is not None:
            sent["Idempotency-Key"] = key or f"key-{next(_numbers)}"
        if content is not None:
            sent.setdefault("Content-Type", "application/json")

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
                answer = await client.request(
                    method, path, json=json, content=content, headers=sent, timeout=SECONDS
                )
                await answer.aread()
                return answer

        return asyncio.run(asyncio.wait_for(ask(), SECONDS))

    def created(self, path: str, who: Role, body: Any) -> Any:
        """Create something and return its view."""
        answer = self.call("POST", path, who, json=body)
        assert answer.status_code in {201, 202}, answer.text
        return answer.json()

    def events(self, act: Callable[[], httpx.Response]) -> tuple[httpx.Response, list[str]]:
        """Do ``act`` and return the answer with what it recorded: ``action:stage``."""
        before = len(self.world.events())
        answer = act()
        return answer, self.world.actions()[before:]


class Scene:
    """An API with tenants in every state that routes act on; ``ids`` names what exists.

    With ``like``, over a world that is already like that of another scene.
    """

    def __init__(self, world: World, folder: Path, *, like: Scene | None = None) -> None:
        if like is None:
            install_keys(world.core)
        world.core = asking(
            allowing_account(world.core), ScriptedProvider(), world.clock.now(), ScriptedDeals()
        )
        self.api = Api(world, folder)
        self.world = world
        if like is None:
            self._make(world)
        else:
            self.conflict, self.slice_run_id = like.conflict, like.slice_run_id
            self.ids, self.plan_digest = dict(like.ids), like.plan_digest
            self.personal, self.erasure_digest = like.personal, like.erasure_digest
        self.missing = {
            name: f"{value[:4]}{'0' * 26}" if name != "path" else value
            for name, value in self.ids.items()
        }

    def _make(self, world: World) -> None:
        hub_id = world.ready_hub()
        slice_ = world.submit("A", 1)
        dedicated = world.submit("B", 2)
        customer = world.submit("C", 3)
        self.conflict = world.submit("A", 4, data_must_stay_in_customer_cloud=True)
        world.work()
        run = world.run(dedicated.run_id)
        taken = perform(world.core, ARCHITECT, bundles.accept_bundle, customer.bundle_id or "")
        bundle = perform(
            world.core, ARCHITECT, bundles.edit_bundle, taken.id,
            inputs={"account_id": "210987654321"}, if_version=taken.version,
        )  # fmt: skip
        hold = perform(
            world.core, WORLD_ADMIN, holds.place_on_tenant, customer.tenant.id,
            kind=HoldKind.SAFETY, reason="somebody called",
        )  # fmt: skip
        self.slice_run_id = slice_.run_id or ""
        self.ids: dict[str, str] = {
            "request_id": dedicated.request.id,
            "key": dedicated.tenant.id,
            "hub_id": hub_id,
            "account_id": ACCOUNT,
            "run_id": run.id,
            "approval_id": run.approval_id,
            "bundle_id": bundle.id,
            "step_key": "verify_identity",
            "link_id": "lnk_01JD3ZK4Q0V8X2M6N7P9R5T1WY",
            "hold_id": hold.id,
            "saga_id": "sga_01JD3ZK4Q0V8X2M6N7P9R5T1WY",
            "tree": dedicated.tenant.id,
            "path": "checkpoint",
            "finding_id": self._finding_of(hub_id),
            "sweep_id": perform(world.core, WORLD_ADMIN, sweeps.request_sweep).sweep.id,
            "source": "docusign",
            "delivery_id": self.held_delivery(901),
            "intake_finding_id": self.intake_finding(customer.tenant.id),
            **self.subscribed(dedicated.tenant.id),
            "meeting_id": self.meeting_of(dedicated.tenant.id),
            "message_id": self.message_of(dedicated.tenant.id, "scene"),
            "suppression_id": self.suppression("nobody@example.com"),
            "approver_key_id": self._keys_of(OLGA),
            **self._journey_of(dedicated.tenant),
            **self._personal_values_of(dedicated.tenant.id),
        }
        self.plan_digest = self.plan_of(run.id)

    def _keys_of(self, owner: Hand) -> str:
        """Let who decides have a key that counts, enroll another one, and return its id."""
        enrolled(self.world, DECIDER)
        return owner.enroll(self.world).id

    def _personal_values_of(self, tenant_id: str) -> dict[str, str]:
        """Let somebody ask for a grant on values of a log, and for the erasure of some."""
        core = self.world.core
        self.personal = next(
            (event.body["id"], path) for event in self.world.events() if event.tree == tenant_id
            for path in event.personal
        )  # fmt: skip
        grant = perform(core, AUDITOR, disclosures.ask_for_grant, tenant_id, reason="an audit")
        erasure = perform(
            core, AUDITOR, erasures.ask_for_erasure, tenant_id,
            reason="they asked", legal_reference="GDPR Art. 17", values=[self.personal],
        )  # fmt: skip
        self.erasure_digest = erasure.digest
        return {"grant_id": grant.id, "erasure_id": erasure.id}

    def _finding_of(self, hub_id: str) -> str:
        """Let a look find something of a Hub, and return the finding's id."""
        self.world.engine.drift = (
            Drift(kind="changed", subject="urn:of-a-hub", type="aws:kms/key:Key", path="tags.a"),
        )
        perform(self.world.core, WORLD_ADMIN, drift.request_hub_check, hub_id)
        self.world.work()
        self.world.engine.drift = ()
        return str(next(iter(self.world.rows("finding"))))

    def message_of(self, tenant_id: str, key: str) -> str:
        """Queue a message about a tenant that is not sent, and return its id."""
        with self.world.core.act() as act:
            message = post(
                act, tenant=act.uow.tenants.need(tenant_id), event="step.blocked",
                persona="it_admin", recipient=Recipient(name="Ida", email="ida@example.com"),
                data={"step_title": "SSO", "missing": "the metadata"}, dedupe_key=key,
            )  # fmt: skip
            act.uow.commit()
        self.world.work()
        return message.id

    def suppression(self, email: str) -> str:
        """Let an address get no messages, and return the suppression's id."""
        return perform(
            self.world.core, WORLD_ADMIN, suppressions.add_suppression,
            email=email, kind=SuppressionKind.OPTED_OUT, reason="asked for it",
        ).id  # fmt: skip

    def _journey_of(self, tenant: Tenant) -> dict[str, str]:
        """Let a tenant be on a journey that waits for operations; its ids."""
        step = (
            "- {key: talk, kind: meeting, title: Talk, owner: ops}\n"
            "- {key: mail, kind: action, title: Fails without a handler, owner: ops,"
            " action: message.send, with: {event: tenant.ready, persona: it_admin}}\n"
        )
        self.world.core = replace(self.world.core, actions={})
        core = replace(self.world.core, playbooks=FolderPlaybooks([sample(step)]))
        with core.act() as act:
            (contract,) = act.uow.contracts.find(tenant_id=tenant.id)
            found = journeys_of(act, tenant, contract, trigger="contract.signed", is_settled=True)
            begin_journeys(act, found)
            act.uow.commit()
        self.world.work()
        (journey_id,) = self.world.rows("journey")
        (task_id,) = (each.id for each in self.world.rows("task").values() if each.title == "Talk")
        return {"journey_id": journey_id, "step": "mail", "task_id": task_id}

    def held_delivery(self, number: int) -> str:
        """Let a second contract of the first company be delivered, and return its delivery."""
        body = as_bytes(docusign(number, Domain="customer1.example.com"))
        found = deliveries.receive_delivery(
            self.world.core, NOBODY, "docusign", headers=docusign_headers(body), body=body
        )
        self.world.work()
        return found

    def intake_finding(self, tenant_id: str, digest: str = "a") -> str:
        """Let a look find that a provider does not know the contract of a tenant."""
        difference = Difference(
            kind=DifferenceKind.MISSING_THERE, subject="envelope-1", digest=digest,
            explanation="the provider does not know the envelope", tenant_id=tenant_id,
        )  # fmt: skip
        with self.world.core.act() as act:
            open_finding(act, "docusign", difference)
            act.uow.commit()
        return str(list(self.world.rows("intake_finding"))[-1])

    def subscribed(self, tenant_id: str) -> dict[str, str]:
        """Subscribe to the events of a tenant; returns the ids, of one that was sent too."""
        core = self.world.core
        perform(core, WORLD_ADMIN, publish_sealing_key)
        found = perform(
            core, WORLD_ADMIN, subscriptions.create_subscription,
            url="http://127.0.0.1:9/", types=["*"], tenant_id=tenant_id,
        ).subscription  # fmt: skip
        sent = perform(core, WORLD_ADMIN, subscriptions.ping_subscription, found.id)
        with core.act() as act:
            act.uow.publications.took(sent, Attempt(at=act.now(), answer_code=204))
            act.uow.commit()
        return {"subscription_id": found.id, "sent_id": str(sent.id)}

    def meeting_of(self, tenant_id: str) -> str:
        """Invite to a kickoff, and return the meeting's id."""
        with self.world.core.uow() as uow:
            tenant = uow.tenants.need(tenant_id)
            meeting = Entities(clock=self.world.clock, ids=self.world.ids).meeting(tenant)
            uow.meetings.add(meeting)
            uow.commit()
        return meeting.id

    def free_account(self) -> str:
        """Put an account into the pool that no deployment is in, and return its number."""
        number = f"{2 * 10**11 + next(_numbers):012d}"
        perform(
            self.world.core, WORLD_ADMIN, accounts.add_account,
            account_id=number, role_arn=None, external_id=None, shared=False,
        )  # fmt: skip
        return number

    def plan_of(self, run_id: str) -> str:
        """Return the digest of a run's plan."""
        with self.world.core.uow() as uow:
            plan = uow.plans.get(self.world.run(run_id).plan_id)
        assert plan is not None
        return plan.digest

    def built_bundle(self) -> str:
        """Build the Mode C bundle and return its id."""
        perform(self.world.core, ARCHITECT, bundles.build_bundle, self.ids["bundle_id"])
        self.world.work()
        return self.ids["bundle_id"]

    def receipt(self) -> dict[str, Any]:
        """Return the receipt that the built bundle's apply would print."""
        with self.world.core.uow() as uow:
            bundle = uow.bundles.get(self.ids["bundle_id"])
        assert bundle is not None
        return receipt_of(bundle)

    def body(self, path: str) -> dict[str, Any]:
        """Return a valid body for a mutating route, as the document names it."""
        number = 1000 + next(_numbers)
        last = path.rsplit("/", 1)[-1]
        bodies: dict[str, Any] = {
            "provisioning-requests": request_body("A", number),
            "mode-resolutions": {"subscription": "enterprise"},
            "mode-decision": {"facts": None, "reason": "talked to them"},
            "mode": {"confirm": True, "reason": "agreed at the kickoff"},
            "changes": {"facts": {"seats": 2000}, "reason": "the contract was amended"},
            "slice-updates": {"reason": "the Hub has changed"},
            "pause": {"reason": "maintenance"},
            "resume": {"reason": "maintenance has ended"},
            "holds": {"kind": "safety", "reason": "something is wrong"},
            "release": {"reason": "it is right again"},
            "removal": {"reason": "the contract ended"},
            "export-acknowledgement": {
                "manifest_digest": "sha256:" + "a" * 64, "counts": {"data": 3}, "reason": "done",
            },
            "export-waiver": {"reason": "there is no data"},
            "customer-attestation": {"receipt": None, "reason": "they said so"},
            "first-copy": {"reason": "it has arrived"},
            "database-dump": {"dump_digest": "sha256:" + "d" * 64, "reason": "made today"},
            "import-report": {"report": {"schema_version": 1}},
            "{step_key}": {"version": 0, "answers": {"name": "Ida Admin"}},
            "complete": {"version": 2},
            "reopen": {"version": 3, "resets": [], "reason": "something changed"},
            "onboarding-link": {"reason": "the wrong person has it"},
            "retention": {"until": f"{2100 + number % 7000}-01-01T00:00:00Z", "reason": "a law"},
            "withdraw": {"reason": "the customer stays"},
            "hubs": {"region": "eu-west-1", "cell": f"c{number}"},
            "accounts": {"account_id": f"{3 * 10**11 + number:012d}"},
            "{account_id}": {"role_arn": f"arn:aws:iam::{ACCOUNT}:role/provision"},
            "decisions": {
                "decision": "approve", "plan_digest": self.plan_digest, "reason": "read it",
            },
            "approver-keys": Hand(DECIDER.name, seed=str(number)).enrollment(
                self.world.clock.now()
            ),
            "confirmation": DECIDER.confirmation(self.world, OLGA)[1],
            "revocation": {"reason": "it was lost"},
            "withdrawal": {"reason": "not sure any more"},
            "{bundle_id}": {"inputs": {"region": "eu-west-1"}},
            "hand-over": {"recipient_name": "Ida", "recipient_email": "ida@example.com"},
            "receipts": {"receipt": {"content_digest": "sha256:0"}},
            "people": {"role": "csm", "reason": "somebody has left"},
            "move": {
                "starts_at": f"{2027 + number % 170}-12-02T09:00:00Z", "reason": "they asked",
            },
            "send-again": {"reason": "there is a mail system now"},
            "suppressions": {"email": "eva@example.com", "kind": "opted_out", "reason": "asked"},
            "lift": {"reason": "it was a typo"},
            "skip": {"reason": "not needed"},
            "cancel": {"reason": "void"} if "journeys" in path else {},
            "done": {"answer": "we met"} if "tasks" in path else {"reason": "we met"},
            "reassign": {"assignee": "Olga"},
            "replay": {"reason": "the mapping was mended"},
            "settle": {"reason": "clarified with the provider"},
            "event-subscriptions": {"url": "http://127.0.0.1:9/", "types": ["tenant.*"]},
            "{subscription_id}": {"types": ["bundle.*"]},
        }  # fmt: skip
        event, value = self.personal
        bodies["disclosures"] = {"idx": self._entry(event), "reason": "a claim"}
        bodies["grants"] = {"paths": ["contacts"], "reason": "an audit"}
        bodies["erasures"] = {
            "values": [{"event_id": event, "path": value}], "legal_reference": "GDPR Art. 17",
            "reason": "they asked",
        }  # fmt: skip
        bodies["confirm"] = {"reason": "agreed"}
        if "{erasure_id}" in path:
            bodies["confirm"]["digest"] = self.erasure_digest
        if path == "/v1/hubs/{hub_id}/changes":
            return {"capacity": 20, "reason": "it grows"}
        until = (self.world.clock.now() + timedelta(days=1)).isoformat()
        waiver = {"decision": "waive", "reason": "known", "until": until}
        bodies["decision"] = waiver
        bodies["drift-sweeps"] = {"minutes": 5}
        if path.startswith("/v1/event-subscriptions"):
            bodies["replay"] = {} if "{sent_id}" in path else {"since": "2026-01-01T00:00:00Z"}
            bodies["resume"] = {}
        if path.startswith("/v1/messages"):
            bodies["cancel"] = {"reason": "it is not needed"}
        if path.startswith("/v1/meetings") and last == "cancel":
            return {"reason": "they asked"}
        if path.startswith("/v1/deliveries"):
            bodies["decision"] = {"decision": "dismiss", "reason": "sent by mistake"}
        if path.endswith("drift/decisions"):
            return {**waiver, "findings": [self.ids["finding_id"]]}
        return dict(bodies.get(last, {}))

    def _entry(self, event_id: str) -> int:
        own = [each for each in self.world.events() if each.tree == self.ids["tree"]]
        return [each.body["id"] for each in own].index(event_id)

    def ask(
        self,
        method: str,
        path: str,
        who: Role | str | None,
        *,
        ids: Mapping[str, str] | None = None,
        **more: Any,
    ) -> httpx.Response:
        """Call a route as the document names it, validly, on what exists or on ``ids``."""
        address = path.format(**(ids or self.ids))
        if path.endswith("/proof"):
            address += "?idx=0"
        if method in {"POST", "PUT", "PATCH"} or (method, path.rpartition("/")[2]) == WITH_BODY:
            more.setdefault("json", self.body(path))
        headers = {"If-Match": '"3"', **more.pop("headers", {})}
        return self.api.call(method, address, who, headers=headers, **more)


@cache
def written() -> dict[str, Any]:
    """Return the OpenAPI document as ``python -m api.openapi`` writes it."""
    return document()


def is_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Expect a problem document and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    content = dict(answer.json())
    assert content["code"] == code, content
    assert content["type"] == f"/problems/{code}"
    assert content["status"] == status
    assert content["instance"] == answer.headers["x-request-id"]
    assert content["title"]
    assert content["detail"]
    return content


def comparable(answer: httpx.Response) -> tuple[int, Any, dict[str, str]]:
    """Return all that a caller sees of an answer but the id of the request."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    is_json = "json" in answer.headers.get("content-type", "")
    content = answer.json() if is_json else answer.content
    if isinstance(content, dict):
        content.pop("instance", None)
    return answer.status_code, content, headers
