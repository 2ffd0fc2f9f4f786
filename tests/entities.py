"""Entities of tests: a tenant with a deployment, a run, a plan and an approval, and more."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from control_plane.domain.actor import ActorKind
from control_plane.domain.amendment import Amendment
from control_plane.domain.approval import Approval, ApprovalStatus, Decision, ExcludedApprover
from control_plane.domain.approver_key import ApproverKey
from control_plane.domain.assignment import Assignment
from control_plane.domain.bundle import Bundle, BundleStatus, DownloadLink, Handover, Receipt
from control_plane.domain.calls import CallRecord
from control_plane.domain.canonical import digest
from control_plane.domain.delivery import Delivery, DeliveryStatus
from control_plane.domain.deployment import (
    Account,
    Deployment,
    DeploymentKind,
    DeploymentSpec,
    Desired,
)
from control_plane.domain.engine import (
    Check,
    Operation,
    OutputChange,
    PlannedResource,
    PropertyChange,
)
from control_plane.domain.evaluation import Evaluation, Violation
from control_plane.domain.evidence import Evidence
from control_plane.domain.finding import Finding, FindingKind
from control_plane.domain.finding_decision import FindingDecision, Verdict
from control_plane.domain.handover import ImportReport
from control_plane.domain.hold import Applying, Hold, HoldKind
from control_plane.domain.hub import Hub, HubStatus
from control_plane.domain.invitation import Meeting, Participant
from control_plane.domain.journey import Journey, JourneyStatus, JourneyStep, StepStatus
from control_plane.domain.message import Channel, Message, MessageClass
from control_plane.domain.onboarding_link import LINK_LIFE, OnboardingLink
from control_plane.domain.plan import Plan
from control_plane.domain.playbook import KeptPlaybook, StepKind
from control_plane.domain.reconciling import (
    DifferenceKind,
    IntakeFinding,
    IntakeFindingStatus,
    IntakeLook,
)
from control_plane.domain.removal import (
    Certificate,
    RemovalDecision,
    RemovalTopic,
    RemovalWord,
)
from control_plane.domain.run import Run, RunEvent, RunKind, RunStatus
from control_plane.domain.saga import Saga, SagaKind, SagaStatus, SagaStep, step_id
from control_plane.domain.stack_salt import StackSalt
from control_plane.domain.suppression import Suppression, SuppressionKind, address_digest
from control_plane.domain.task import Task, TaskStatus
from control_plane.domain.team import TeamRole
from control_plane.domain.tenant import (
    Contract,
    ProvisioningRequest,
    RefusedRequest,
    Tenant,
    TenantStatus,
)
from control_plane.ports.rows import IdempotencyRecord, UnitOfWork
from tests.time_and_ids import FixedClock, SeededIds

ASKER = "user:asks"
DECIDER = "user:decides"


@dataclass
class Entities:
    """Makes entities that fit together; ``changes`` override any field."""

    clock: FixedClock = field(default_factory=FixedClock)
    ids: SeededIds = field(default_factory=SeededIds)
    count: int = 0

    def _facts(self, facts: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        self.count += 1
        return {**facts, **changes}

    def tenant(self, **changes: Any) -> Tenant:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("tenant"), "slug": f"acme-{self.count}", "legal_name": "Acme Srl",
            "domain": "acme.example", "country": "IT", "time_zone": "Europe/Rome",
            "status": TenantStatus.REQUESTED, "facts": {"seats": 12, "nested": {"a": [1, "ü"]}},
            "editors": (ASKER,), "created_at": now, "updated_at": now,
        }  # fmt: skip
        return Tenant(**self._facts(facts, changes))

    def contract(self, tenant: Tenant, **changes: Any) -> Contract:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("contract"), "provider": "docusign",
            "envelope_id": f"envelope-{self.count}", "contract_id": f"C-{self.count}",
            "digest": digest(1),
            "signed_at": now, "subscription": "enterprise", "mode": "B", "seats": 12,
            "tenant_id": tenant.id, "created_at": now,
        }  # fmt: skip
        return Contract(**self._facts(facts, changes))

    def amendment(self, contract: Contract, **changes: Any) -> Amendment:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("amendment"), "number": f"A-{self.count}", "signed_at": now,
            "tenant_id": contract.tenant_id, "contract_ref": contract.id, "amended_by": ASKER,
            "amended_at": now,
        }  # fmt: skip
        return Amendment(**self._facts(facts, changes))

    def refusal(self, **changes: Any) -> RefusedRequest:
        facts = {
            "id": self.ids.new("refusal"), "provider": "docusign", "envelope_id": "envelope-1",
            "body_digest": digest(2), "code": "invalid_input", "requested_by": ASKER,
            "refused_at": self.clock.now(),
        }  # fmt: skip
        return RefusedRequest(**self._facts(facts, changes))

    def request(self, contract: Contract, **changes: Any) -> ProvisioningRequest:
        facts = {
            "id": self.ids.new("request"), "tenant_id": contract.tenant_id,
            "contract_ref": contract.id, "body": {"environment": "production"},
            "body_digest": digest(2), "requested_by": ASKER, "on_behalf_of": None,
            "created_at": self.clock.now(),
        }  # fmt: skip
        return ProvisioningRequest(**self._facts(facts, changes))

    def hub(self, **changes: Any) -> Hub:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("hub"), "region": "eu-west-1", "cell": f"c{self.count}",
            "capacity": 10, "status": HubStatus.REQUESTED, "created_at": now, "updated_at": now,
        }  # fmt: skip
        return Hub(**self._facts(facts, changes))

    def hold(self, owner: Tenant | Hub, **changes: Any) -> Hold:
        is_tenant = isinstance(owner, Tenant)
        facts = {
            "id": self.ids.new("hold"), "tenant_id": owner.id if is_tenant else None,
            "hub_id": None if is_tenant else owner.id, "kind": HoldKind.LEGAL,
            "applying": Applying.STOPS, "reason": "a court asked for it", "placed_by": ASKER,
            "placers": (ASKER, "asks"), "placed_at": self.clock.now(),
        }  # fmt: skip
        return Hold(**self._facts(facts, changes))

    def kept_playbook(self) -> KeptPlaybook:
        """Make the document that the journeys began with."""
        return KeptPlaybook(
            id="sha256:0", key="sample", version=1, content={}, kept_at=self.clock.now()
        )

    def journey(self, tenant: Tenant, **given: Any) -> Journey:
        """Make a journey of a tenant."""
        now = self.clock.now()
        return Journey(**{
            "id": self.ids.new("journey"), "tenant_id": tenant.id, "contract_ref": "ctr_1",
            "playbook_key": "sample", "playbook_version": 1, "playbook_digest": "sha256:0",
            "status": JourneyStatus.OPEN, "anchors": {"signed": now}, "started_at": now,
            "updated_at": now, **given,
        })  # fmt: skip

    def step(self, tenant: Tenant, **given: Any) -> JourneyStep:
        """Make a step of a journey of a tenant."""
        return JourneyStep(**{
            "id": "jny_1.talk", "journey_id": "jny_1", "tenant_id": tenant.id, "key": "talk",
            "kind": StepKind.MEETING, "owner": "csm", "status": StepStatus.WAITING,
            "updated_at": self.clock.now(), **given,
        })  # fmt: skip

    def task(self, tenant: Tenant, **given: Any) -> Task:
        """Make a task about a tenant."""
        return Task(**{
            "id": self.ids.new("task"), "tenant_id": tenant.id, "about_kind": "delivery",
            "about_id": "dlv_1", "owner": "ops", "title": "Look", "instructions": "Look at it.",
            "due_at": None, "status": TaskStatus.OPEN, "cause": None, "dedupe_key": "dlv_1",
            "created_at": self.clock.now(), **given,
        })  # fmt: skip

    def delivery(self, **changes: Any) -> Delivery:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("delivery"), "source": "docusign",
            "dedupe_key": f"key {self.count}", "account": None, "envelope_id": None,
            "event": "envelope-completed", "sha256": "0" * 64, "size": 2, "body": b"{}",
            "key_name": "docusign-1", "status": DeliveryStatus.RECEIVED, "code": None,
            "error": None, "request_id": None, "tenant_id": None, "times_received": 1,
            "received_at": now, "last_received_at": now, "turn": 1, "lost_turns": 0,
            "is_additional": False, "decided_by": None, "decision_reason": None,
            "decided_at": None, "settled_at": None, "version": 1,
        }  # fmt: skip
        return Delivery(**self._facts(facts, changes))

    def intake_finding(self, **changes: Any) -> IntakeFinding:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("intake_finding"), "source": "docusign",
            "kind": DifferenceKind.MISSING_THERE, "subject": "envelope-1", "digest": "a",
            "explanation": "the provider does not know it", "delivery_id": None,
            "tenant_id": None, "status": IntakeFindingStatus.OPEN, "found_at": now,
            "last_seen_at": now, "reason": None, "settled_by": None, "ended_at": None,
            "version": 1,
        }  # fmt: skip
        return IntakeFinding(**self._facts(facts, changes))

    def intake_look(self, **changes: Any) -> IntakeLook:
        facts = {
            "id": "docusign", "position": self.clock.now(), "checked": "", "turn": 1,
            "looked_at": None, "error": {"code": "a"}, "version": 1,
        }  # fmt: skip
        return IntakeLook(**self._facts(facts, changes))

    def message(self, tenant: Tenant, **changes: Any) -> Message:
        message_id = self.ids.new("message")
        facts = {
            "id": message_id, "tenant_id": tenant.id, "event": "step.blocked",
            "persona": "it_admin", "channel": Channel.EMAIL, "locale": "en",
            "message_class": MessageClass.TRANSACTIONAL, "recipient_name": "Ida Admin",
            "recipient_email": "ida@example.com",
            "data": {"step_title": "SSO", "missing": "the metadata"}, "secrets": {},
            "dedupe_key": f"key {self.count}", "message_id": f"<{message_id}@example.com>",
            "queued_at": self.clock.now(),
        }  # fmt: skip
        return Message(**self._facts(facts, changes))

    def assignment(self, tenant: Tenant, **changes: Any) -> Assignment:
        facts = {
            "id": self.ids.new("assignment"), "tenant_id": tenant.id, "role": TeamRole.CSM,
            "person_key": "csm-1", "segment": "standard", "weight": 1, "capacity": 1000,
            "is_queue_owner": False, "reason": "a step of a playbook",
            "explanation": ({"person": "csm-1", "why_not": None},), "assigned_by": ASKER,
            "since": self.clock.now(),
        }  # fmt: skip
        return Assignment(**self._facts(facts, changes))

    def meeting(self, tenant: Tenant, **changes: Any) -> Meeting:
        now, meeting_id = self.clock.now(), self.ids.new("meeting")
        ida = Participant(
            key="it_admin", roles=("it_admin",), name="Ida Admin", email="ida@example.com"
        )
        facts = {
            "id": meeting_id, "tenant_id": tenant.id, "kind": "kickoff",
            "uid": f"{meeting_id}@example.com", "title": "Kickoff", "zone": "Europe/Rome",
            "starts_at": now + timedelta(days=1), "ends_at": now + timedelta(days=1, hours=1),
            "attendees": (ida,), "missing": ("business_sponsor",), "created_at": now,
            "updated_at": now,
        }  # fmt: skip
        return Meeting(**self._facts(facts, changes))

    def suppression(self, local: str, **changes: Any) -> Suppression:
        facts = {
            "id": self.ids.new("suppression"), "domain": "example.com",
            "address_sha256": address_digest(f"{local}@example.com"),
            "kind": SuppressionKind.OPTED_OUT, "reason": "asked for it", "added_by": ASKER,
            "added_at": self.clock.now(),
        }  # fmt: skip
        return Suppression(**self._facts(facts, changes))

    def onboarding_link(self, tenant: Tenant, **changes: Any) -> OnboardingLink:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("onboarding_link"), "tenant_id": tenant.id,
            "recipient_hmac": "0" * 64, "nonce": "a nonce", "secret_hmac": "1" * 64,
            "issued_by": ASKER, "issued_at": now, "expires_at": now + LINK_LIFE,
        }  # fmt: skip
        return OnboardingLink(**self._facts(facts, changes))

    def saga(self, owner: Tenant | Hub, **changes: Any) -> Saga:
        is_tenant, now = isinstance(owner, Tenant), self.clock.now()
        facts = {
            "id": self.ids.new("saga"), "tenant_id": owner.id if is_tenant else None,
            "hub_id": None if is_tenant else owner.id, "kind": SagaKind.REMOVAL,
            "status": SagaStatus.WORKING, "step": "destroy", "reason": "the contract ended",
            "requested_by": ASKER, "requesters": (ASKER, "asks"), "started_at": now,
            "updated_at": now,
        }  # fmt: skip
        return Saga(**self._facts(facts, changes))

    def saga_step(self, saga: Saga, number: int = 1, **changes: Any) -> SagaStep:
        facts = {
            "id": step_id(saga.id, number), "saga_id": saga.id, "number": number,
            "name": saga.step, "is_undo": False, "started_at": self.clock.now(),
        }  # fmt: skip
        return SagaStep(**self._facts(facts, changes))

    def removal_decision(self, saga: Saga, **changes: Any) -> RemovalDecision:
        facts = {
            "id": self.ids.new("removal_decision"), "saga_id": saga.id,
            "topic": RemovalTopic.EXPORT, "word": RemovalWord.EXPORT_ACKNOWLEDGED,
            "digest": digest(9), "counts": {"data": 3}, "actor_id": DECIDER, "person": DECIDER,
            "actor_kind": "user", "reason": "it is there", "decided_at": self.clock.now(),
        }  # fmt: skip
        return RemovalDecision(**self._facts(facts, changes))

    def import_report(self, saga: Saga, **changes: Any) -> ImportReport:
        facts = {
            "id": self.ids.new("import_report"), "saga_id": saga.id, "manifest_digest": digest(11),
            "digest": digest(12), "body": {"schema_version": 1}, "registered_by": DECIDER,
            "registered_at": self.clock.now(),
        }  # fmt: skip
        return ImportReport(**self._facts(facts, changes))

    def certificate(self, saga: Saga, **changes: Any) -> Certificate:
        facts = {
            "id": self.ids.new("certificate"), "saga_id": saga.id, "tenant_id": saga.tenant_id,
            "hub_id": saga.hub_id, "body": {"certificate": 1}, "digest": digest(10),
            "issued_at": self.clock.now(),
        }  # fmt: skip
        return Certificate(**self._facts(facts, changes))

    def account(self, **changes: Any) -> Account:
        facts = {
            "id": self.ids.new("account"), "account_id": f"{self.count:012d}",
            "role_arn": None, "external_id": None, "shared": False, "claimed_by": None,
            "created_at": self.clock.now(),
        }  # fmt: skip
        return Account(**self._facts(facts, changes))

    def deployment(self, tenant: Tenant | None, **changes: Any) -> Deployment:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("deployment"), "tenant_id": tenant.id if tenant else None,
            "hub_id": None, "kind": DeploymentKind.DEDICATED, "environment": "production",
            "region": "eu-west-1", "account_id": "123456789012",
            "stack": f"acme-{self.count}.production.b", "created_at": now, "updated_at": now,
        }  # fmt: skip
        return Deployment(**self._facts(facts, changes))

    def salt(self, deployment: Deployment, **changes: Any) -> StackSalt:
        facts = {
            "id": deployment.id, "salt": self.ids.secret(), "is_late": False,
            "made_at": self.clock.now(),
        }  # fmt: skip
        return StackSalt(**self._facts(facts, changes))

    def run(self, deployment: Deployment, **changes: Any) -> Run:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("run"), "deployment_id": deployment.id,
            "tenant_id": deployment.tenant_id, "kind": RunKind.PROVISION,
            "number": self.count + 1, "requesters": (ASKER,),
            "status": RunStatus.REQUESTED, "requested_by": ASKER, "requested_at": now,
            "updated_at": now,
        }  # fmt: skip
        return Run(**self._facts(facts, changes))

    def spec(self, deployment: Deployment, number: int = 1, **changes: Any) -> DeploymentSpec:
        facts = {
            "id": f"{deployment.id}.{number}", "deployment_id": deployment.id, "number": number,
            "document": {"region": "eu-west-1"}, "digest": digest(7), "desired": Desired.PRESENT,
            "made_by": ASKER, "made_at": self.clock.now(),
        }  # fmt: skip
        return DeploymentSpec(**self._facts(facts, changes))

    def call(self, run: Run, number: int = 1, **changes: Any) -> CallRecord:
        now = self.clock.now()
        facts = {
            "id": f"{run.id}.{number}", "run_id": run.id, "deployment_id": run.deployment_id,
            "number": number, "worker": "worker-1", "host": "host-a",
            "begun_at": now, "deadline_at": now + timedelta(hours=1),
        }  # fmt: skip
        return CallRecord(**self._facts(facts, changes))

    def evidence(self, run: Run, **changes: Any) -> Evidence:
        facts = {
            "id": self.ids.new("evidence"), "deployment_id": run.deployment_id, "run_id": run.id,
            "call_id": f"{run.id}.1", "spec_number": 1, "state_digest": digest(8), "ok": True,
            "checks": (Check(name="answers_in_cloud", ok=True, detail="2 resources answered"),),
            "looked_at": self.clock.now(),
        }  # fmt: skip
        return Evidence(**self._facts(facts, changes))

    def finding(self, run: Run, **changes: Any) -> Finding:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("finding"), "deployment_id": run.deployment_id,
            "tenant_id": run.tenant_id, "kind": FindingKind.CHANGED,
            "subject": "urn:pulumi:acme::tenantplane::aws:s3/bucket:Bucket::data",
            "type": "aws:s3/bucket:Bucket", "path": f"tags.t{self.count}", "expected": "private",
            "actual": {"public": [True, 1]}, "first_seen_by": run.id, "first_seen_at": now,
            "last_seen_by": run.id, "last_seen_at": now,
        }  # fmt: skip
        return Finding(**self._facts(facts, changes))

    def finding_decision(self, finding: Finding, **changes: Any) -> FindingDecision:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("finding_decision"), "finding_id": finding.id,
            "tenant_id": finding.tenant_id, "verdict": Verdict.WAIVE, "value_digest": digest(9),
            "until": now + timedelta(days=1), "run_id": None, "reason": "known",
            "decided_by": "olga", "person": "olga", "actor_kind": ActorKind.USER,
            "decided_at": now,
        }  # fmt: skip
        return FindingDecision(**self._facts(facts, changes))

    def event(self, run: Run, seq: int, **changes: Any) -> RunEvent:
        facts = {
            "run_id": run.id, "seq": seq, "time": self.clock.now(), "kind": "phase",
            "body": {"phase": "plan"},
        }  # fmt: skip
        return RunEvent(**self._facts(facts, changes))

    def plan(self, run: Run, **changes: Any) -> Plan:
        facts = {
            "id": self.ids.new("plan"), "run_id": run.id, "deployment_id": run.deployment_id,
            "digest": digest(["plan", self.count]), "parts": {"spec": digest(3)},
            "operations": (
                Operation(
                    urn="urn:a", type="aws:s3/bucket:Bucket", name="a", op="create",
                    changes=(PropertyChange(path="ports", kind="add", after=[1, 2]),),
                ),
            ),
            "outputs": (OutputChange(name="url", kind="add", after="https://a"),),
            "resources": (
                PlannedResource(
                    urn="urn:a", type="aws:s3/bucket:Bucket", name="a", operation="create",
                    inputs={"ports": [1, 2]},
                ),
            ),
            "evaluation": Evaluation(
                ok=True, digest=digest(6),
                violations=(
                    Violation(
                        rule="missing_tags", address="urn:a", enforcement="advisory",
                        reason="it has none", remedy="add some",
                    ),
                ),
            ),
            "summary": {"create": 1}, "created_at": self.clock.now(),
        }  # fmt: skip
        return Plan(**self._facts(facts, changes))

    def approval(self, plan: Plan, **changes: Any) -> Approval:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("approval"), "run_id": plan.run_id, "plan_id": plan.id,
            "plan_digest": plan.digest, "tenant_id": None, "status": ApprovalStatus.WAITING,
            "rule": "dedicated", "needed": 1, "roles": ("ops_approver",),
            "expires_at": now + timedelta(hours=72), "created_at": now, "updated_at": now,
        }  # fmt: skip
        return Approval(**self._facts(facts, changes))

    def barred(self, approval: Approval, subject: str = ASKER) -> ExcludedApprover:
        return ExcludedApprover(
            id=f"{approval.id}:{subject}", approval_id=approval.id, subject=subject,
            reason="requester",
        )  # fmt: skip

    def decision(self, approval: Approval, **changes: Any) -> Decision:
        facts = {
            "id": self.ids.new("decision"), "approval_id": approval.id, "decision": "approve",
            "plan_digest": approval.plan_digest, "actor_id": DECIDER, "person": DECIDER,
            "actor_kind": "user",
            "reason": "read it", "decided_at": self.clock.now(),
        }  # fmt: skip
        return Decision(**self._facts(facts, changes))

    def approver_key(self, name: str, **changes: Any) -> ApproverKey:
        facts = {
            "id": self.ids.new("approver_key"), "actor_id": "many", "person": "many",
            "kind": "ssh-ed25519", "public_key": f"ssh-ed25519 {name}", "fingerprint": name,
            "statement": "{}", "signature": "AA==", "enrolled_at": self.clock.now(),
        }  # fmt: skip
        return ApproverKey(**self._facts(facts, changes))

    def bundle(self, deployment: Deployment, **changes: Any) -> Bundle:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("bundle"), "tenant_id": deployment.tenant_id,
            "deployment_id": deployment.id, "number": 1,
            "status": BundleStatus.AWAITING_ARCHITECT, "inputs": {"region": "eu-west-1"},
            "created_at": now, "updated_at": now,
        }  # fmt: skip
        return Bundle(**self._facts(facts, changes))

    def handover(self, bundle: Bundle, **changes: Any) -> Handover:
        facts = {
            "id": self.ids.new("handover"), "bundle_id": bundle.id, "recipient_name": "Ada",
            "recipient_email": "ada@acme.example", "handed_over_by": DECIDER,
            "handed_over_at": self.clock.now(),
        }  # fmt: skip
        return Handover(**self._facts(facts, changes))

    def link(self, handover: Handover, **changes: Any) -> DownloadLink:
        now = self.clock.now()
        facts = {
            "id": self.ids.new("link"), "bundle_id": handover.bundle_id,
            "handover_id": handover.id, "token_hash": digest(["token", self.count]),
            "expires_at": now + timedelta(hours=72), "uses": 0, "created_at": now,
        }  # fmt: skip
        return DownloadLink(**self._facts(facts, changes))

    def receipt(self, bundle: Bundle, **changes: Any) -> Receipt:
        facts = {
            "id": self.ids.new("receipt"), "bundle_id": bundle.id, "digest": digest(4),
            "body": {"vpc_id": "vpc-1"}, "registered_by": DECIDER,
            "registered_at": self.clock.now(),
        }  # fmt: skip
        return Receipt(**self._facts(facts, changes))

    def idempotency(self, **changes: Any) -> IdempotencyRecord:
        now = self.clock.now()
        facts: dict[str, Any] = {
            "id": digest(["key", self.count])[7:], "body_digest": digest(5),
            "response_status": None, "response_body": None, "response_headers": {},
            "created_at": now, "expires_at": now + timedelta(hours=48),
        }  # fmt: skip
        return IdempotencyRecord(**self._facts(facts, changes))


@dataclass(frozen=True)
class Waiting:
    """A run whose plan waits for a decision."""

    tenant: Tenant
    deployment: Deployment
    run: Run
    plan: Plan
    approval: Approval


def store_waiting(uow: UnitOfWork, make: Entities) -> Waiting:
    """Store a run that waits, with its requester barred; the caller commits."""
    tenant = make.tenant()
    deployment = make.deployment(tenant)
    run = make.run(deployment)
    plan = make.plan(run)
    approval = make.approval(plan)
    now = make.clock.now()
    run = run.moved(RunStatus.PLANNING, now).moved(
        RunStatus.AWAITING_APPROVAL, now, plan_id=plan.id, approval_id=approval.id
    )
    uow.tenants.add(tenant)
    uow.deployments.add(deployment)
    uow.runs.add(run)
    uow.plans.add(plan)
    uow.approvals.add(approval)
    uow.barred.add(make.barred(approval))
    return Waiting(tenant, deployment, run, plan, approval)
