"""The catalogue of audit events: every action that can be recorded, with its schema.

A schema is closed: an event carries the data fields named here and no others, so that nothing
reaches the log because somebody passed a whole object. What can identify a person is named under
``personal`` and enters the log only as a salted commitment (``domain/audit.py``). Free text that
people write is personal, since it may name somebody.

Each event carries the digest of its action's schema. A schema that changes gets a higher version,
and the digest of the older one moves to ``RETIRED_SCHEMAS``, so that old logs stay verifiable.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from control_plane.domain.canonical import digest

BODY_VERSION: Final = "1.0"


class Stage(StrEnum):
    """Where the recorded act stands when its event is written."""

    ATTEMPTED = "attempted"  # durable before an effect outside the database
    COMPLETED = "completed"
    FAILED = "failed"
    DENIED = "denied"  # refused by a rule; nothing was done
    UNKNOWN = "unknown"  # attempted, and nobody can say how it ended


class DataKind(StrEnum):
    """The shape of one data field."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXTS = "texts"  # a list of texts
    FACTS = "facts"  # an object of texts, integers, booleans, nulls and lists of texts
    ROWS = "rows"  # a list of such objects


@dataclass(frozen=True, kw_only=True)
class ActionSchema:
    """What an event of one action may hold.

    ``personal`` are the allowed first segments of personal paths: ``contacts`` allows
    ``contacts.0.email``.
    """

    name: str
    version: int
    description: str
    stages: frozenset[Stage]
    data: Mapping[str, DataKind]
    personal: frozenset[str]
    digest: str


_T, _I, _B, _L, _F, _R = DataKind
_COMMON_DATA: Final[Mapping[str, DataKind]] = {
    "code": _T,  # stable code of an error or refusal
    "status": _T,
    "previous_status": _T,
    "waiting_on": _T,
    "mode": _T,
    "region": _T,
    "environment": _T,
    "deployment": _T,
    "digest": _T,
    "changed": _L,  # names of changed fields, never their values
    "count": _I,
    "attempt": _I,
    "duration_ms": _I,
    "version": _I,
}
_COMMON_PERSONAL: Final = frozenset({"reason", "actor_name", "remote_address", "user_agent"})
_ENDED: Final = frozenset({Stage.COMPLETED, Stage.FAILED, Stage.DENIED})
_EFFECT: Final = frozenset(Stage)
_DENIED: Final = frozenset({Stage.DENIED})


def _schema(
    name: str,
    description: str,
    *,
    stages: frozenset[Stage] = _ENDED,
    personal: tuple[str, ...] = (),
    version: int = 1,
    **data: DataKind,
) -> ActionSchema:
    """Build a schema and its digest; the description may be reworded without a new version."""
    fields = {**_COMMON_DATA, **data}
    roots = _COMMON_PERSONAL | set(personal)
    document: dict[str, Any] = {
        "body": BODY_VERSION,
        "name": name,
        "version": version,
        "stages": sorted(stages),
        "data": dict(fields),
        "personal": sorted(roots),
    }
    return ActionSchema(
        name=name,
        version=version,
        description=description,
        stages=stages,
        data=MappingProxyType(fields),
        personal=roots,
        digest=digest(document),
    )


_REQUESTS: Final = (
    _schema("request.accepted", "A provisioning request was accepted; a tenant exists.",
            personal=("contacts",), contract=_T, contract_digest=_T, provider=_T, envelope_id=_T,
            body_digest=_T, slug=_T, subscription=_T, country=_T, earlier_requests=_L),
    _schema("request.refused", "A request was refused; nothing was stored.",
            version=2, stages=_DENIED, body_digest=_T, provider=_T, envelope_id=_T, route=_T,
            fields=_L, suppressed=_I),
    _schema("mode.resolved", "The mode was resolved from the facts.",
            version=2, required_mode=_T, rules=_L, rules_digest=_T, facts_digest=_T,
            needs_review=_B),
    _schema("mode.conflict", "Contract and facts contradict each other; nothing is provisioned.",
            version=2, required_mode=_T, rules=_L, rules_digest=_T, facts_digest=_T,
            needs_review=_B),
    _schema("mode.confirmed", "An architect confirmed a mode or corrected the facts.",
            version=2, required_mode=_T, rules=_L, rules_digest=_T, facts_digest=_T,
            previous_facts_digest=_T),
    _schema("mode.refused", "A confirmation of a mode was refused.",
            version=2, stages=_DENIED),
    _schema("mode.change_requested", "A change of the mode was requested; `way` says how.",
            way=_T, previous_mode=_T, amendment=_T, required_mode=_T, rules=_L, rules_digest=_T,
            facts_digest=_T, previous_facts_digest=_T),
    _schema("mode.switched", "The tenant has its new mode: the new deployment took over.",
            previous_mode=_T, amendment=_T, frozen_ms=_I, counts=_L, digests=_L),
    _schema("handover.manifest_made", "What is handed over to the customer was listed.",
            saga=_T, number=_I, counts=_L, digests=_L),
    _schema("handover.said", "A person said that the first copy has arrived, or named a dump.",
            saga=_T, word=_T),
    _schema("handover.imported", "The customer's import report equals the manifest.",
            saga=_T, report=_T, manifest=_T, counts=_L),
    _schema("handover.refused", "A word or a report in a hand-over was refused.",
            stages=_DENIED, wanted=_T, field=_T),
    _schema("change.requested", "Facts of a tenant were changed, or are to be applied again.",
            version=2, facts_digest=_T, previous_facts_digest=_T, spec=_L, supersedes=_T,
            amendment=_T, retention_until=_T, chosen=_F),
    _schema("change.refused", "A change of a tenant was refused; nothing was stored.",
            stages=_DENIED),
    _schema("tenant.status_changed", "The tenant's provisioning status changed."),
    _schema("rules.loaded", "A rules document took effect.", document=_T),
)  # fmt: skip

