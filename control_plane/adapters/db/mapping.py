"""Which dataclass lives in which table. Columns and fields have the same names and order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import Table

from control_plane.adapters.db import (
    approver_tables,
    console_tables,
    delivery_tables,
    disclosure_tables,
    erasure_tables,
    event_tables,
    intake_look_tables,
    journey_tables,
    look_tables,
    message_tables,
    onboarding_step_tables,
    onboarding_tables,
    run_tables,
    saga_tables,
    staffing_tables,
    tables,
)
from control_plane.domain.amendment import Amendment
from control_plane.domain.approval import Approval, Decision, ExcludedApprover, Withdrawal
from control_plane.domain.approver_key import ApproverKey
from control_plane.domain.assignment import Assignment
from control_plane.domain.bundle import Bundle, DownloadLink, Handover, Receipt
from control_plane.domain.calls import CallRecord
from control_plane.domain.console_session import ConsoleSession
from control_plane.domain.delivery import Delivery
from control_plane.domain.deployment import Account, Deployment, DeploymentSpec
from control_plane.domain.disclosure import DisclosureGrant, Erasure
from control_plane.domain.evidence import Evidence
from control_plane.domain.finding import Finding
from control_plane.domain.finding_decision import FindingDecision
from control_plane.domain.handover import ImportReport
from control_plane.domain.hold import Hold
from control_plane.domain.hub import Hub
from control_plane.domain.invitation import Meeting
from control_plane.domain.journey import Journey, JourneyStep
from control_plane.domain.message import Message
from control_plane.domain.onboarding_link import OnboardingLink, OnboardingSession
from control_plane.domain.onboarding_step import OnboardingStep, StepVersion
from control_plane.domain.plan import Plan
from control_plane.domain.playbook import KeptPlaybook
from control_plane.domain.queue_pause import QueuePause
from control_plane.domain.reconciling import IntakeFinding, IntakeLook
from control_plane.domain.removal import Certificate, RemovalDecision
from control_plane.domain.residence import Residence
from control_plane.domain.rules import LoadedDocument
from control_plane.domain.run import Run, RunEvent
from control_plane.domain.saga import Saga, SagaStep
from control_plane.domain.stack_salt import StackSalt
from control_plane.domain.subscription import EventSubscription
from control_plane.domain.suppression import Suppression
from control_plane.domain.sweep import Sweep
from control_plane.domain.task import Task
from control_plane.domain.tenant import Contract, ProvisioningRequest, RefusedRequest, Tenant
from control_plane.domain.timers import Timer
from control_plane.ports.rows import IdempotencyRecord

T = TypeVar("T")


class Mapped(Generic[T]):
    """An entity and its table."""

    def __init__(self, entity: type[T], table: Table) -> None:
        self.entity = entity
        self.table = table
        self.names = tuple(field.name for field in fields(entity))  # type: ignore[arg-type]  # every entity is a dataclass; a type variable cannot say so
        self.versioned = "version" in self.names
        self.immutable = table in tables.IMMUTABLE

    def to_row(self, entity: T) -> dict[str, Any]:
        """Return the row of an entity; the columns' types convert its values."""
        return {name: getattr(entity, name) for name in self.names}

    def to_entity(self, row: Sequence[Any]) -> T:
        """Return the entity of a row: the values of its columns in their order."""
        return self.entity(**dict(zip(self.names, row, strict=True)))


