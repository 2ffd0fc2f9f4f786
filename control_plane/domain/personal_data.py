"""Where personal data can be: each column of text, JSON or bytes, and each folder with files.

A column is either in ``PERSONAL``, with what it can hold and how that ends, or in ``WITHOUT``. A
test fails for one that is in neither, so that nobody adds a place without a thought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

ERASED: Final = "erased"  # stands where a reason has to be


class Kind(StrEnum):
    """What a column can hold of people."""

    PERSON = "person"  # names and addresses of people at customers
    CONTENT = "content"  # what came from elsewhere and may name people
    WORDS = "words"  # what people of the vendor wrote
    ACCOUNT = "account"  # account ids of people of the vendor
    ADDRESS = "address"  # where a visitor came from


class How(StrEnum):
    """How it ends."""

    REMOVAL = "removal"  # erased with the removal of the tenant
    TIME = "time"  # erased or deleted after its time, as docs/operations.md says
    TWO_PEOPLE = "two_people"  # erased when two people ask for it
    BY_HAND = "by_hand"  # deleted by those who operate the installation
    NEVER = "never"  # part of a decision or of the log


@dataclass(frozen=True, kw_only=True)
class Personal:
    """What a column can hold, and how that ends."""

    kind: Kind
    ends: tuple[How, ...]


_PERSONAL: Final[tuple[tuple[tuple[Kind, tuple[How, ...]], str], ...]] = (
    ((Kind.ACCOUNT, (How.NEVER,)), "barred.subject"),
    ((Kind.WORDS, (How.NEVER,)), "barred.reason"),
    ((Kind.ACCOUNT, (How.NEVER,)), """
        approver_key.actor_id approver_key.person approver_key.statement
        approver_key.confirmed_by approver_key.confirmed_person approver_key.confirm_statement
        approver_key.revoked_by decision.signed
        assignment.person_key assignment.explanation assignment.assigned_by assignment.ended_by
        audit_quarantine.released_by
        audit_entry.entry audit_pending.body audit_pointer.value  bundle.accepted_by
        certificate.body contract_amendment.amended_by decision.actor_id decision.person
        delivery.decided_by deployment_spec.made_by disclosure_grant.requested_by
        disclosure_grant.requesters disclosure_grant.granted_by disclosure_grant.granted_person
        erasure.requested_by erasure.requesters erasure.confirmed_by erasure.confirmed_person
        event_subscription.created_by finding_decision.decided_by finding_decision.person
        handover.handed_over_by hold.placed_by hold.placers hold.released_by hold.released_person
        hub.requesters import_report.registered_by intake_finding.settled_by
        onboarding_link.issued_by onboarding_link.ended_by onboarding_step.changed_by
        onboarding_step_version.made_by provisioning_request.requested_by
        provisioning_request.on_behalf_of queue_pause.paused_by queue_pause.resumed_by
        receipt.registered_by refused_request.requested_by removal_decision.actor_id
        removal_decision.person run.requested_by run.on_behalf_of run.requesters saga.requested_by
        saga.requesters suppression.added_by suppression.lifted_by sweep.requested_by
        task.assignee task.ended_by tenant.editors withdrawal.actor_id withdrawal.person
    """),
    ((Kind.ADDRESS, (How.NEVER,)), """
        onboarding_link.used_from
    """),
    ((Kind.ADDRESS, (How.TIME,)), """
        onboarding_attempt.source
    """),
    ((Kind.ACCOUNT, (How.TIME,)), """
        console_session.actor
    """),
    ((Kind.CONTENT, (How.NEVER,)), """
        bundle.inputs import_report.body receipt.body removal_decision.evidence
    """),
    ((Kind.CONTENT, (How.REMOVAL,)), """
        journey_step.error journey_step.result
    """),
    ((Kind.CONTENT, (How.REMOVAL, How.TIME,)), """
        delivery.body idempotency_record.response_body message.data
    """),
    ((Kind.CONTENT, (How.TIME,)), """
        outgoing_event.data outgoing_event.answer run_event.body tenant_event.data
    """),
    ((Kind.PERSON, (How.REMOVAL,)), """
        handover.recipient_name handover.recipient_email meeting.attendees
        onboarding_step.answers onboarding_step_version.answers provisioning_request.body
    """),
    ((Kind.PERSON, (How.REMOVAL, How.TIME,)), """
        message.recipient_name message.recipient_email message.calendar_content
    """),
    ((Kind.PERSON, (How.TWO_PEOPLE,)), """
        audit_disclosure.salt audit_disclosure.value
    """),
    ((Kind.WORDS, (How.NEVER,)), """
        approver_key.revoke_reason assignment.end_reason audit_key.reason decision.reason
        delivery.decision_reason disclosure_grant.reason erasure.reason erasure.legal_reference
        erasure.confirm_reason event_subscription.description finding_decision.reason hold.reason
        hold.release_reason intake_finding.reason queue_pause.reason queue_pause.resume_reason
        removal_decision.reason saga.reason saga.data suppression.reason suppression.lift_reason
        withdrawal.reason
    """),
    ((Kind.WORDS, (How.REMOVAL,)), """
        assignment.reason journey.reason journey_step.reason task.answer
    """),
)  # fmt: skip

PERSONAL: Final[Mapping[str, Personal]] = MappingProxyType(
    {
        column: Personal(kind=kind, ends=ends)
        for (kind, ends), columns in _PERSONAL
        for column in columns.split()
    }
)

# ids, digests, names of resources, places, words of our own: nothing of a person
_WITHOUT: Final = """
    account: id account_id role_arn external_id claimed_by served
    approval: id run_id plan_id plan_digest tenant_id rule rules roles windows
    approver_key: id kind public_key fingerprint signature confirm_key confirm_signature
    assignment: id tenant_id segment cause previous_id
    audit_checkpoint: tenant_id note cosigs
    audit_disclosure: tenant_id path
    audit_entry: tenant_id leaf action
    audit_key: tenant_id key_name key_id vkey
    audit_pending: tenant_id
    audit_pointer: tenant_id kind
    audit_root_leaf: tenant_id
    audit_quarantine: tree why
    audit_served: tenant_id
    audit_subtree: tenant_id hash
    audit_tree: tenant_id frontier held
    audit_witness: name key_id fault
    bundle: id tenant_id deployment_id content_digest archive_digest archive_name files checks
        error cause
    certificate: id saga_id tenant_id hub_id digest
    console_session: id secret_hmac
    contract: id provider envelope_id contract_id digest subscription mode tenant_id
    contract_amendment: number subscription sla_uptime_min id tenant_id contract_ref
    decision: id approval_id decision plan_digest actor_kind acknowledged
    delivery: id source dedupe_key account envelope_id event sha256 key_name code error request_id
        tenant_id
    deployment: id tenant_id hub_id environment region account_id stack chosen evidence_id
        state_digest outputs transfer inherited unprotected adopted
    deployment_spec: id deployment_id document digest
    disclosure_grant: id tenant_id items paths
    download_link: id bundle_id handover_id token_hash
    engine_call: id run_id deployment_id worker host
    erasure: id tenant_id parts digest requested_event done_events
    event_sequence: tree
    event_subscription: id url types tenant_id secrets code
    event_turn: subscription_id
    evidence: id deployment_id run_id call_id state_digest checks
    finding: id deployment_id tenant_id subject type path expected actual first_seen_by
        last_seen_by closed_by
    finding_decision: id finding_id tenant_id value_digest run_id
    handover: id bundle_id
    hold: id tenant_id hub_id
    hub: id region cell saga_id outputs
    idempotency_record: id body_digest response_headers
    import_report: id saga_id manifest_digest digest
    intake_finding: id source subject digest explanation delivery_id tenant_id
    intake_look: id checked error
    journey: id tenant_id contract_ref playbook_key playbook_digest anchors
    journey_step: id journey_id tenant_id key owner outcome
    meeting: id tenant_id kind uid title zone missing cause
    message: id tenant_id event persona locale secrets calendar_method dedupe_key cause error
        message_id template template_digest system system_id
    onboarding_link: id tenant_id recipient_hmac nonce secret_hmac cause code_hmac
    onboarding_step: id tenant_id key document
    onboarding_step_version: id step_id tenant_id document
    onboarding_session: id link_id tenant_id role secret_hmac
    outgoing_event: subscription_id event_id name tree failure
    plan: id run_id deployment_id digest parts operations outputs resources summary evaluation
        risks
    playbook_document: id key content
    provisioning_request: id tenant_id contract_ref body_digest
    queue_pause: id
    receipt: id bundle_id digest
    refused_request: id provider envelope_id body_digest code
    removal_decision: id saga_id digest counts actor_kind
    residence: id deployment_id tenant_id promise places unanswered digest first_seen_by
        last_seen_by
    rules_document: id digest
    run: id deployment_id tenant_id plan_id approval_id evidence_id supersedes retry_of draft
        scope cause state_before states_written error
    run_event: run_id kind
    saga: id tenant_id hub_id step waits_for error
    saga_step: id saga_id name run_id result error
    sealing_key: id public
    stack_salt: id salt
    suppression: id address_sha256 domain
    sweep: id
    sweep_item: sweep_id deployment_id
    task: id tenant_id about_kind about_id owner title instructions cause dedupe_key
    tenant: id slug legal_name domain country time_zone saga_id mode region facts decision
    tenant_event: tenant_id event_id name
    timer: subject
    transferred: saga_id name_sha256 name version target_version digest
    withdrawal: id approval_id decision_id
"""


def _columns(text: str) -> frozenset[str]:
    found, table = [], ""
    for word in text.split():
        if word.endswith(":"):
            table = word[:-1]
        else:
            found.append(f"{table}.{word}")
    return frozenset(found)


WITHOUT: Final = _columns(_WITHOUT) | {"barred.id", "barred.approval_id"}

# folders of the home and the object store
FILES: Final[Mapping[str, Personal]] = MappingProxyType(
    {
        "outside": Personal(kind=Kind.PERSON, ends=(How.BY_HAND,)),
        "objects/bundles": Personal(kind=Kind.CONTENT, ends=(How.NEVER,)),
        "logs": Personal(kind=Kind.ACCOUNT, ends=(How.TIME,)),
    }
)