_DELIVERIES: Final = (
    _schema("delivery.received", "A provider posted something with a good signature; it is kept.",
            source=_T, event=_T, envelope_id=_T, content_sha256=_T, key=_T),
    _schema("delivery.denied", "Something with a wrong signature was posted; no content is kept.",
            stages=_DENIED, source=_T, content_sha256=_T, suppressed=_I),
    _schema("delivery.taken", "A worker took a delivery; `status` says what became of it.",
            source=_T, event=_T, envelope_id=_T, content_sha256=_T, request=_T, field=_T),
    _schema("delivery.replayed", "A delivery that was held or refused is taken again.",
            source=_T, event=_T, envelope_id=_T, content_sha256=_T),
    _schema("delivery.decided", "A person decided on a delivery that was held or refused.",
            source=_T, event=_T, envelope_id=_T, content_sha256=_T, decision=_T),
    _schema("delivery.read", "The content of a delivery was read.",
            source=_T, content_sha256=_T),
    _schema("delivery.refused", "A replay of a delivery or a decision on it was refused.",
            stages=_DENIED, wanted=_T),
    _schema("intake.look_requested", "A look at a source of contracts was requested.", source=_T),
    _schema("intake_finding.opened", "A source of contracts and this installation differ.",
            source=_T, kind=_T, subject=_T, delivery=_T),
    _schema("intake_finding.agreed", "Both sides agree again: a finding closed by itself.",
            source=_T, kind=_T, subject=_T, why=_T),
    _schema("intake_finding.settled", "A person settled a finding, with a reason.",
            source=_T, kind=_T, subject=_T),
    _schema("intake_finding.refused", "The settling of a finding was refused.", stages=_DENIED),
)  # fmt: skip

_SUBSCRIPTIONS: Final = (
    _schema("subscription.created", "Somebody subscribed to public events.",
            types=_L, host=_T, generation=_I),
    _schema("subscription.changed", "A subscription was changed, paused or resumed.",
            types=_L, host=_T),
    _schema("subscription.rotated", "A subscription has a new secret; the former one signs too "
            "for a day.", generation=_I),
    _schema("subscription.tested", "A test event goes to a subscription.", event=_T),
    _schema("subscription.replayed", "Events go to a subscription again.", event=_T, since=_T),
    _schema("subscription.removed", "A subscription was removed, with what waited for it."),
    _schema("subscription.disabled", "Nothing is sent to a subscription any more; `code` says "
            "why.", answer=_I),
    _schema("subscription.refused", "A change of a subscription was refused.",
            stages=_DENIED, wanted=_T),
)  # fmt: skip

_JOURNEYS: Final = (
    _schema("journey.started", "A journey began by a playbook, whose digest pins it.",
            playbook=_T),
    _schema("journey.step_moved", "A step of a journey changed its status.",
            step=_T, round=_I, outcome=_T),
    _schema("journey.step_tried", "The product begins an attempt of a step, outside of the rows.",
            stages=_EFFECT, step=_T, round=_I, does=_T),
    _schema("journey.step_decided", "A person retried a step, skipped it, or said it is done.",
            step=_T, round=_I, decision=_T, outcome=_T),
    _schema("journey.step_undone", "What a step did was taken back, or could not be.",
            step=_T, round=_I, does=_T),
    _schema("journey.canceled", "A journey was canceled; what it did is taken back."),
    _schema("journey.ended", "A journey ended."),
    _schema("journey.refused", "What was asked of a journey was refused.",
            stages=_DENIED, wanted=_T, step=_T),
    _schema("task.opened", "Something waits for a person.",
            about=_T, owner=_T, step=_T, due_at=_T),
    _schema("task.ended", "A task was done, or nobody has to do it any more.",
            about=_T, owner=_T, step=_T),
    _schema("task.reassigned", "A task was given to another owner or person.",
            personal=("assignee",), about=_T, owner=_T, previous_owner=_T, step=_T),
    _schema("task.refused", "What was asked of a task was refused.",
            stages=_DENIED, wanted=_T),
)  # fmt: skip