TENANT: Final = Mapped(Tenant, tables.tenant)
CONTRACT: Final = Mapped(Contract, tables.contract)
AMENDMENT: Final = Mapped(Amendment, tables.contract_amendment)
REQUEST: Final = Mapped(ProvisioningRequest, tables.provisioning_request)
REFUSAL: Final = Mapped(RefusedRequest, tables.refused_request)
DELIVERY: Final = Mapped(Delivery, delivery_tables.delivery)
INTAKE_FINDING: Final = Mapped(IntakeFinding, intake_look_tables.intake_finding)
INTAKE_LOOK: Final = Mapped(IntakeLook, intake_look_tables.intake_look)
MESSAGE: Final = Mapped(Message, message_tables.message)
SUPPRESSION: Final = Mapped(Suppression, message_tables.suppression)
ONBOARDING_LINK: Final = Mapped(OnboardingLink, onboarding_tables.onboarding_link)
ONBOARDING_SESSION: Final = Mapped(OnboardingSession, onboarding_tables.onboarding_session)
ONBOARDING_STEP: Final = Mapped(OnboardingStep, onboarding_step_tables.onboarding_step)
STEP_VERSION: Final = Mapped(StepVersion, onboarding_step_tables.onboarding_step_version)
CONSOLE_SESSION: Final = Mapped(ConsoleSession, console_tables.console_session)
ASSIGNMENT: Final = Mapped(Assignment, staffing_tables.assignment)
MEETING: Final = Mapped(Meeting, staffing_tables.meeting)
HUB: Final = Mapped(Hub, tables.hub)
HOLD: Final = Mapped(Hold, tables.hold)
SAGA: Final = Mapped(Saga, saga_tables.saga)
SAGA_STEP: Final = Mapped(SagaStep, saga_tables.saga_step)
REMOVAL_DECISION: Final = Mapped(RemovalDecision, saga_tables.removal_decision)
IMPORT_REPORT: Final = Mapped(ImportReport, saga_tables.import_report)
CERTIFICATE: Final = Mapped(Certificate, saga_tables.certificate)
SPEC: Final = Mapped(DeploymentSpec, tables.deployment_spec)
ACCOUNT: Final = Mapped(Account, tables.account)
DEPLOYMENT: Final = Mapped(Deployment, tables.deployment)
RUN: Final = Mapped(Run, run_tables.run)
CALL: Final = Mapped(CallRecord, run_tables.engine_call)
EVIDENCE: Final = Mapped(Evidence, run_tables.evidence)
FINDING: Final = Mapped(Finding, run_tables.finding)
FINDING_DECISION: Final = Mapped(FindingDecision, look_tables.finding_decision)
SWEEP: Final = Mapped(Sweep, look_tables.sweep)
RESIDENCE: Final = Mapped(Residence, look_tables.residence)
RUN_EVENT: Final = Mapped(RunEvent, run_tables.run_event)
PLAN: Final = Mapped(Plan, run_tables.plan)
APPROVAL: Final = Mapped(Approval, run_tables.approval)
BARRED: Final = Mapped(ExcludedApprover, run_tables.barred)
DECISION: Final = Mapped(Decision, run_tables.decision)
WITHDRAWAL: Final = Mapped(Withdrawal, run_tables.withdrawal)
BUNDLE: Final = Mapped(Bundle, tables.bundle)
HANDOVER: Final = Mapped(Handover, tables.handover)
LINK: Final = Mapped(DownloadLink, tables.download_link)
RECEIPT: Final = Mapped(Receipt, tables.receipt)
IDEMPOTENCY: Final = Mapped(IdempotencyRecord, tables.idempotency_record)
PAUSE: Final = Mapped(QueuePause, tables.queue_pause)
DOCUMENT: Final = Mapped(LoadedDocument, tables.rules_document)
EVENT_SUBSCRIPTION: Final = Mapped(EventSubscription, event_tables.event_subscription)
SALT: Final = Mapped(StackSalt, erasure_tables.stack_salt)
TIMER: Final = Mapped(Timer, run_tables.timer)
PLAYBOOK: Final = Mapped(KeptPlaybook, journey_tables.playbook_document)
JOURNEY: Final = Mapped(Journey, journey_tables.journey)
JOURNEY_STEP: Final = Mapped(JourneyStep, journey_tables.journey_step)
TASK: Final = Mapped(Task, journey_tables.task)
APPROVER_KEY: Final = Mapped(ApproverKey, approver_tables.approver_key)
DISCLOSURE_GRANT: Final = Mapped(DisclosureGrant, disclosure_tables.disclosure_grant)
ERASURE: Final = Mapped(Erasure, disclosure_tables.erasure)

MAPPED: Final[tuple[Mapped[Any], ...]] = (
    TENANT, CONTRACT, AMENDMENT, REQUEST, REFUSAL, HUB, HOLD, ACCOUNT, DEPLOYMENT, SPEC, RUN, CALL,
    EVIDENCE, FINDING, RUN_EVENT, PLAN, APPROVAL, BARRED, DECISION, WITHDRAWAL,
    BUNDLE, HANDOVER, LINK, RECEIPT, IDEMPOTENCY, PAUSE, DOCUMENT, TIMER,
    SAGA, SAGA_STEP, REMOVAL_DECISION, CERTIFICATE, FINDING_DECISION, SWEEP, RESIDENCE,
    IMPORT_REPORT,
    SALT,
    DELIVERY,
    INTAKE_FINDING, INTAKE_LOOK,
    EVENT_SUBSCRIPTION,
    PLAYBOOK, JOURNEY, JOURNEY_STEP, TASK,
    MESSAGE, SUPPRESSION,
    ONBOARDING_LINK, ONBOARDING_SESSION, CONSOLE_SESSION, ONBOARDING_STEP, STEP_VERSION,
    ASSIGNMENT, MEETING,
    DISCLOSURE_GRANT, ERASURE, APPROVER_KEY,
)  # fmt: skip
