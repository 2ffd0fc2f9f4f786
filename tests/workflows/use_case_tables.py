"""Every use case with its calls: those that change something, and those that only read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.approver_errors import ApproverKeyRefused
from control_plane.domain.assignment import PersonUnavailable
from control_plane.domain.disclosure_errors import (
    ErasureChanged,
    ErasureOnHold,
    GrantNotValid,
    TwoPeopleNeeded,
)
from control_plane.domain.errors import (
    AlreadyDecided,
    AmendmentRefused,
    ApplyStarted,
    ApprovalExpired,
    Conflict,
    ContractAlreadyUsed,
    FindingGone,
    FindingNotDecidable,
    HubTooSmall,
    IllegalTransition,
    InvalidInput,
    LinkExpired,
    MachineMayNotDecide,
    ModeConflict,
    ModeUnchanged,
    ModeWouldChange,
    NeedsAnotherPerson,
    NotAcknowledged,
    NotAllowed,
    NotFound,
    PlanOutOfDate,
    PreconditionFailed,
    ReceiptMismatch,
    RunInProgress,
    UnknownRegion,
)
from control_plane.domain.event_errors import UrlRefused
from control_plane.domain.finding_decision import Verdict
from control_plane.domain.hub import HubWish
from control_plane.domain.intake_errors import SignatureInvalid
from control_plane.domain.mode import Mode
from control_plane.domain.onboarding_errors import LinkTooSoon, StepChanged, StepNotYet
from control_plane.domain.removal_errors import RemovalOnHold
from control_plane.services import (
    accounts,
    approvals,
    approver_keys,
    auditing,
    bundles,
    changes,
    counts,
    data_handovers,
    deliveries,
    disclosures,
    dossiers,
    drift,
    erasures,
    findings,
    handovers,
    holds,
    hub_changes,
    hubs,
    intake_findings,
    journeys,
    meetings,
    messages,
    mode_changes,
    modes,
    onboarding,
    onboarding_steps,
    operating_stacks,
    people,
    permission,
    provisioning,
    quarantine,
    queue,
    removals,
    residences,
    runs,
    sagas,
    subscriptions,
    suppressions,
    sweeps,
    tasks,
    tenants,
    timelines,
    waiting,
    watching,
)
from control_plane.services.performing import perform
from tests.approver_hands import ADA as ADA_ADMIN
from tests.approver_hands import BEN as BEN_ADMIN
from tests.approver_hands import OLGA, OTTO, Hand
from tests.workflows.approver_key_scenes import confirm_key, enroll_key, revoke_key
from tests.workflows.onboarding_step_scenes import on_step
from tests.workflows.personal_value_scenes import (
    SECOND,
    asking_for_erasure,
    asking_for_grant,
    confirming,
    giving_grant,
    opening,
)
from tests.workflows.use_case_scenes import (
    EVERYBODY,
    NOBODY,
    Act,
    Case,
    Scene,
    account,
    add_suppression,
    amend,
    assign,
    attest,
    change,
    change_account,
    change_hub,
    check_drift,
    check_drift_again,
    check_hub,
    converted_stack,
    decide,
    decide_finding,
    decide_findings,
    decide_late,
    decide_mode,
    decide_twice,
    download,
    edit,
    export,
    hand_data,
    hold,
    hold_hub,
    hub,
    lift_suppression,
    look_at,
    mode,
    on_bundle,
    on_delivery,
    on_failed_step,
    on_journey,
    on_link,
    on_meeting,
    on_message,
    on_subscription,
    opened_stack,
    plan,
    post,
    read_log,
    read_proof,
    read_status,
    read_tile,
    read_trees,
    read_witnessing,
    receipt,
    release,
    release_log,
    remove_account,
    removing,
    request_sweep,
    retain,
    retry_blocked,
    revoke,
    said_of_export,
    settle,
    size,
    steer,
    steer_queue,
    steer_saga,
    submit,
    submit_again,
    subscribing,
    update_slices,
    withdraw,
)
from tests.world import (
    ACCOUNT,
    ADMIN,
    ARCHITECT,
    AUDITOR,
    AUTOMATION,
    OPS,
    PLATFORM_AUDITOR,
    machine,
    person,
    request_body,
)

STRANGER = person("eve", tenants=("ten_a",))

DENIED_ROLE = ("authz.denied:denied",)
MUTATING: dict[str, tuple[Case, ...]] = {
    "approvals.decide": (
        Case(
            prepare=decide(OPS),
            events=("decision.given:completed", "run.approved:completed",
                    "tenant.status_changed:completed"),
        ),
        Case(
            prepare=decide(OPS, verdict="reject"),
            events=("decision.given:completed", "run.rejected:completed",
                    "tenant.status_changed:completed", "account.released:completed"),
        ),
        Case(prepare=decide(OPS, plan_digest="x"), error=PlanOutOfDate,
             events=("decision.refused:denied",)),
        Case(prepare=decide(OPS, acknowledge=["x"]), error=NotAcknowledged,
             events=("decision.refused:denied",)),
        Case(prepare=decide(machine("robot", Role.OPS_APPROVER)), error=MachineMayNotDecide,
             events=("decision.refused:denied",)),
        Case(prepare=decide(AUDITOR), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=decide_twice, error=AlreadyDecided, events=("decision.refused:denied",)),
        Case(
            prepare=decide_late, error=ApprovalExpired,
            events=("decision.refused:denied",),
        ),
    ),
    "withdrawals.withdraw": (
        Case(
            prepare=withdraw(OPS),
            events=("decision.withdrawn:completed", "run.approval_withdrawn:completed",
                    "tenant.status_changed:completed"),
        ),
        Case(prepare=withdraw(OPS, given=False), error=IllegalTransition,
             events=("decision.refused:denied",)),
        Case(prepare=withdraw(OPS, applied=True), error=ApplyStarted,
             events=("decision.refused:denied",)),
        Case(prepare=withdraw(AUDITOR), error=NotAllowed, events=DENIED_ROLE),
    ),
    "auditing.read_events": (
        Case(prepare=read_log(AUDITOR), events=("log.read:completed",)),
        Case(prepare=read_log(OPS), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=read_log(AUDITOR, "platform"), error=NotAllowed, events=DENIED_ROLE),
    ),
    "auditing.inclusion_proof": (
        Case(prepare=read_proof(AUDITOR), events=("log.read:completed",)),
        Case(prepare=read_proof(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "quarantine.release": (
        Case(prepare=release_log(ADMIN), events=("quarantine.released:completed",)),
        Case(prepare=release_log(ADMIN, ended=False), error=IllegalTransition,
             events=("quarantine.refused:denied",)),
        Case(prepare=release_log(ADMIN, reason=" "), error=InvalidInput,
             events=("quarantine.refused:denied",)),
        Case(prepare=release_log(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "audit_status.tree_status": (
        Case(prepare=read_status(AUDITOR), events=("log.read:completed",)),
        Case(prepare=read_status(OPS), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=read_status(AUDITOR, "platform"), error=NotAllowed, events=DENIED_ROLE),
    ),
    "audit_status.list_trees": (
        Case(prepare=read_trees(PLATFORM_AUDITOR), events=("log.read:completed",)),
        Case(prepare=read_trees(AUDITOR), error=NotAllowed, events=DENIED_ROLE),
    ),
    "audit_status.witnessing_status": (
        Case(prepare=read_witnessing(PLATFORM_AUDITOR), events=("log.read:completed",)),
        Case(prepare=read_witnessing(AUDITOR), error=NotAllowed, events=DENIED_ROLE),
    ),
    "dossiers.export_dossier": (
        Case(prepare=export(AUDITOR), events=("log.exported:completed",)),
        Case(prepare=export(OPS), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=export(AUDITOR, "platform"), error=NotAllowed, events=DENIED_ROLE),
        Case(
            prepare=export(AUDITOR, grant="dsg_1"),
            error=GrantNotValid,
            events=("disclosure.refused:denied",),
        ),
    ),
    "auditing.tile": (
        Case(prepare=read_tile(AUDITOR), events=("log.read:completed",)),
        Case(prepare=read_tile(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "disclosures.open_values": (
        Case(prepare=opening(AUDITOR), events=("disclosure.opened:completed",)),
        Case(prepare=opening(AUDITOR, paths=["contacts.9.email"]), error=NotFound,
             events=("disclosure.refused:denied",)),
        Case(prepare=opening(AUDITOR, reason=" "), error=InvalidInput,
             events=("disclosure.refused:denied",)),
        Case(prepare=opening(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "disclosures.ask_for_grant": (
        Case(prepare=asking_for_grant(AUDITOR), events=("disclosure.requested:completed",)),
        Case(prepare=asking_for_grant(machine("robot", Role.AUDITOR)), error=TwoPeopleNeeded,
             events=("disclosure.refused:denied",)),
        Case(prepare=asking_for_grant(AUDITOR, days=91), error=InvalidInput,
             events=("disclosure.refused:denied",)),
        Case(prepare=asking_for_grant(ADMIN), error=NotAllowed, events=DENIED_ROLE),
    ),
    "disclosures.give_grant": (
        Case(prepare=giving_grant(ADMIN), events=("disclosure.granted:completed",)),
        Case(prepare=giving_grant(SECOND), events=("disclosure.granted:completed",)),
        Case(prepare=giving_grant(AUDITOR), error=TwoPeopleNeeded,
             events=("disclosure.refused:denied",)),
        Case(prepare=giving_grant(ADMIN, " "), error=InvalidInput,
             events=("disclosure.refused:denied",)),
        Case(prepare=giving_grant(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "erasures.ask_for_erasure": (
        Case(prepare=asking_for_erasure(AUDITOR), events=("erasure.requested:completed",)),
        Case(prepare=asking_for_erasure(ADMIN), events=("erasure.requested:completed",)),
        Case(prepare=asking_for_erasure(AUDITOR, subject="nobody@example.com"), error=NotFound,
             events=("erasure.refused:denied",)),
        Case(prepare=asking_for_erasure(AUDITOR, subject="ida"), error=InvalidInput,
             events=("erasure.refused:denied",)),
        Case(prepare=asking_for_erasure(AUDITOR, held=True), error=ErasureOnHold,
             events=("erasure.refused:denied",)),
        Case(prepare=asking_for_erasure(machine("robot", Role.AUDITOR)), error=TwoPeopleNeeded,
             events=("erasure.refused:denied",)),
        Case(prepare=asking_for_erasure(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "erasures.confirm_erasure": (
        Case(prepare=confirming(ADMIN), events=("erasure.done:completed",)),
        Case(prepare=confirming(SECOND), events=("erasure.done:completed",)),
        Case(prepare=confirming(AUDITOR), error=TwoPeopleNeeded,
             events=("erasure.refused:denied",)),
        Case(prepare=confirming(machine("robot", Role.PLATFORM_ADMIN)), error=TwoPeopleNeeded,
             events=("erasure.refused:denied",)),
        Case(prepare=confirming(ADMIN, digest="sha256:" + "0" * 64), error=ErasureChanged,
             events=("erasure.refused:denied",)),
        Case(prepare=confirming(ADMIN, held=True), error=ErasureOnHold,
             events=("erasure.refused:denied",)),
        Case(prepare=confirming(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "subscriptions.create_subscription": (
        Case(prepare=subscribing(ADMIN), events=("subscription.created:completed",)),
        Case(prepare=subscribing(ADMIN, "https://10.0.0.1/"), error=UrlRefused,
             events=("subscription.refused:denied",)),
        Case(prepare=subscribing(ADMIN, types="nothing.at_all"), error=InvalidInput,
             events=("subscription.refused:denied",)),
        Case(prepare=subscribing(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "subscriptions.change_subscription": (
        Case(prepare=on_subscription(subscriptions.change_subscription, ADMIN, types=["run.*"]),
             events=("subscription.changed:completed",)),
        Case(prepare=on_subscription(subscriptions.change_subscription, ADMIN, is_paused=False),
             error=IllegalTransition, events=("subscription.refused:denied",)),
        Case(prepare=on_subscription(subscriptions.change_subscription, ADMIN),
             error=InvalidInput, events=("subscription.refused:denied",)),
        Case(prepare=on_subscription(subscriptions.change_subscription, OPS, is_paused=True),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "subscriptions.resume_subscription": (
        Case(prepare=on_subscription(subscriptions.resume_subscription, ADMIN, paused=True),
             events=("subscription.changed:completed",)),
        Case(prepare=on_subscription(subscriptions.resume_subscription, ADMIN),
             error=IllegalTransition, events=("subscription.refused:denied",)),
    ),
    "subscriptions.rotate_secret": (
        Case(prepare=on_subscription(subscriptions.rotate_secret, ADMIN),
             events=("subscription.rotated:completed",)),
        Case(prepare=on_subscription(subscriptions.rotate_secret, OPS), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "subscriptions.remove_subscription": (
        Case(prepare=on_subscription(subscriptions.remove_subscription, ADMIN),
             events=("subscription.removed:completed",)),
        Case(prepare=on_subscription(subscriptions.remove_subscription, OPS), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "subscriptions.ping_subscription": (
        Case(prepare=on_subscription(subscriptions.ping_subscription, OPS),
             events=("subscription.tested:completed",)),
        Case(prepare=on_subscription(subscriptions.ping_subscription, OPS, paused=True),
             error=IllegalTransition, events=("subscription.refused:denied",)),
    ),
    "subscriptions.replay_event": (
        Case(prepare=on_subscription(subscriptions.replay_event, OPS, sent_id="SENT"),
             events=("subscription.replayed:completed",)),
        Case(prepare=on_subscription(subscriptions.replay_event, OPS, sent_id="99999"),
             error=NotFound, events=("subscription.refused:denied",)),
    ),
    "subscriptions.replay_since": (
        Case(prepare=on_subscription(subscriptions.replay_since, OPS,
                                     since=datetime(2026, 1, 1, tzinfo=UTC)),
             events=("subscription.replayed:completed",)),
        Case(prepare=on_subscription(subscriptions.replay_since, AUDITOR,
                                     since=datetime(2026, 1, 1, tzinfo=UTC)),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "messages.preview_message": (
        Case(prepare=on_message(messages.preview_message, OPS),
             events=("message.read:completed",)),
        Case(prepare=on_message(messages.preview_message, AUDITOR), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "messages.send_message_again": (
        Case(prepare=on_message(messages.send_message_again, OPS, reason="there is one now"),
             events=("message.sent_again:completed",)),
        Case(prepare=on_message(messages.send_message_again, OPS, reason=" "), error=InvalidInput,
             events=("message.refused:denied",)),
        Case(prepare=on_message(messages.send_message_again, AUDITOR, reason="there is one"),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "messages.cancel_message": (
        Case(prepare=on_message(messages.cancel_message, ADMIN, reason="not needed"),
             events=("message.canceled:completed",)),
        Case(prepare=on_message(messages.cancel_message, ADMIN, reason=" "), error=InvalidInput,
             events=("message.refused:denied",)),
        Case(prepare=on_message(messages.cancel_message, AUTOMATION, reason="not needed"),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "approver_keys.enroll_key": (
        Case(prepare=enroll_key(OLGA), events=("approver_key.enrolled:completed",)),
        Case(prepare=enroll_key(OLGA, 2), error=ApproverKeyRefused,
             events=("approver_key.refused:denied",)),
        Case(prepare=enroll_key(Hand("audrey", Role.AUDITOR)), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "approver_keys.confirm_key": (
        Case(prepare=confirm_key(ADA_ADMIN, BEN_ADMIN),
             events=("approver_key.confirmed:completed",)),
        Case(prepare=confirm_key(OLGA, ADA_ADMIN), error=ApproverKeyRefused,
             events=("approver_key.refused:denied",)),
    ),
    "approver_keys.revoke_key": (
        Case(prepare=revoke_key(OLGA, OLGA), events=("approver_key.revoked:completed",)),
        Case(prepare=revoke_key(OTTO, OLGA), error=NotAllowed,
             events=("approver_key.refused:denied",)),
    ),
    "suppressions.add_suppression": (
        Case(prepare=add_suppression(OPS), events=("suppression.added:completed",)),
        Case(prepare=add_suppression(OPS, "ida"), error=InvalidInput,
             events=("suppression.refused:denied",)),
        Case(prepare=add_suppression(AUDITOR), error=NotAllowed, events=DENIED_ROLE),
    ),
    "suppressions.lift_suppression": (
        Case(prepare=lift_suppression(OPS), events=("suppression.lifted:completed",)),
        Case(prepare=lift_suppression(OPS, 2), error=IllegalTransition,
             events=("suppression.refused:denied",)),
        Case(prepare=lift_suppression(ARCHITECT), error=NotAllowed, events=DENIED_ROLE),
    ),
    "deliveries.receive_delivery": (
        Case(prepare=post(), events=("delivery.received:completed",)),
        Case(prepare=post("a key of somebody else"), error=SignatureInvalid,
             events=("delivery.denied:denied",)),
    ),
    "onboarding.issue_link": (
        Case(prepare=on_link(onboarding.issue_link, OPS, is_issued=False),
             events=("message.queued:completed", "onboarding.issued:completed")),
        Case(prepare=on_link(onboarding.issue_link, OPS), error=LinkTooSoon,
             events=("onboarding.refused:denied",)),
        Case(prepare=on_link(onboarding.issue_link, AUDITOR), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "onboarding.revoke_link": (
        Case(prepare=on_link(onboarding.revoke_link, OPS, reason="left"),
             events=("onboarding.revoked:completed",)),
        Case(prepare=on_link(onboarding.revoke_link, OPS, reason=" "), error=InvalidInput,
             events=("onboarding.refused:denied",)),
        Case(prepare=on_link(onboarding.revoke_link, OPS, is_issued=False, reason="left"),
             error=NotFound, events=("onboarding.refused:denied",)),
        Case(prepare=on_link(onboarding.revoke_link, AUDITOR, reason="left"), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "onboarding_steps.save_step": (
        Case(prepare=on_step("save"), events=("onboarding.step_saved:completed",)),
        Case(prepare=on_step("save", version=3), error=StepChanged,
             events=("onboarding.step_refused:denied",)),
        Case(prepare=on_step("save", AUDITOR), error=NotAllowed, events=DENIED_ROLE),
    ),
    "onboarding_steps.complete_step": (
        Case(prepare=on_step("complete"), events=("onboarding.step_completed:completed",)),
        Case(prepare=on_step("complete", is_redeemed=False), error=StepNotYet,
             events=("onboarding.step_refused:denied",)),
        Case(prepare=on_step("complete", OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "onboarding_steps.reopen_step": (
        Case(prepare=on_step("reopen"), events=("onboarding.step_reopened:completed",)),
        Case(prepare=on_step("reopen", reason=" "), error=InvalidInput,
             events=("onboarding.step_refused:denied",)),
        Case(prepare=on_step("reopen", OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "deliveries.read_content": (
        Case(prepare=on_delivery(deliveries.read_content, ADMIN),
             events=("delivery.read:completed",)),
        Case(prepare=on_delivery(deliveries.read_content, OPS), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "journeys.skip_step": (
        Case(prepare=on_journey(journeys.skip_step, OPS, reason="not needed"),
             events=("journey.step_moved:completed", "task.ended:completed",
                     "journey.step_decided:completed")),
        Case(prepare=on_journey(journeys.skip_step, OPS, reason=" "), error=InvalidInput,
             events=("journey.refused:denied",)),
        Case(prepare=on_journey(journeys.skip_step, AUDITOR, reason="x"), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "journeys.finish_step": (
        Case(prepare=on_journey(journeys.finish_step, OPS, reason="we met"),
             events=("journey.step_moved:completed", "task.ended:completed",
                     "journey.step_decided:completed")),
        Case(prepare=on_journey(journeys.finish_step, OPS, reason="we met", outcome="x"),
             error=InvalidInput, events=("journey.refused:denied",)),
    ),
    "journeys.retry_step": (
        Case(prepare=on_failed_step(journeys.retry_step, OPS),
             events=("journey.step_moved:completed", "task.ended:completed",
                     "journey.step_decided:completed")),
        Case(prepare=on_journey(journeys.retry_step, OPS), error=IllegalTransition,
             events=("journey.refused:denied",)),
    ),
    "journeys.cancel_journey": (
        Case(prepare=on_journey(journeys.cancel_journey, OPS, about="journey", reason="void"),
             events=("journey.step_moved:completed", "task.ended:completed",
                     "journey.canceled:completed")),
        Case(prepare=on_journey(journeys.cancel_journey, OPS, about="journey", reason=" "),
             error=InvalidInput, events=("journey.refused:denied",)),
        Case(prepare=on_journey(journeys.cancel_journey, ARCHITECT, about="journey", reason="x"),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "tasks.finish_task": (
        Case(prepare=on_journey(tasks.finish_task, OPS, about="task", answer="we met"),
             events=("task.ended:completed", "journey.step_moved:completed",
                     "journey.step_decided:completed")),
        Case(prepare=on_journey(tasks.finish_task, OPS, about="task", answer=" "),
             error=InvalidInput, events=("task.refused:denied",)),
        Case(prepare=on_journey(tasks.finish_task, ARCHITECT, about="task", answer="x"),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "tasks.reassign_task": (
        Case(prepare=on_journey(tasks.reassign_task, OPS, about="task", owner="csm"),
             events=("task.reassigned:completed",)),
        Case(prepare=on_journey(tasks.reassign_task, OPS, about="task", owner="nobody"),
             error=InvalidInput, events=("task.refused:denied",)),
    ),
    "deliveries.replay_delivery": (
        Case(prepare=on_delivery(deliveries.replay_delivery, OPS, reason="mended"),
             events=("delivery.replayed:completed",)),
        Case(prepare=on_delivery(deliveries.replay_delivery, OPS, reason=" "), error=InvalidInput,
             events=("delivery.refused:denied",)),
        Case(prepare=on_delivery(deliveries.replay_delivery, OPS, ignored=True, reason="again"),
             error=IllegalTransition, events=("delivery.refused:denied",)),
        Case(prepare=on_delivery(deliveries.replay_delivery, AUDITOR, reason="mended"),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "deliveries.decide_delivery": (
        Case(prepare=on_delivery(deliveries.decide_delivery, OPS, decision="dismiss",
                                 reason="sent by mistake"),
             events=("delivery.decided:completed",)),
        Case(prepare=on_delivery(deliveries.decide_delivery, OPS, decision="accept_additional",
                                 reason="they want one more"),
             error=IllegalTransition, events=("delivery.refused:denied",)),
        Case(prepare=on_delivery(deliveries.decide_delivery, machine("robot", Role.OPS_APPROVER),
                                 decision="dismiss", reason="sent by mistake"),
             error=NotAllowed, events=("delivery.refused:denied",)),
        Case(prepare=on_delivery(deliveries.decide_delivery, AUTOMATION, decision="dismiss",
                                 reason="sent by mistake"),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "intake_findings.settle_intake_finding": (
        Case(prepare=settle(OPS), events=("intake_finding.settled:completed",)),
        Case(prepare=settle(OPS, reason=" "), error=InvalidInput,
             events=("intake_finding.refused:denied",)),
        Case(prepare=settle(machine("robot", Role.OPS_APPROVER)), error=NotAllowed,
             events=("intake_finding.refused:denied",)),
        Case(prepare=settle(AUTOMATION), error=NotAllowed, events=DENIED_ROLE),
    ),
    "intake_findings.request_look": (
        Case(prepare=look_at("docusign"), events=("intake.look_requested:completed",)),
        Case(prepare=look_at("docusign", AUDITOR), error=NotAllowed, events=DENIED_ROLE),
    ),
    "people.assign_person": (
        Case(prepare=assign(), events=("people.assigned:completed",)),
        Case(prepare=assign(person="se-1"), error=PersonUnavailable,
             events=("people.refused:denied",)),
        Case(prepare=assign(reason=" "), error=InvalidInput, events=("people.refused:denied",)),
        Case(prepare=assign(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "meetings.move_meeting": (
        Case(prepare=on_meeting(meetings.move_meeting, days=3),
             events=("message.queued:completed", "meeting.moved:completed")),
        Case(prepare=on_meeting(meetings.move_meeting, days=-3), error=InvalidInput,
             events=("meeting.refused:denied",)),
        Case(prepare=on_meeting(meetings.move_meeting, OPS, days=3), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "meetings.cancel_meeting": (
        Case(prepare=on_meeting(meetings.cancel_meeting),
             events=("message.queued:completed", "meeting.canceled:completed")),
        Case(prepare=on_meeting(meetings.cancel_meeting, reason=" "), error=InvalidInput,
             events=("meeting.refused:denied",)),
        Case(prepare=on_meeting(meetings.cancel_meeting, OPS), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "bundles.accept_bundle": (
        Case(prepare=on_bundle(bundles.accept_bundle, "queued"),
             events=("bundle.accepted:completed",)),
        Case(prepare=on_bundle(bundles.accept_bundle, "accepted"), error=IllegalTransition,
             events=("bundle.refused:denied",)),
        Case(prepare=on_bundle(bundles.accept_bundle, "queued", OPS), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "bundles.edit_bundle": (
        Case(prepare=edit("accepted"), events=("bundle.edited:completed",)),
        Case(
            prepare=edit("handed_over"),
            events=("bundle.superseded:completed", "tenant.status_changed:completed",
                    "bundle.edited:completed"),
        ),
        Case(prepare=edit("accepted", -1), error=PreconditionFailed,
             events=("bundle.refused:denied",)),
    ),
    "mode_changes.change_mode": (
        Case(prepare=mode(), events=("mode.confirmed:completed", "mode.resolved:completed")),
        Case(prepare=mode(to=Mode.B, amendment="AM-7"),
             events=("run.canceled:completed", "tenant.status_changed:completed",
                     "mode.change_requested:completed", "saga.started:completed")),
        Case(prepare=mode(to=Mode.A), error=ModeUnchanged, events=("mode.refused:denied",)),
        Case(prepare=mode(to=Mode.C, amendment="AM-9"), error=RunInProgress,
             events=("mode.refused:denied",)),
        Case(prepare=mode(to=Mode.B), error=InvalidInput, events=("mode.refused:denied",)),
        Case(prepare=mode(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "data_handovers.say_first_copy": (
        Case(prepare=hand_data("first_copy"), events=("handover.said:completed",)),
        Case(prepare=hand_data("first_copy", at="apply"), error=IllegalTransition,
             events=("handover.refused:denied",)),
        Case(prepare=hand_data("first_copy", who=AUDITOR), error=NotAllowed, events=DENIED_ROLE),
    ),
    "data_handovers.record_dump": (
        Case(prepare=hand_data("dump"), events=("handover.said:completed",)),
        Case(prepare=hand_data("dump", dump_digest="sha256:x"), error=InvalidInput,
             events=("handover.refused:denied",)),
        Case(prepare=hand_data("dump", who=AUDITOR), error=NotAllowed, events=DENIED_ROLE),
    ),
    "data_handovers.register_import": (
        Case(prepare=hand_data("import"), events=("handover.imported:completed",)),
        Case(prepare=hand_data("import", tenant="No Slug"), error=InvalidInput,
             events=("handover.refused:denied",)),
        Case(prepare=hand_data("import", tenant="other"), error=ReceiptMismatch,
             events=("handover.refused:denied",)),
        Case(prepare=hand_data("import", who=AUDITOR), error=NotAllowed, events=DENIED_ROLE),
    ),
    "changes.request_change": (
        Case(
            prepare=change(seats=2000),
            events=("change.requested:completed", "mode.resolved:completed",
                    "run.requested:completed", "approval.superseded:completed",
                    "run.superseded:completed", "tenant.status_changed:completed"),
        ),
        Case(prepare=change(seats=101),
             events=("change.requested:completed", "mode.resolved:completed")),
        Case(prepare=change(seats=100), events=()),  # as it is already
        Case(prepare=change(seats=6000), error=ModeWouldChange,
             events=("change.refused:denied",)),
        Case(prepare=change(contract_mode="C"), error=InvalidInput,
             events=("change.refused:denied",)),
        Case(prepare=size("large"),
             events=("change.requested:completed", "mode.resolved:completed",
                     "run.requested:completed", "approval.superseded:completed",
                     "run.superseded:completed", "tenant.status_changed:completed")),
        Case(prepare=size("larg"), error=InvalidInput, events=("change.refused:denied",)),
        Case(prepare=amend("A-1", retention_until="2030-01-01"),
             events=("change.requested:completed", "mode.resolved:completed")),
        Case(prepare=amend("A-1", twice={"retention_until": "2029-01-01"}), error=AmendmentRefused,
             events=("change.refused:denied",)),
        Case(prepare=change(OPS, seats=2000), error=NotAllowed, events=DENIED_ROLE),
    ),
    "changes.plan_change": (
        Case(prepare=plan(seats=2000), events=("run.requested:completed",)),
        Case(prepare=plan(contract_mode="C"), error=InvalidInput,
             events=("change.refused:denied",)),
        Case(prepare=plan(OPS, seats=2000), error=NotAllowed, events=DENIED_ROLE),
    ),
    "hub_changes.request_change": (
        Case(prepare=change_hub(capacity=5), events=("hub.change_requested:completed",)),
        Case(prepare=change_hub(environment={"zones": 3}),
             events=("hub.change_requested:completed", "run.requested:completed")),
        Case(prepare=change_hub(environment={"zones": 2}), events=()),  # as it is already
        Case(prepare=change_hub(OPS, capacity=5), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=change_hub(slices=2, capacity=1), error=HubTooSmall,
             events=("hub.change_refused:denied",)),
        Case(prepare=change_hub(environment={"version": "2027.9"}), error=InvalidInput,
             events=("hub.change_refused:denied",)),
    ),
    "hub_changes.plan_change": (
        Case(prepare=change_hub(do=hub_changes.plan_change, environment={"zones": 3}),
             events=("run.requested:completed",)),
        Case(prepare=change_hub(OPS, do=hub_changes.plan_change, environment={"zones": 3}),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "hub_changes.update_slices": (
        Case(prepare=update_slices(),
             events=("run.requested:completed", "tenant.status_changed:completed",
                     "hub.slice_updates_requested:completed")),
        Case(prepare=update_slices(OPS), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=update_slices(reason=" "), error=InvalidInput,
             events=("hub.change_refused:denied",)),
    ),
    "queue.pause_queue": (
        Case(prepare=steer_queue(queue.pause_queue), events=("queue.paused:completed",)),
        Case(prepare=steer_queue(queue.pause_queue, paused=True), error=IllegalTransition,
             events=("queue.refused:denied",)),
        Case(prepare=steer_queue(queue.pause_queue, AUTOMATION), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "queue.resume_queue": (
        Case(prepare=steer_queue(queue.resume_queue, paused=True),
             events=("queue.resumed:completed",)),
        Case(prepare=steer_queue(queue.resume_queue), error=IllegalTransition,
             events=("queue.refused:denied",)),
        Case(prepare=steer_queue(queue.resume_queue, AUTOMATION), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "holds.place_on_tenant": (
        Case(prepare=hold(), events=("hold.placed:completed",)),
        Case(prepare=hold(ARCHITECT), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=hold(reason=" "), error=InvalidInput, events=("hold.refused:denied",)),
    ),
    "holds.place_on_hub": (
        Case(prepare=hold_hub(), events=("hold.placed:completed",)),
        Case(prepare=hold_hub(ARCHITECT), error=NotAllowed, events=DENIED_ROLE),
    ),
    "holds.release_hold": (
        Case(prepare=release(ADMIN), events=("hold.released:completed",)),
        Case(prepare=release(ADMIN, waits=True),
             events=("hold.released:completed", "run.unblocked:completed")),
        Case(prepare=release(OPS), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=release(ADMIN, placer=ADMIN), error=NeedsAnotherPerson,
             events=("hold.refused:denied",)),
        Case(prepare=release(ADMIN, twice=True), error=IllegalTransition,
             events=("hold.refused:denied",)),
    ),
    "removals.request_removal": (
        Case(
            prepare=removing(),
            events=("approval.canceled:completed", "run.canceled:completed",
                    "tenant.status_changed:completed", "account.released:completed",
                    "saga.started:completed", "removal.requested:completed"),
        ),
        Case(prepare=removing(held=True), error=RemovalOnHold, events=("removal.refused:denied",)),
        Case(prepare=removing(reason=" "), error=InvalidInput, events=("removal.refused:denied",)),
        Case(prepare=removing(AUTOMATION), error=NotAllowed, events=DENIED_ROLE),
    ),
    "removal_decisions.acknowledge_export": (
        Case(prepare=said_of_export(), events=("removal.decided:completed",)),
        Case(prepare=said_of_export(digest="x"), error=InvalidInput,
             events=("removal.refused:denied",)),
        Case(prepare=said_of_export(AUTOMATION), error=NotAllowed, events=DENIED_ROLE),
    ),
    "removal_decisions.waive_export": (
        Case(prepare=said_of_export(ADMIN, waives=True), events=("removal.decided:completed",)),
        Case(prepare=said_of_export(OPS, waives=True), error=NotAllowed, events=DENIED_ROLE),
    ),
    "removal_decisions.attest_customer": (
        Case(prepare=attest(), events=("removal.decided:completed",)),
        Case(prepare=attest(asked=False), error=IllegalTransition,
             events=("removal.refused:denied",)),
        Case(prepare=attest(receipt={"tenant": "x"}), error=InvalidInput,
             events=("removal.refused:denied",)),
    ),
    "removal_decisions.retain_tenant": (
        Case(prepare=retain(), events=("retention.set:completed",)),
        Case(prepare=retain(days=-1), error=InvalidInput, events=("retention.refused:denied",)),
        Case(prepare=retain(AUTOMATION), error=NotAllowed, events=DENIED_ROLE),
    ),
    "sagas.retry_step": (
        Case(prepare=steer_saga("retry", stuck=True), events=("saga.retried:completed",)),
        Case(prepare=steer_saga("retry"), error=IllegalTransition,
             events=("saga.refused:denied",)),
        Case(prepare=steer_saga("retry", AUTOMATION), error=NotAllowed, events=DENIED_ROLE),
    ),
    "sagas.withdraw_saga": (
        Case(
            prepare=steer_saga("withdraw"),
            events=("saga.withdrawn:completed", "approval.canceled:completed",
                    "run.canceled:completed", "tenant.status_changed:completed"),
        ),
        Case(prepare=steer_saga("withdraw", AUDITOR), error=NotAllowed, events=DENIED_ROLE),
    ),
    "drift.request_check": (
        Case(prepare=check_drift(), events=("run.requested:completed",)),
        Case(prepare=check_drift_again, events=()),  # one has not ended
        Case(prepare=check_drift(applied=False), error=IllegalTransition,
             events=("run.refused:denied",)),
        Case(prepare=check_drift(AUTOMATION), error=NotAllowed, events=DENIED_ROLE),
    ),
    "drift.request_hub_check": (
        Case(prepare=check_hub(), events=("run.requested:completed",)),
        Case(prepare=check_hub(ARCHITECT), error=NotAllowed, events=DENIED_ROLE),
    ),
    "findings.decide": (
        Case(prepare=decide_finding(),
             events=("run.requested:completed", "tenant.status_changed:completed",
                     "drift.decided:completed")),
        Case(prepare=decide_finding(verdict=Verdict.WAIVE), events=("drift.decided:completed",)),
        Case(prepare=decide_finding(AUTOMATION), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=decide_finding(gone=True), error=FindingGone,
             events=("drift.refused:denied",)),
        Case(prepare=decide_finding(verdict=Verdict.ADOPT), error=FindingNotDecidable,
             events=("drift.refused:denied",)),
    ),
    "findings.decide_of_tenant": (
        Case(prepare=decide_findings(),
             events=("run.requested:completed", "tenant.status_changed:completed",
                     "drift.decided:completed")),
        Case(prepare=decide_findings(AUTOMATION), error=NotAllowed, events=DENIED_ROLE),
    ),
    "sweeps.request_sweep": (
        Case(prepare=request_sweep(), events=("drift.sweep_requested:completed",)),
        Case(prepare=request_sweep(minutes=-1), error=InvalidInput,
             events=("drift.refused:denied",)),
        Case(prepare=request_sweep(AUTOMATION), error=NotAllowed, events=DENIED_ROLE),
    ),
    "handovers.revoke_link": (
        Case(prepare=revoke(), events=("link.revoked:completed",)),
        Case(prepare=on_bundle(handovers.revoke_link, "built", link_id="lnk_x"),
             error=IllegalTransition, events=("bundle.refused:denied",)),
    ),
    "bundles.build_bundle": (
        Case(prepare=on_bundle(bundles.build_bundle, "accepted"),
             events=("bundle.build_requested:completed",)),
        Case(prepare=on_bundle(bundles.build_bundle, "built"), error=IllegalTransition,
             events=("bundle.refused:denied",)),
    ),
    "handovers.hand_over": (
        Case(
            prepare=on_bundle(handovers.hand_over, "built", recipient_name="Carla",
                              recipient_email="carla@example.com"),
            events=("bundle.handed_over:completed", "link.issued:completed",
                    "tenant.status_changed:completed"),
        ),
        Case(
            prepare=on_bundle(handovers.hand_over, "built", recipient_name="Carla",
                              recipient_email="nowhere"),
            error=InvalidInput, events=("bundle.refused:denied",),
        ),
    ),
    "handovers.download_by_link": (
        Case(prepare=download(), events=("bundle.downloaded:completed",)),
        Case(prepare=download("x"), error=LinkExpired, events=("link.refused:denied",)),
    ),
    "handovers.download_as_architect": (
        Case(prepare=on_bundle(handovers.download_as_architect, "built", name=None),
             events=("bundle.downloaded:completed",)),
        Case(prepare=on_bundle(handovers.download_as_architect, "built", AUTOMATION, name=None),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "receipts.register_receipt": (
        Case(prepare=receipt(),
             events=("receipt.registered:completed", "tenant.status_changed:completed")),
        Case(prepare=receipt(content_digest="x"), error=ReceiptMismatch,
             events=("receipt.refused:denied",)),
    ),
    "accounts.add_account": (
        Case(prepare=account(), events=("account.added:completed",)),
        Case(prepare=account(waiting=True),
             events=("account.added:completed", "run.unblocked:completed")),
        Case(prepare=account(OPS), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=account(account_id=ACCOUNT), error=Conflict,
             events=("account.refused:denied",)),
        Case(prepare=account(account_id="12"), error=InvalidInput,
             events=("account.refused:denied",)),
    ),
    "accounts.update_account": (
        Case(prepare=change_account({"role_arn": f"arn:aws:iam::{ACCOUNT}:role/provision"}),
             events=("account.updated:completed",)),
        Case(prepare=change_account({"shared": True}), events=()),  # as it is already
        Case(prepare=change_account({"shared": False}, used=2), error=Conflict,
             events=("account.refused:denied",)),
        Case(prepare=change_account({"external_id": "x1"}), error=InvalidInput,
             events=("account.refused:denied",)),
        Case(prepare=change_account({"shared": False}, OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "accounts.remove_account": (
        Case(prepare=remove_account(ADMIN), events=("account.removed:completed",)),
        Case(prepare=remove_account(ADMIN, used=True), error=Conflict,
             events=("account.refused:denied",)),
        Case(prepare=remove_account(OPS), error=NotAllowed, events=DENIED_ROLE),
    ),
    "operating_stacks.open_stack": (
        Case(prepare=opened_stack(), events=("stack.opened:completed",)),
        Case(prepare=opened_stack("no.such.stack"), error=NotFound,
             events=("stack.opened:denied",)),
    ),
    "operating_stacks.record_conversion": (
        Case(prepare=converted_stack(), events=("stack.converted:completed",)),
        Case(prepare=converted_stack("no.such.stack"), error=NotFound,
             events=("stack.converted:denied",)),
    ),
    "hubs.request_hub": (
        Case(prepare=hub(ADMIN), events=("hub.requested:completed", "run.requested:completed")),
        Case(prepare=hub(OPS), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=hub(ADMIN, taken=True), error=Conflict, events=("hub.refused:denied",)),
    ),
    "provisioning.submit_request": (
        Case(
            prepare=submit("A"),
            events=("request.accepted:completed", "mode.resolved:completed",
                    "run.requested:completed", "tenant.status_changed:completed"),
        ),
        Case(
            prepare=submit("C"),
            events=("request.accepted:completed", "mode.resolved:completed",
                    "bundle.queued:completed", "tenant.status_changed:completed"),
        ),
        Case(
            prepare=submit("A", customer_managed_key=True),
            events=("request.accepted:completed", "mode.conflict:completed",
                    "tenant.status_changed:completed"),
        ),
        Case(prepare=submit_again, events=()),  # the same answer again; nothing is changed
        Case(prepare=submit("B", AUDITOR), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=submit("B", used=True, phone_sev1=True), error=ContractAlreadyUsed,
             events=("request.refused:denied",)),
        Case(
            prepare=submit("B", residency={"zone": None, "regions": ["eu-west-99"],
                                           "strict": False}),
            error=UnknownRegion, events=("request.refused:denied",),
        ),
    ),
    "runs.cancel_run": (
        Case(prepare=steer(runs.cancel_run, canceled=False),
             events=("approval.canceled:completed", "run.canceled:completed",
                     "tenant.status_changed:completed", "account.released:completed")),
        Case(prepare=steer(runs.cancel_run, canceled=True), error=IllegalTransition,
             events=("run.refused:denied",)),
        Case(prepare=steer(runs.cancel_run, AUTOMATION, canceled=False), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "runs.retry_run": (
        Case(prepare=steer(runs.retry_run, canceled=True),
             events=("run.requested:completed", "tenant.status_changed:completed",
                     "run.retried:completed")),
        Case(prepare=retry_blocked, events=("run.retried:completed",)),
        Case(prepare=steer(runs.retry_run, canceled=False), error=IllegalTransition,
             events=("run.refused:denied",)),
    ),
    "tenants.decide_mode": (
        Case(
            prepare=decide_mode(ARCHITECT, customer_managed_key=False),
            events=("mode.confirmed:completed", "mode.resolved:completed",
                    "run.requested:completed", "tenant.status_changed:completed"),
        ),
        Case(prepare=decide_mode(ARCHITECT), error=ModeConflict, events=("mode.refused:denied",)),
        Case(prepare=decide_mode(ARCHITECT, seats=1), error=InvalidInput,
             events=("mode.refused:denied",)),
        Case(prepare=decide_mode(OPS, customer_managed_key=False), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "permission.require_role": (
        Case(
            prepare=lambda scene: lambda: perform(
                scene.core, NOBODY, permission.require_role, Role.AUDITOR, wanted="x.read"
            ),
            error=NotAllowed, events=DENIED_ROLE,
        ),
    ),
    "permission.require_visibility": (
        Case(
            prepare=lambda scene: lambda: perform(
                scene.core, STRANGER, permission.require_visibility, "ten_b", wanted="x.read"
            ),
            error=NotFound, events=DENIED_ROLE,
        ),
        Case(
            prepare=lambda scene: lambda: perform(
                scene.core, STRANGER, permission.require_visibility, None, wanted="x.read"
            ),
            error=NotFound, events=DENIED_ROLE,
        ),
    ),
}  # fmt: skip


def _missing(ask: Act) -> None:
    with pytest.raises(NotFound):
        ask()


# what use cases are made of, and what performs or records them: the use cases show their events
# (of refusals that are counted, tests/unit/api/test_refusals_are_bounded.py)
PARTS = {
    "signing.check_signed",
    "accounts.change_account",
    "accounts.put_account",
    "auditing.note_read",
    "auditing.report_reads",
    "dossiers.record_export",
    "bundles.taken_up",
    "destroy_receipts.destroy_evidence",
    "disclosures.allow_opening",
    "idempotency.once",
    "taking.take_delivery",
    "looking.look_at_source",
    "mode_changes.require_no_saga",
    "modes.record_decision",
    # of people who are not signed in yet: tests/unit/api/test_console_sign_in.py
    "console.is_open",
    "console.refuse_sign_in",
    "console.sign_in",
    "console.sign_out",
    "console.visit",
    # of the holders of sessions: tests/workflows/test_onboarding_steps.py
    "onboarding_portal.complete_own",
    "onboarding_portal.reopen_own",
    "onboarding_portal.save_own",
    "onboarding_portal.see_step",
    "onboarding_portal.see_steps",
    "onboarding_steps.refusal",
    "onboarding_visits.holder_of",
    # of visitors, who get the same answer for every refusal: test_onboarding_links.py
    "onboarding_visits.admit",
    "onboarding_visits.ask_again",
    "onboarding_visits.redeem",
    "onboarding_visits.send_code",
    "onboarding_visits.sign_out",
    "onboarding_visits.view_link",
    "onboarding_visits.welcome",
    "modes.resolved_of",
    "performing.admitted",
    "performing.perform",
    "performing.perform_with",
    "permission.listed",
    "permission.record_bounded",
    "permission.refused",
    "permission.report_suppressed",
    "permission.visible",
    "permission.within_budget",
    "processes.record_schema",
    "processes.record_worker",
    "provisioning.record_refusal",
    "rules.record_rules",
    "starting.begin",
    "starting.first_start",
    "starting.next_bundle",
}
Read = Callable[[Scene, str, str, str], object]  # scene, tenant, run, bundle
READING: dict[str, Read] = {
    "people.list_people": lambda s, *_: perform(s.core, EVERYBODY, people.list_people),
    "people.people_of_tenant": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, people.people_of_tenant, tenant
    ),
    "people.may_assign": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, people.may_assign, tenant
    ),
    "meetings.list_meetings": lambda s, *_: perform(
        s.core, EVERYBODY, meetings.list_meetings, limit=5, before=None
    ),
    "meetings.get_meeting": lambda s, *_: perform(
        s.core, EVERYBODY, meetings.get_meeting, next(iter(s.rows("meeting")))
    ),
    "meetings.may_change": lambda s, *_: perform(
        s.core, EVERYBODY, meetings.may_change, next(iter(s.rows("meeting")))
    ),
    "accounts.may_change": lambda s, *_: perform(s.core, EVERYBODY, accounts.may_change, "create"),
    "intake_findings.list_intake_findings": lambda s, *_: perform(
        s.core, EVERYBODY, intake_findings.list_intake_findings, limit=5, before=None
    ),
    "intake_findings.may_settle": lambda s, *_: _missing(
        lambda: perform(s.core, EVERYBODY, intake_findings.may_settle, "ifd_x")
    ),
    "intake_findings.may_look": lambda s, *_: perform(s.core, EVERYBODY, intake_findings.may_look),
    "subscriptions.list_types": lambda s, *_: perform(s.core, EVERYBODY, subscriptions.list_types),
    "subscriptions.list_subscriptions": lambda s, *_: perform(
        s.core, EVERYBODY, subscriptions.list_subscriptions, limit=5, before=None
    ),
    "subscriptions.get_subscription": lambda s, *_: perform(
        s.core, EVERYBODY, subscriptions.get_subscription, s.subscription_id
    ),
    "subscriptions.list_sent": lambda s, *_: perform(
        s.core, EVERYBODY, subscriptions.list_sent, s.subscription_id, limit=5, before=None
    ),
    "subscriptions.may_change": lambda s, *_: perform(
        s.core, EVERYBODY, subscriptions.may_change, s.subscription_id
    ),
    "subscriptions.may_replay": lambda s, *_: perform(
        s.core, EVERYBODY, subscriptions.may_replay, s.subscription_id
    ),
    "messages.get_message": lambda s, *_: perform(
        s.core, EVERYBODY, messages.get_message, next(iter(s.rows("message")))
    ),
    "messages.list_messages": lambda s, *_: perform(
        s.core, EVERYBODY, messages.list_messages, limit=5, before=None
    ),
    "messages.may_send": lambda s, *_: perform(
        s.core, EVERYBODY, messages.may_send, next(iter(s.rows("message")))
    ),
    "approver_keys.signing_terms": lambda s, *_: perform(
        s.core, EVERYBODY, approver_keys.signing_terms
    ),
    "approver_keys.list_keys": lambda s, *_: perform(
        s.core, EVERYBODY, approver_keys.list_keys, limit=5, before=None
    ),
    "approver_keys.get_key": lambda s, *_: perform(
        s.core, EVERYBODY, approver_keys.get_key, next(iter(s.rows("approver_key")))
    ),
    "suppressions.list_suppressions": lambda s, *_: perform(
        s.core, EVERYBODY, suppressions.list_suppressions, limit=5, before=None
    ),
    "timelines.life_of_tenant": lambda s, *_: perform(
        s.core, EVERYBODY, timelines.life_of_tenant, s.task.tenant_id
    ),
    "counts.count_tenants": lambda s, *_: perform(s.core, EVERYBODY, counts.count_tenants),
    "journeys.tenant_journey": lambda s, *_: perform(
        s.core, EVERYBODY, journeys.tenant_journey, s.task.tenant_id
    ),
    "journeys.journeys_of_tenant": lambda s, *_: perform(
        s.core, EVERYBODY, journeys.journeys_of_tenant, s.task.tenant_id
    ),
    "watching.watched_tenant": lambda s, *_: perform(
        s.core, EVERYBODY, watching.watched_tenant, s.task.tenant_id
    ),
    "watching.events_after": lambda s, *_: perform(
        s.core, EVERYBODY, watching.events_after, s.task.tenant_id, 0
    ),
    "watching.read_events": lambda s, *_: perform(
        s.core, OPS, watching.read_events, s.task.tenant_id, 0
    ),
    "journeys.get_journey": lambda s, *_: perform(
        s.core, EVERYBODY, journeys.get_journey, s.task.cause.journey_id
    ),
    "journeys.list_journeys": lambda s, *_: perform(
        s.core, EVERYBODY, journeys.list_journeys, limit=5, before=None
    ),
    "tasks.list_tasks": lambda s, *_: perform(
        s.core, EVERYBODY, tasks.list_tasks, limit=5, before=None
    ),
    "tasks.get_task": lambda s, *_: perform(s.core, EVERYBODY, tasks.get_task, s.task.id),
    "deliveries.get_delivery": lambda s, *_: perform(
        s.core, EVERYBODY, deliveries.get_delivery, s.delivery_id
    ),
    "deliveries.list_deliveries": lambda s, *_: perform(
        s.core, EVERYBODY, deliveries.list_deliveries, limit=5, before=None
    ),
    "deliveries.may_decide": lambda s, *_: perform(
        s.core, EVERYBODY, deliveries.may_decide, s.delivery_id
    ),
    "deliveries.may_replay": lambda s, *_: perform(
        s.core, EVERYBODY, deliveries.may_replay, s.delivery_id
    ),
    "onboarding_steps.list_steps": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, onboarding_steps.list_steps, tenant
    ),
    "onboarding_steps.get_step": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, onboarding_steps.get_step, tenant, "verify_identity"
    ),
    "onboarding.get_link": lambda s, *_: perform(
        s.core, EVERYBODY, onboarding.get_link, s.linked_id
    ),
    "approvals.may_decide": lambda s, _, run, __: perform(
        s.core, EVERYBODY, approvals.may_decide, s.run(run).approval_id
    ),
    "approvals.require_decider": lambda s, _, run, __: perform(
        s.core, EVERYBODY, approvals.require_decider, s.rows("approval")[s.run(run).approval_id]
    ),
    "approvals.details_of": lambda s, *_: perform(
        s.core, EVERYBODY, approvals.details_of, list(s.rows("approval").values())
    ),
    "approvals.open_to_caller": lambda s, _, run, __: perform(
        s.core, EVERYBODY, approvals.open_to_caller, list(s.rows("approval").values()), {run}, ()
    ),
    "bundles.may_change": lambda s, _, __, bundle: perform(
        s.core, EVERYBODY, bundles.may_change, bundle, "edit"
    ),
    "changes.may_change": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, changes.may_change, tenant
    ),
    "changes.dry_run_change": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, changes.dry_run_change, tenant, {"seats": 2000}
    ),
    "mode_changes.may_change_mode": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, mode_changes.may_change_mode, tenant
    ),
    "mode_changes.dry_run_mode": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, mode_changes.dry_run_mode, tenant, mode_changes.Wish(reason="x")
    ),
    "data_handovers.show_manifest": lambda s, tenant, *_: _missing(
        lambda: perform(s.core, EVERYBODY, data_handovers.show_manifest, tenant)
    ),
    "mode_changes.show_change": lambda s, tenant, *_: _missing(
        lambda: perform(s.core, EVERYBODY, mode_changes.show_change, tenant)
    ),
    "changes.list_amendments": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, changes.list_amendments, tenant
    ),
    "hub_changes.may_change": lambda s, *_: perform(
        s.core, EVERYBODY, hub_changes.may_change, next(iter(s.rows("hub")))
    ),
    "hub_changes.dry_run_change": lambda s, *_: perform(
        s.core,
        EVERYBODY,
        hub_changes.dry_run_change,
        next(iter(s.rows("hub"))),
        HubWish(environment={"zones": 3}),
    ),
    "hubs.details_of": lambda s, *_: perform(
        s.core, EVERYBODY, hubs.details_of, next(iter(s.rows("hub").values()))
    ),
    "queue.may_steer": lambda s, *_: perform(s.core, EVERYBODY, queue.may_steer, "pause"),
    "queue.show_queue": lambda s, *_: perform(s.core, EVERYBODY, queue.show_queue),
    "queue.standing_pause": lambda s, *_: perform(s.core, EVERYBODY, queue.standing_pause),
    "runs.owner_of": lambda s, _, run, __: perform(s.core, OPS, runs.owner_of, s.run(run)),
    "runs.affected_by": lambda s, *_: perform(
        s.core, EVERYBODY, runs.affected_by, *s.rows("deployment").values()
    ),
    "waiting.approvals_of": lambda s, *_: perform(
        s.core, EVERYBODY, waiting.approvals_of, list(s.rows("run").values())
    ),
    "waiting.queued_runs": lambda s, *_: perform(s.core, EVERYBODY, waiting.queued_runs),
    "waiting.given_on": lambda s, *_: perform(
        s.core, EVERYBODY, waiting.given_on, list(s.rows("approval").values())
    ),
    "waiting.waits_of": lambda s, *_: perform(
        s.core, EVERYBODY, waiting.waits_of, list(s.rows("run").values())
    ),
    "drift.may_check": lambda s, tenant, *_: perform(s.core, EVERYBODY, drift.may_check, tenant),
    "drift.list_findings": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, drift.list_findings, tenant, limit=5, before=None
    ),
    "drift.may_check_hub": lambda s, *_: perform(
        s.core, EVERYBODY, drift.may_check_hub, next(iter(s.rows("hub")))
    ),
    "drift.list_hub_findings": lambda s, *_: perform(
        s.core,
        EVERYBODY,
        drift.list_hub_findings,
        next(iter(s.rows("hub"))),
        limit=5,
        before=None,
    ),
    "findings.may_decide": lambda s, *_: perform(
        s.core, EVERYBODY, findings.may_decide, next(iter(s.rows("finding")))
    ),
    "findings.may_decide_of_tenant": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, findings.may_decide_of_tenant, tenant
    ),
    "findings.list_open": lambda s, *_: perform(
        s.core, EVERYBODY, findings.list_open, limit=5, before=None
    ),
    "findings.get_finding": lambda s, *_: perform(
        s.core, EVERYBODY, findings.get_finding, next(iter(s.rows("finding")))
    ),
    "findings.decisions_on": lambda s, *_: perform(
        s.core, EVERYBODY, findings.decisions_on, next(iter(s.rows("finding")))
    ),
    "residences.residence_of": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, residences.residence_of, tenant
    ),
    "sweeps.may_sweep": lambda s, *_: perform(s.core, EVERYBODY, sweeps.may_sweep),
    "sweeps.get_sweep": lambda s, *_: perform(
        s.core, EVERYBODY, sweeps.get_sweep, next(iter(s.rows("sweep")))
    ),
    "sweeps.list_sweeps": lambda s, *_: perform(
        s.core, EVERYBODY, sweeps.list_sweeps, limit=5, before=None
    ),
    "operating_stacks.all_stacks": lambda s, *_: perform(
        s.core, EVERYBODY, operating_stacks.all_stacks
    ),
    "holds.may_place_on_tenant": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, holds.may_place_on_tenant, tenant
    ),
    "holds.may_place_on_hub": lambda s, *_: perform(
        s.core, EVERYBODY, holds.may_place_on_hub, next(iter(s.rows("hub")))
    ),
    "holds.may_release": lambda s, *_: perform(
        s.core, EVERYBODY, holds.may_release, next(iter(s.rows("hold")))
    ),
    "holds.get_hold": lambda s, *_: perform(
        s.core, EVERYBODY, holds.get_hold, next(iter(s.rows("hold")))
    ),
    "holds.holds_on_tenant": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, holds.holds_on_tenant, tenant
    ),
    "holds.holds_on_hub": lambda s, *_: perform(
        s.core, EVERYBODY, holds.holds_on_hub, next(iter(s.rows("hub")))
    ),
    "removals.may_remove_tenant": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, removals.may_remove_tenant, tenant
    ),
    "removals.may_remove_hub": lambda s, *_: perform(
        s.core, EVERYBODY, removals.may_remove_hub, next(iter(s.rows("hub")))
    ),
    "removals.dry_run_removal": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, removals.dry_run_removal, tenant, removals.may_remove_tenant
    ),
    "removals.removal_of_tenant": lambda s, tenant, *_: _missing(
        lambda: perform(s.core, EVERYBODY, removals.removal_of_tenant, tenant)
    ),
    "removals.removal_of_hub": lambda s, *_: _missing(
        lambda: perform(s.core, EVERYBODY, removals.removal_of_hub, next(iter(s.rows("hub"))))
    ),
    "removals.tenant_certificate": lambda s, tenant, *_: _missing(
        lambda: perform(s.core, EVERYBODY, removals.tenant_certificate, tenant)
    ),
    "removals.hub_certificate": lambda s, *_: _missing(
        lambda: perform(s.core, EVERYBODY, removals.hub_certificate, next(iter(s.rows("hub"))))
    ),
    "sagas.get_saga": lambda s, *_: _missing(
        lambda: perform(s.core, EVERYBODY, sagas.get_saga, "sga_x")
    ),
    "sagas.may_steer": lambda s, *_: _missing(
        lambda: perform(s.core, EVERYBODY, sagas.may_steer, "sga_x", "retry")
    ),
    "hubs.may_request": lambda s, *_: perform(s.core, EVERYBODY, hubs.may_request),
    "provisioning.may_submit": lambda s, *_: perform(s.core, EVERYBODY, provisioning.may_submit),
    "bundles.allowed_actions": lambda s, _, __, bundle: perform(
        s.core, EVERYBODY, bundles.allowed_actions, s.rows("bundle")[bundle]
    ),
    "runs.allowed_actions": lambda s, _, run, __: perform(
        s.core, EVERYBODY, runs.allowed_actions, s.run(run)
    ),
    "runs.may_steer": lambda s, _, run, __: perform(
        s.core, EVERYBODY, runs.may_steer, run, "cancel"
    ),
    "approvals.get_approval": lambda s, _, run, __: perform(
        s.core, EVERYBODY, approvals.get_approval, s.run(run).approval_id
    ),
    "approvals.list_approvals": lambda s, *_: perform(
        s.core, EVERYBODY, approvals.list_approvals, limit=5, before=None, status=None
    ),
    "disclosures.may_ask": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, disclosures.may_ask, tenant
    ),
    "disclosures.keepers_log": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, disclosures.keepers_log, tenant, wanted="x"
    ),
    "disclosures.list_grants": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, disclosures.list_grants, tenant, limit=5, before=None
    ),
    "disclosures.get_grant": lambda s, tenant, *_: _missing(
        lambda: perform(s.core, EVERYBODY, disclosures.get_grant, tenant, "dsg_x")
    ),
    "erasures.may_ask_for_erasure": lambda s, *_: perform(
        s.core, EVERYBODY, erasures.may_ask_for_erasure, "all"
    ),
    "erasures.list_erasures": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, erasures.list_erasures, tenant, limit=5, before=None
    ),
    "erasures.get_erasure": lambda s, tenant, *_: _missing(
        lambda: perform(s.core, EVERYBODY, erasures.get_erasure, tenant, "ers_x")
    ),
    "dossiers.may_export": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, dossiers.may_export, tenant
    ),
    "quarantine.list_set_aside": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, quarantine.list_set_aside, tenant, limit=5
    ),
    "auditing.tree_for": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, auditing.tree_for, tenant, wanted="x"
    ),
    "auditing.checkpoint": lambda s, tenant, *_: _missing(
        lambda: perform(s.core, EVERYBODY, auditing.checkpoint, tenant)
    ),
    "accounts.get_account": lambda s, *_: perform(s.core, EVERYBODY, accounts.get_account, ACCOUNT),
    "accounts.list_accounts": lambda s, *_: perform(
        s.core, EVERYBODY, accounts.list_accounts, limit=5, before=None
    ),
    "handovers.list_links": lambda s, _, __, bundle: perform(
        s.core, EVERYBODY, handovers.list_links, bundle
    ),
    "bundles.warnings": lambda s, _, __, bundle: bundles.warnings(
        s.core, perform(s.core, EVERYBODY, bundles.get_bundle, bundle)
    ),
    "bundles.get_bundle": lambda s, _, __, bundle: perform(
        s.core, EVERYBODY, bundles.get_bundle, bundle
    ),
    "bundles.list_bundles": lambda s, *_: perform(
        s.core, EVERYBODY, bundles.list_bundles, limit=5, before=None, status=None
    ),
    "hubs.find_hub": lambda s, *_: perform(
        s.core, EVERYBODY, hubs.find_hub, next(iter(s.rows("hub")))
    ),
    "hubs.get_hub": lambda s, *_: perform(
        s.core, EVERYBODY, hubs.get_hub, next(iter(s.rows("hub")))
    ),
    "hubs.list_hubs": lambda s, *_: perform(
        s.core, EVERYBODY, hubs.list_hubs, limit=5, before=None
    ),
    "modes.resolve_mode": lambda s, *_: perform(
        s.core, EVERYBODY, modes.resolve_mode, modes.facts_of(request_body("B"))
    ),
    "provisioning.dry_run_request": lambda s, *_: perform(
        s.core, EVERYBODY, provisioning.dry_run_request, request_body("B")
    ),
    "provisioning.get_request": lambda s, *_: perform(
        s.core, EVERYBODY, provisioning.get_request, next(iter(s.rows("provisioning_request")))
    ),
    "provisioning.list_requests": lambda s, *_: perform(
        s.core, EVERYBODY, provisioning.list_requests, limit=5, before=None
    ),
    "runs.get_run": lambda s, _, run, __: perform(s.core, EVERYBODY, runs.get_run, run),
    "runs.get_plan": lambda s, _, run, __: perform(s.core, EVERYBODY, runs.get_plan, run),
    "runs.replaced_run": lambda s, _, run, __: perform(s.core, EVERYBODY, runs.replaced_run, run),
    "runs.compare_plans": lambda s, _, run, __: perform(s.core, EVERYBODY, runs.compare_plans, run),
    "runs.list_runs": lambda s, *_: perform(
        s.core, EVERYBODY, runs.list_runs, limit=5, before=None, tenant_id=None, status=None
    ),
    "runs.events_after": lambda s, _, run, __: perform(
        s.core, EVERYBODY, runs.events_after, run, 0
    ),
    "runs.deployments_of": lambda s, _, run, __: perform(
        s.core, OPS, runs.deployments_of, s.run(run)
    ),
    "runs.read_progress": lambda s, _, run, __: perform(s.core, OPS, runs.read_progress, run, 0),
    "runs.evidence_of": lambda s, _, run, __: perform(s.core, OPS, runs.evidence_of, s.run(run)),
    "tenants.get_tenant": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, tenants.get_tenant, tenant
    ),
    "tenants.show_tenant": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, tenants.show_tenant, tenant
    ),
    "tenants.list_tenants": lambda s, *_: perform(
        s.core, EVERYBODY, tenants.list_tenants, limit=5, before=None, status=None
    ),
    "tenants.deployments_of": lambda s, tenant, *_: perform(
        s.core, EVERYBODY, tenants.deployments_of, tenant
    ),
}