_MESSAGES: Final = (
    _schema("message.queued", "A message to a person was queued; it is sent once.",
            personal=("recipient",), event=_T, persona=_T, channel=_T, locale=_T,
            message_class=_T, cause=_T),
    _schema("message.sent", "A message is handed to the mail system, or that ended.",
            stages=_EFFECT, event=_T, persona=_T, channel=_T, system=_T, template=_T,
            template_digest=_T, system_id=_T, may_be_twice=_B),
    _schema("message.not_sent", "A message was suppressed, or could not be sent.",
            event=_T, persona=_T, channel=_T, why=_T),
    _schema("message.sent_again", "A message that was not sent is queued again.",
            event=_T, persona=_T, why=_T),
    _schema("message.canceled", "Somebody decided that a message is not sent.",
            event=_T, persona=_T, why=_T),
    _schema("message.read", "Somebody read a message as its recipient sees it.",
            event=_T, persona=_T),
    _schema("message.erased", "Recipients and contents of a removed tenant's messages were "
            "erased."),
    _schema("message.refused", "Something with a message was refused.",
            stages=_DENIED, wanted=_T),
    _schema("suppression.added", "Nothing is sent to an address any more.",
            kind=_T, address_sha256=_T),
    _schema("suppression.lifted", "An address gets messages again.",
            kind=_T, address_sha256=_T),
    _schema("suppression.refused", "A suppression or its end was refused.",
            stages=_DENIED, wanted=_T),
)  # fmt: skip

_ONBOARDING: Final = (
    _schema("onboarding.issued", "A one-time link was issued; its mail is in the outbox.",
            personal=("recipient",), link=_T, message=_T, expires_at=_T, cause=_T),
    _schema("onboarding.viewed", "The page of a link was opened for the first time.", link=_T),
    _schema("onboarding.code_sent", "A code was sent to the mailbox of the link.",
            link=_T, number=_I, message=_T),
    _schema("onboarding.redeemed", "A link was used, and opened a session.",
            link=_T, session=_T),
    _schema("onboarding.rejected", "A link or a code was refused; its caller does not see why.",
            stages=_DENIED, link=_T, why=_T, suppressed=_I),
    _schema("onboarding.replay_rejected", "A used link came again, from another network.",
            stages=_DENIED, link=_T, suppressed=_I),
    _schema("onboarding.expired", "The time of a link has ended.", link=_T),
    _schema("onboarding.revoked", "A link was revoked, with the sessions that it opened.",
            personal=("reason",), link=_T, why=_T, sessions=_I),
    _schema("onboarding.signed_out", "Somebody left the portal.", link=_T, session=_T),
    _schema("onboarding.alarm", "More links are tried in a minute than people would.",
            attempts=_I),
    _schema("onboarding.step_saved", "Answers to a step were saved; `answers` has their digests.",
            step=_T, answers=_F),
    _schema("onboarding.step_completed", "A step was completed.", step=_T, answers=_F),
    _schema("onboarding.step_reopened", "A complete step was opened again, and those that need it.",
            personal=("reason",), step=_T, resets=_L),
    _schema("onboarding.step_reset", "A step is open again because one that it needs is.",
            step=_T, because=_T),
    _schema("onboarding.step_refused", "A step was not saved, completed or opened again.",
            stages=_DENIED, wanted=_T, step=_T),
    _schema("onboarding.launched", "Every step and every check was green, and the customer began.",
            checks=_L),
    _schema("console.signed_in", "A person signed in to the console.", session=_T),
    _schema("console.signed_out", "A person signed out of the console.", session=_T),
    _schema("console.refused", "Somebody could not sign in to the console.",
            stages=_DENIED, why=_T, subject=_T, kind=_T, suppressed=_I),
    _schema("onboarding.refused", "A link was not issued, or not revoked.",
            stages=_DENIED, wanted=_T),
)  # fmt: skip

_PEOPLE: Final = (
    _schema("people.assigned", "Somebody of the vendor was assigned to a tenant.",
            person=_T, role=_T, segment=_T, queue_owner=_B, previous=_T, cause=_T),
    _schema("people.released", "An assignment ended.", person=_T, role=_T, segment=_T),
    _schema("people.refused", "An assignment was refused.",
            stages=_DENIED, wanted=_T, role=_T),
    _schema("people.erased", "What people wrote or who was invited was erased from rows of a "
            "removed tenant.",
            assignments=_I, meetings=_I),
    _schema("staffing.exhausted", "Nobody could be assigned: the owner of the queue has it.",
            person=_T, role=_T, segment=_T, candidates=_L),
    _schema("meeting.invited", "People were invited to a meeting.",
            meeting=_T, sequence=_I, starts_at=_T, missing=_L),
    _schema("meeting.changed", "Other people are invited to a meeting.",
            meeting=_T, sequence=_I, starts_at=_T),
    _schema("meeting.moved", "A meeting is at another time.",
            meeting=_T, sequence=_I, starts_at=_T, previous_start=_T),
    _schema("meeting.canceled", "A meeting was called off.",
            meeting=_T, sequence=_I, starts_at=_T),
    _schema("meeting.refused", "A change of a meeting was refused.",
            stages=_DENIED, wanted=_T),
)  # fmt: skip

_HOLDS: Final = (
    _schema("hold.placed", "A hold was placed on a tenant or a Hub: nothing begins to be applied.",
            kind=_T, applying=_T),
    _schema("hold.released", "A hold was released; `standing` counts those that still stand.",
            kind=_T, standing=_I),
    _schema("hold.refused", "The placing or the release of a hold was refused.",
            stages=_DENIED, wanted=_T, kind=_T),
)  # fmt: skip

_SAGAS: Final = (
    _schema("saga.started", "Something that takes several steps was started.", kind=_T, steps=_L),
    _schema("saga.step_ended", "A step was taken, taken back, or failed.",
            kind=_T, step=_T, number=_I, is_undo=_B, outcome=_T),
    _schema("saga.retried", "The step that failed is taken again.", kind=_T, step=_T),
    _schema("saga.withdrawn", "It is not carried on; what was done is taken back.",
            kind=_T, step=_T),
    _schema("saga.ended", "Every step was taken, or taken back.", kind=_T),
    _schema("saga.refused", "A retry or a withdrawal was refused.",
            stages=_DENIED, kind=_T, wanted=_T),
)  # fmt: skip

_REMOVALS: Final = (
    _schema("removal.requested", "The removal of a tenant or a Hub was requested.",
            saga=_T, unprotect=_L),
    _schema("removal.refused", "A removal, or what somebody said in one, was refused.",
            stages=_DENIED, wanted=_T),
    _schema("removal.counted", "The data stores of what is removed were counted.",
            saga=_T, stores=_R),
    _schema("removal.decided", "A person acknowledged or waived the export of the data, or said "
            "whether the customer destroyed what it had applied.",
            version=2, saga=_T, word=_T, stores=_R, bundle=_T, content_digest=_T,
            destroyed_at=_T, resources_left=_I, remaining=_L),
    _schema("removal.closed", "Nothing is left of a tenant or a Hub but what has to remain.",
            saga=_T, remaining=_I),
    _schema("removal.certified", "The certificate of a removal was issued; `digest` binds it.",
            saga=_T, certificate=_T),
    _schema("stack.key_destroyed", "The key of a removed stack's state was destroyed, after the "
            "records of the state.",
            stack=_T),
    _schema("tenant.personal_erased", "People at the customer were erased from the rows of a "
            "removed tenant.",
            contacts=_I, recipients=_I),
    _schema("retention.set", "What a tenant has is kept until a later date.", until=_T),
    _schema("retention.refused", "A retention date was refused.", stages=_DENIED),
    _schema("account.retired", "An AWS account served a deployment that was removed.", account=_T),
)  # fmt: skip

_PLATFORM: Final = (
    _schema("database.upgraded", "A worker found the database upgraded to another schema.",
            revision=_T, previous_revision=_T),
    _schema("worker.started", "A worker started.", worker=_T),
    _schema("worker.stopped", "A worker stopped in an orderly way.", worker=_T),
    _schema("hub.requested", "A shared Hub was requested.", cell=_T, capacity=_I),
    _schema("hub.refused", "A request for a Hub was refused.", stages=_DENIED, cell=_T),
    _schema("hub.ready", "A shared Hub is ready for slices.", cell=_T, capacity=_I),
    _schema("hub.change_requested", "A Hub was changed, with the tenants that depend on it.",
            capacity=_I, chosen=_F, spec=_L, tenants=_L, supersedes=_T),
    _schema("hub.change_refused", "A change of a Hub was refused; nothing was stored.",
            stages=_DENIED),
    _schema("hub.slice_updates_requested", "Slices are brought to what their Hub is now.",
            runs=_L, skipped=_L),
    _schema("queue.paused", "The queue was paused: workers take nothing up."),
    _schema("queue.resumed", "The pause of the queue was ended.", pause=_T),
    _schema("queue.refused", "A pause of the queue, or its end, was refused.",
            stages=_DENIED, wanted=_T),
    _schema("hub.failed", "A shared Hub could not be built.", cell=_T),
    _schema("account.added", "An AWS account was added to the pool.", account=_T, shared=_B),
    _schema("account.claimed", "A deployment claimed an AWS account from the pool.",
            account=_T, shared=_B),
    _schema("account.released", "An AWS account was released to the pool.", account=_T),
    _schema("account.updated", "The role, external id or sharing of an AWS account changed.",
            account=_T, shared=_B, fields=_L),
    _schema("account.removed", "An AWS account was removed from the pool.", account=_T),
    _schema("account.refused", "A change to the pool of AWS accounts was refused.",
            stages=_DENIED, account=_T),
)  # fmt: skip

_PERSONAL_VALUES: Final = (
    _schema("disclosure.opened", "Somebody opened a personal value of an entry.",
            path=_T, index=_I),
    _schema("disclosure.requested", "A grant was asked for: exports may hold personal values.",
            paths=_L, first_idx=_I, last_idx=_I, expires_at=_T),
    _schema("disclosure.granted", "A second person gave a grant.",
            paths=_L, first_idx=_I, last_idx=_I, expires_at=_T),
    _schema("disclosure.refused", "The reading of values, or a grant, was refused.",
            stages=_DENIED, wanted=_T),
    _schema("erasure.requested", "Somebody named personal values of logs to be erased.",
            reference=_T, scope=_T),
    _schema("erasure.done", "A second person confirmed it: the named values and their salts were "
            "erased; commitments stay.",
            reference=_T, values=_L),
    _schema("erasure.refused", "An erasure was refused.", stages=_DENIED, wanted=_T),
)  # fmt: skip

_RUNS: Final = (
    _schema("run.requested", "A run was requested.",
            version=3, kind=_T, retry_of=_T, spec_version=_I, cause=_T, playbook=_T),
    _schema("run.planned", "The engine planned what the run would change.",
            version=2, stages=_EFFECT, plan=_T, plan_digest=_T, parts=_F, summary=_F),
    _schema("run.policy_evaluated", "The policies evaluated the plan, or what was applied.",
            version=2, violations=_R, policies_digest=_T, phase=_T),
    _schema("run.approval_requested", "The run waits for decisions on its plan.",
            version=4, plan=_T, plan_digest=_T, expires_at=_T, barred=_I, needed=_I, rules=_L,
            rules_digest=_T, windows=_L, risks=_R, signed=_B),
    _schema("run.approval_withdrawn", "Too few people approve the run's plan any more; it waits.",
            plan=_T, plan_digest=_T),
    _schema("run.approved", "The run was approved, by decision or by a rule that needs none.",
            plan=_T, plan_digest=_T, rule=_T),
    _schema("run.rejected", "The run was rejected.", plan=_T, plan_digest=_T),
    _schema("run.expired", "The run was not decided on, or not started, in time.",
            plan=_T, plan_digest=_T, expires_at=_T),
    _schema("run.superseded", "The run was superseded by a newer one.",
            version=2, superseded_by=_T),
    _schema("run.apply", "The engine applied the plan.",
            version=2, stages=_EFFECT, plan_digest=_T, call=_T, summary=_F, state_before=_T,
            state_digest=_T, outputs=_L, resumed=_B),
    _schema("run.verified", "The applied stack was verified by the named checks.",
            checks=_R, failed=_L, state_digest=_T),
    _schema("run.no_changes", "The run had nothing to apply.", plan=_T, plan_digest=_T),
    _schema("run.canceled", "The run was canceled.", stages=_EFFECT, during=_T),
    _schema("run.blocked", "The run is blocked by the named condition.",
            version=2, blocked_on=_T, part=_T, next_action=_T, resources=_L),
    _schema("run.unblocked", "The blocking condition cleared.", blocked_on=_T),
    _schema("run.errored", "The run failed.", version=2, phase=_T),
    _schema("run.retried", "A retry of the run was requested.", new_run=_T, blocked_on=_T),
    _schema("run.resumed", "The run resumed after its process had died.",
            phase=_T, call=_T, state_digest=_T, ours=_B),
    _schema("stack.settled", "What was left on the stack was settled before the run used it.",
            call=_T, state_digest=_T, ours=_B),
    _schema("run.refused", "A retry or cancel of a run, or a look, was refused.",
            stages=_DENIED, wanted=_T),
    _schema("drift.found", "A look found what is not as it was applied; values are not recorded.",
            findings=_R),
    _schema("drift.cleared", "What was not as it was applied no longer differs.", findings=_R),
    _schema("drift.decided", "A person decided what becomes of findings; `run` carries it out.",
            verdict=_T, until=_T, findings=_R),
    _schema("drift.refused", "A decision on findings, or a sweep, was refused.",
            stages=_DENIED, verdict=_T, wanted=_T, findings=_L),
    _schema("drift.waiver_ended", "Findings that were waived count again; `code` says why.",
            findings=_R),
    _schema("drift.sweep_requested", "A look at everything that was applied was asked for.",
            sweep=_T, minutes=_I),
    _schema("residency.recorded", "Where everything of a deployment is, against what was promised.",
            residence=_T, promised=_B, allowed=_L, regions=_L, misplaced=_I, complete=_B),
    _schema("run.cleaned_up", "Processes left by a dead attempt were terminated.",
            version=2, stages=_EFFECT, processes=_I, locks=_L),
    _schema("lock.broken", "A stale lock of one of our runs was broken.",
            stages=_EFFECT, lock=_T, call=_T),
    _schema("pending.resolved", "An interrupted create was imported or cleared with proof.",
            stages=_EFFECT, resources=_R),
    _schema("stack.converted", "The state that an earlier release wrote was taken over.",
            stack=_T, resources=_I),
    _schema("stack.opened", "An operator opened a stack to read it with the plain engine.",
            stack=_T),
    _schema("stack.foreign_update", "A stack was changed by something other than our runs.",
            stack=_T, state_digest=_T, previous_digest=_T),
)  # fmt: skip

_DECISIONS: Final = (
    _schema("decision.given", "A person decided on a plan digest.",
            version=3, personal=("reason_salt",), verdict=_T, plan_digest=_T, approvals=_I,
            needed=_I, acknowledged=_L, statement=_T, signature=_T, approver_key=_T),
    _schema("decision.withdrawn", "A person withdrew an approval before its apply began.",
            decision=_T, plan_digest=_T, approvals=_I, needed=_I),
    _schema("decision.refused", "A decision was refused; nothing was applied.",
            stages=_DENIED, verdict=_T, plan_digest=_T, part=_T, barred_as=_T),
    _schema("approver_key.enrolled", "A person enrolled a public key, and proved to have it.",
            approver_key=_T, public_key=_T, statement=_T, signature=_T),
    _schema("approver_key.confirmed", "A second person confirmed whose a key is, with their own.",
            approver_key=_T, public_key=_T, by_key=_T, statement=_T, signature=_T),
    _schema("approver_key.revoked", "A key of an approver counts no more.",
            approver_key=_T, public_key=_T),
    _schema("approver_key.refused", "An enrollment, confirmation or revocation was refused.",
            stages=_DENIED, wanted=_T, approver_key=_T),
    _schema("approval.not_needed", "A plan does only what the named rule lists as harmless.",
            plan=_T, plan_digest=_T, rule=_T),
    _schema("approval.expired", "An approval expired.", plan_digest=_T, expires_at=_T),
    _schema("approval.canceled", "An approval ended with its run, which was canceled or failed.",
            plan_digest=_T),
    _schema("approval.consumed", "An approval was used: the apply of its plan started.",
            plan_digest=_T),
    _schema("approval.superseded", "An approval was superseded by a newer plan.",
            plan_digest=_T, superseded_by=_T, part=_T),
)  # fmt: skip

_BUNDLES: Final = (
    _schema("bundle.queued", "A Mode C request waits for an architect.",
            version=2, number=_I, cause=_T, playbook=_T),
    _schema("bundle.accepted", "An architect accepted the bundle.", number=_I),
    _schema("bundle.edited", "The inputs of the bundle were edited.",
            number=_I, inputs_digest=_T, previous_digest=_T),
    _schema("bundle.build_requested", "An architect requested the build.", number=_I),
    _schema("bundle.built", "The bundle was built, packed and signed.",
            version=3, stages=_EFFECT, number=_I, content_digest=_T, archive_digest=_T, archive=_T,
            files=_L, cause=_T, playbook=_T),
    _schema("bundle.build_failed", "The bundle could not be built.", number=_I, checks=_L),
    _schema("bundle.rehearsed", "The built archive was rehearsed.",
            stages=_EFFECT, number=_I, rehearsal=_T, checks=_R, failed=_L, content_digest=_T),
    _schema("bundle.handed_over", "The bundle was handed over.",
            personal=("recipient",), number=_I, content_digest=_T, archive_digest=_T,
            handover=_T),
    _schema("bundle.downloaded", "A file of the bundle was downloaded.",
            number=_I, link=_T, file=_T, uses=_I),
    _schema("bundle.superseded", "The bundle was superseded by a newer version.",
            number=_I, superseded_by=_T),
    _schema("bundle.continued", "The next version of an applied bundle was started.",
            number=_I, superseded_by=_T),
    _schema("bundle.expired", "The bundle expired before it was applied.", number=_I),
    _schema("bundle.refused", "An action on a bundle was refused.", stages=_DENIED, wanted=_T),
    _schema("receipt.registered", "The receipt of the customer's apply was registered.",
            version=2, receipt=_T, receipt_digest=_T, content_digest=_T, corrects=_T),
    _schema("receipt.refused", "A receipt was refused.",
            version=2, stages=_DENIED, field=_T),
    _schema("link.issued", "An expiring download link was created for a named recipient.",
            personal=("recipient",), link=_T, expires_at=_T),
    _schema("link.revoked", "A download link was revoked before it expired.", link=_T, uses=_I),
    _schema("link.refused", "A download link was refused; the caller does not learn why.",
            version=2, stages=_DENIED, link=_T, suppressed=_I),
)  # fmt: skip

_SECURITY: Final = (
    _schema("authn.failed", "A caller could not be authenticated.",
            version=3, stages=_DENIED, route=_T, key_id=_T, suppressed=_I),
    _schema("authz.denied", "A caller's roles or tenants did not allow an action.",
            version=2, stages=_DENIED, route=_T, wanted_roles=_L, suppressed=_I),
    _schema("log.read", "An audit log was read.",
            version=2, route=_T, first_idx=_I, last_idx=_I),
    _schema("log.verified", "An audit log was verified.",
            logs=_L, verdict=_T, findings=_I),
    _schema("log.exported", "A dossier of an audit log was handed out; `digest` is its manifest's. "
            "It holds the `values` personal values of a `grant`.",
            version=2, size=_I, since=_T, until=_T, grant=_T, values=_I),
    _schema("log.started", "The sequencer and signer of the audit logs started.", key_id=_T),
    _schema("log.stopped", "The sequencer and signer of the audit logs stopped.", key_id=_T),
    _schema("key.created", "A signing key was put into use.",
            key_id=_T, algorithm=_T, public_key_digest=_T, purpose=_T),
    _schema("log.set_aside", "The signer left a log alone that does not fit what was signed.",
            log=_T, why=_T),
    _schema("log.in_order", "A log that was set aside fits again what was signed.", log=_T),
    _schema("quarantine.released", "A person settled the finding on a log that was set aside.",
            log=_T),
    _schema("quarantine.refused", "The release of a log that was set aside was refused.",
            stages=_DENIED, wanted=_T),
    _schema("key.rotated", "A signing key is to be replaced by the one that is named.",
            key_id=_T, new_key_id=_T, public_key_digest=_T, purpose=_T),
    _schema("key.revoked", "A signing key is in somebody else's hands; it signs nothing any more.",
            key_id=_T, purpose=_T),
)  # fmt: skip

ACTIONS: Final[Mapping[str, ActionSchema]] = MappingProxyType(
    {
        schema.name: schema
        for group in (
            _REQUESTS,
            _DELIVERIES,
            _SUBSCRIPTIONS,
            _JOURNEYS,
            _MESSAGES,
            _ONBOARDING,
            _PEOPLE,
            _HOLDS,
            _SAGAS,
            _REMOVALS,
            _PERSONAL_VALUES,
            _PLATFORM,
            _RUNS,
            _DECISIONS,
            _BUNDLES,
            _SECURITY,
        )
        for schema in group
    }
)

# digests of schemas that earlier releases wrote and this one does not
RETIRED_SCHEMAS: Final[frozenset[str]] = frozenset(
    {
        # authn.failed, authz.denied, link.refused and request.refused 1: without `suppressed`
        "sha256:4da903f888ef5c42afb47046e6f087e913512c9b40ee1d2b1044c8cea18f233b",
        "sha256:4a13479cf61a7cc7f5b56ee2c262ec2f86e53368f2b3b03d1a61511ecaa77698",
        "sha256:2334af857af91ec2f74bfa8f90d86cdcd90511e13f291cd51f0f3eef2a920446",
        "sha256:a4800629952aa9b182389a6aba4298d901c05596e05821f577485497c491da02",
        # with fields that nothing ever wrote: receipt.refused, mode.resolved, mode.conflict,
        # mode.confirmed, mode.refused, run.requested, run.planned, run.policy_evaluated,
        # run.superseded, run.apply, run.errored, run.cleaned_up, bundle.built, authn.failed 2,
        # log.read
        "sha256:1d166c557cda9f03ec4b0ad22b2cbe3413eb54e24dcc56ee3715e441a63ece1a",
        "sha256:f5e5ad1838c08ac61b6165a19b2dc99129ee722727889bc9ffd5e125ac0dde64",
        "sha256:a99b03fbf4f48cfe1f5434fba2e035c8616cc13f2ce27694bb18274f32307c64",
        "sha256:128c469cafcb73efb400a929ca3a9426a20c3e188fa8c795fb21215ff9805821",
        "sha256:414683868872cd2a3d05f779475aeb867f6fb7f3ab9b0252750d12500f31a1c7",
        "sha256:46aff1d480eda20bc4ac49bae46a868b0a04df7217ed151f9fafa54266bb64b6",
        "sha256:e2867906564b1809752306aa332f2550501470d3ea67bd2a2eb880d2f95d3cbd",
        "sha256:d50f681220728ded5014c54d49dd10e82bdf4cbb847468362ee39a7510477bf4",
        "sha256:c3cc018e5fc43df38d6f7de73339d49e67d728630f837830a533bcb83cff379b",
        "sha256:8becf1a5a8950fc8de73a90caf9075019e774c3ce65c438cba11f2809e687102",
        "sha256:950c7b9ad7a505d4a5c9907c79b7470bdb2dd2624eab4a7da98817367d568e0b",
        "sha256:1a9a579985ae5a6561325516309160566eb3b3c144a96d54bdc38d08f72a0f12",
        "sha256:1dc14b3c08d0fdb251758ac70ca4604c9a56ca67a31a3a8860484ab21e4acc03",
        "sha256:5001783f9d7a134076cf8faad9c1ef38e1869b5112daecbc3c2367844a6f68ce",
        "sha256:332913dea0d8fdaa0242357920d9925fe144e1ce88a6952e33a23bfdd66a4dfa",
        # receipt.registered 1: without and with `corrects`
        "sha256:a5d92cb152cdad4f764593ff5f31118707fbd648ec8dd58fed3b1e204c85c33e",
        "sha256:18e0e759baac55319c31d45609d38b153e944311cdfcdcf1ac13215194ea85e8",
        # change.requested 1: without `amendment`, `retention_until` and `chosen`
        "sha256:d3b32832106e6f94b632bf37d1086f5accf31e877631156e7263e39002a58bdb",
        # run.blocked 1: without `resources`
        "sha256:4b3c1d445b662d603da1938ef75f387bf4e5bcde9b218d2d0a33e97f4332a9bc",
        # run.approval_requested 1: without `needed`, `rules`, `windows` and `risks`; decision.given
        # 1: without `acknowledged`
        "sha256:c0a061d9d324b4730b7618f76a94870144ac80865ed84ae4a53495d524de349e",
        "sha256:9e71d17315ab244dc9d3273990ec5cdc1270a63b7b5a130e0236acdcdcaca03b",
        # removal.decided 1: without what a receipt of a destroy says
        "sha256:70cb0e082fd6ddcd82ec14c25ff709ca06a9facfb84ca1eadc1e7fb4ac36c7b5",
        # run.approval_requested 2: without `rules_digest`
        "sha256:bf9713d07b1e924a311f22282d6b2cea2a9d7d64fce344a11f94a5860c7020ea",
        # run.requested 2, bundle.queued 1, bundle.built 2: without `cause` and `playbook`
        "sha256:1f507c7402780434050dbb2e5d89f69a1e24cd56f776b1afe1a6a1806fd23876",
        "sha256:59318b3ad1ef7277bc1c018bf459484bab44f0048ed405877d0b63e71d6a93f5",
        "sha256:3040874f4d3c1f769d71333f35928818af71c3a35ac02763da3ba6a8a6e87839",
        # stack.passphrase_disclosed
        "sha256:74acf4f20c95d620e644dc7f486e6e5c861bdcfed7f8b8d08263c9c50c39ec0f",
        # decision.given 2, run.approval_requested 3: without what is said of signatures
        "sha256:3669cd2284366b575d25727ac55124b32dddb3c4a517753cdf4cb529a5b3e880",
        "sha256:4a53bd31cc48f377c813d551daa59a27df21864bb205df271d60038ce8225620",
        # log.exported 1: without `grant` and `values`
        "sha256:8c6bc13e2faa03cea73bc8906972ab8d0b451103cf9adc6306f8810d1ce1614a",
    }
)


def is_known_schema(name: str, version: int, schema_digest: str) -> bool:
    """Tell whether this or an earlier release wrote events of that schema."""
    current = ACTIONS.get(name)
    if current is not None and current.version == version:
        return current.digest == schema_digest
    return schema_digest in RETIRED_SCHEMAS
