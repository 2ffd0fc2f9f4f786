"""Scenes for every use case: what must be there before it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from control_plane.domain.actor import Role
from control_plane.domain.engine import Drift
from control_plane.domain.errors import (
    DomainError,
)
from control_plane.domain.finding import Finding
from control_plane.domain.finding_decision import Verdict
from control_plane.domain.hold import HoldKind
from control_plane.domain.hub import HubWish
from control_plane.domain.message import Recipient
from control_plane.domain.run import BlockedOn
from control_plane.domain.suppression import SuppressionKind
from control_plane.domain.team import TeamRole
from control_plane.ports.events import Attempt
from control_plane.services import (
    accounts,
    approvals,
    audit_status,
    auditing,
    bundles,
    changes,
    data_handovers,
    deliveries,
    dossiers,
    drift,
    findings,
    handovers,
    holds,
    hub_changes,
    hubs,
    intake_findings,
    mode_changes,
    onboarding,
    operating_stacks,
    people,
    provisioning,
    quarantine,
    queue,
    receipts,
    removal_decisions,
    removals,
    runs,
    sagas,
    subscriptions,
    suppressions,
    sweeps,
    tenants,
    withdrawals,
)
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from control_plane.workflows.outbox import post as post_message
from control_plane.workflows.publishing import publish_sealing_key
from tests.entities import Entities
from tests.journeys import go_on, sample, with_playbooks
from tests.receipts import receipt_of
from tests.scripted_provider import ScriptedProvider, asking
from tests.signed import (
    DOCUSIGN_KEY,
    allowing_account,
    as_bytes,
    docusign,
    docusign_headers,
    install_keys,
)
from tests.storage import Storage
from tests.workflows.desk import Desk
from tests.workflows.handed import DUMP, Handed
from tests.workflows.removed import BUCKET, follow, remove, steps_of
from tests.world import (
    ACCOUNT,
    ADMIN,
    ARCHITECT,
    AUDITOR,
    AUTOMATION,
    OPS,
    World,
    person,
    request_body,
)

EVERYBODY = person("eve", *Role)
NOBODY = person("norman")
CUSTOMERS_ACCOUNT = "210987654321"


class Scene(World):
    """A world, and the ids that the acts of the tables are about."""

    def __init__(self, storage: Storage) -> None:
        super().__init__(storage)
        self.link = ""
        self.delivery_id = ""
        self.subscription_id = ""
        self.sent_id = ""
        self.task: Any = None
        self.linked_id = ""

    def delivered(self, plan: str = "Gold", event: str = "envelope-completed") -> str:
        """Let a provider deliver something, refused unless told otherwise; returns its id."""
        self.takes_deliveries()
        self.delivery_id = post_to(self, as_bytes(docusign(event=event, Plan=plan)), DOCUSIGN_KEY)
        self.work()
        return self.delivery_id

    def subscribed(self, *, paused: bool = False) -> str:
        """Subscribe to everything, with one event that was sent; returns the id."""
        perform(self.core, ADMIN, publish_sealing_key)
        self.subscription_id = perform(
            self.core, ADMIN, subscriptions.create_subscription,
            url="http://127.0.0.1:9/", types=["*"],
        ).subscription.id  # fmt: skip
        sent = perform(self.core, ADMIN, subscriptions.ping_subscription, self.subscription_id)
        with self.core.act() as act:
            act.uow.publications.took(sent, Attempt(at=act.now(), answer_code=204))
            act.uow.commit()
        self.sent_id = str(sent.id)
        if paused:
            perform(
                self.core, ADMIN, subscriptions.change_subscription, self.subscription_id,
                is_paused=True,
            )  # fmt: skip
        return self.subscription_id

    def suppressed_message(self, tenant_id: str | None = None) -> str:
        """Queue a message where there is no mail system; returns its id."""
        tenant_id = tenant_id or self.submit().tenant.id
        with self.core.act() as act:
            message = post_message(
                act, tenant=act.uow.tenants.need(tenant_id), event="step.blocked",
                persona="it_admin", recipient=Recipient(name="Ida", email="ida@example.com"),
                data={"step_title": "SSO", "missing": "the metadata"}, dedupe_key=tenant_id,
            )  # fmt: skip
            act.uow.commit()
        self.work()
        return message.id

    def linked(self, *, is_issued: bool = True) -> str:
        """Return a tenant, to whose IT admin a link was issued."""
        self.linked_id = self.submit("A", 50).tenant.id
        if is_issued:
            perform(self.core, ADMIN, onboarding.issue_link, self.linked_id)
        return self.linked_id

    def meeting_of(self, tenant_id: str) -> str:
        """Invite to a meeting of a tenant, and return its id."""
        with self.core.uow() as uow:
            count = uow.meetings.count(tenant_id=tenant_id)
            meeting = Entities(clock=self.clock, ids=self.ids).meeting(
                uow.tenants.need(tenant_id), kind="kickoff" if not count else f"kickoff-{count}"
            )
            uow.meetings.add(meeting)
            uow.commit()
        return meeting.id

    def takes_deliveries(self) -> None:
        """Install keys, and name the account that may deliver."""
        install_keys(self.core)
        self.core = allowing_account(self.core)

    def journeying(self) -> Any:
        """Let a tenant be on a journey that waits for operations; returns the task."""
        with_playbooks(self, sample("- {key: talk, kind: meeting, title: Talk, owner: ops}\n"))
        self.submit("A", 77)
        go_on(self)
        (task,) = self.rows("task").values()
        self.task = task
        return task

    def waiting_b(self) -> Any:
        """Return a Mode B run that waits for its decision."""
        accepted = self.submit("B")
        self.work()
        return self.run(accepted.run_id)

    def hub_with_finding(self) -> None:
        """Make a Hub ready in which a look finds something, and ask for a sweep."""
        hub_id = self.ready_hub()
        self.engine.drift = (
            Drift(kind="changed", subject="urn:x", type="aws:kms/key:Key", path="tags.a"),
        )
        perform(self.core, OPS, drift.request_hub_check, hub_id)
        self.work()
        self.engine.drift = ()
        perform(self.core, OPS, sweeps.request_sweep)

    def bundle(self, *, upto: str = "queued") -> str:
        """Return a bundle that is queued, accepted, built or handed over."""
        bundle_id = self.submit("C").bundle_id or ""
        if upto == "queued":
            return bundle_id
        taken = perform(self.core, ARCHITECT, bundles.accept_bundle, bundle_id)
        perform(
            self.core, ARCHITECT, bundles.edit_bundle, bundle_id,
            inputs={"account_id": CUSTOMERS_ACCOUNT}, if_version=taken.version,
        )  # fmt: skip
        if upto == "accepted":
            return bundle_id
        perform(self.core, ARCHITECT, bundles.build_bundle, bundle_id)
        self.work()
        if upto == "handed_over":
            self.link = hand_over(self, bundle_id).token
        return bundle_id

    def building(self) -> str:
        """Return a bundle whose build no worker has done."""
        bundle_id = self.bundle(upto="accepted")
        perform(self.core, ARCHITECT, bundles.build_bundle, bundle_id)
        return bundle_id

    def legal_hold(self, tenant_id: str, who: Caller = OPS) -> str:
        """Place a legal hold on a tenant and return its id."""
        placed = perform(
            self.core, who, holds.place_on_tenant, tenant_id,
            kind=HoldKind.LEGAL, reason="a court asked for it",
        )  # fmt: skip
        return placed.id

    def receipt(self, bundle_id: str) -> dict[str, Any]:
        """Return the receipt of a bundle's apply."""
        return receipt_of(perform(self.core, AUDITOR, bundles.get_bundle, bundle_id))


Act = Callable[[], object]
Prepare = Callable[[Scene], Act]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call: what prepares it, which events it leaves, and the error of a refusal."""

    prepare: Prepare
    events: tuple[str, ...]
    error: type[DomainError] | None = None


def decide(who: Caller, **changes: Any) -> Prepare:
    def prepare(scene: Scene) -> Act:
        view = perform(scene.core, OPS, approvals.get_approval, scene.waiting_b().approval_id)
        given: dict[str, Any] = {
            "verdict": "approve", "plan_digest": view.approval.plan_digest, "reason": "ok",
        }  # fmt: skip
        given |= changes
        return lambda: perform(scene.core, who, approvals.decide, view.approval.id, **given)

    return prepare


def withdraw(who: Caller, *, given: bool = True, applied: bool = False) -> Prepare:
    """Withdraw an approval that ops gave; ``applied``: a worker has used it."""

    def prepare(scene: Scene) -> Act:
        approval_id = scene.waiting_b().approval_id
        if given:
            scene.decide(approval_id)
        if applied:
            scene.work()
        return lambda: perform(
            scene.core, who, withdrawals.withdraw, approval_id, reason="not sure any more"
        )

    return prepare


def decide_twice(scene: Scene) -> Act:
    act = decide(OPS)(scene)
    act()
    return act


def decide_late(scene: Scene) -> Act:
    act = decide(OPS)(scene)
    scene.clock.advance(hours=72)
    return act


def on_bundle(
    function: Callable[..., object], upto: str, who: Caller = ARCHITECT, **given: Any
) -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto=upto)
        return lambda: perform(scene.core, who, function, bundle_id, **given)

    return prepare


def edit(upto: str, off: int = 0) -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto=upto)
        version = perform(scene.core, AUDITOR, bundles.get_bundle, bundle_id).version + off
        return lambda: perform(
            scene.core,
            ARCHITECT,
            bundles.edit_bundle,
            bundle_id,
            inputs={"uninstall": True},
            if_version=version,
        )

    return prepare


def hand_over(scene: Scene, bundle_id: str) -> handovers.HandedOver:
    return perform(
        scene.core, ARCHITECT, handovers.hand_over, bundle_id,
        recipient_name="Carla", recipient_email="carla@example.com",
    )  # fmt: skip


def revoke() -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto="handed_over")
        link_id = scene.link.partition(".")[0]
        return lambda: perform(scene.core, ARCHITECT, handovers.revoke_link, bundle_id, link_id)

    return prepare


def download(spoil: str = "") -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto="handed_over")
        return lambda: perform(
            scene.core, NOBODY, handovers.download_by_link, bundle_id, scene.link + spoil, name=None
        )

    return prepare


def receipt(**changes: str) -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto="handed_over")
        body = {**scene.receipt(bundle_id), **changes}
        return lambda: perform(scene.core, ARCHITECT, receipts.register_receipt, bundle_id, body)

    return prepare


def account(who: Caller = ADMIN, *, waiting: bool = False, **changes: Any) -> Prepare:
    """Add an account to the pool; ``waiting``: a run waits for one."""

    def prepare(scene: Scene) -> Act:
        given: dict[str, Any] = {
            "account_id": "222233334444", "role_arn": None, "external_id": None, "shared": False,
        }  # fmt: skip
        if waiting:
            perform(scene.core, ADMIN, accounts.remove_account, ACCOUNT)
            assert scene.waiting_b().blocked_on is BlockedOn.NO_ACCOUNT
        return lambda: perform(scene.core, who, accounts.add_account, **{**given, **changes})

    return prepare


def change_account(changes: Mapping[str, Any], who: Caller = ADMIN, *, used: int = 0) -> Prepare:
    """Change the account of the pool, with ``used`` deployments in it."""

    def prepare(scene: Scene) -> Act:
        for number in range(1, used + 1):
            scene.submit("B", number)
        scene.work()
        return lambda: perform(scene.core, who, accounts.update_account, ACCOUNT, changes)

    return prepare


def remove_account(who: Caller, *, used: bool = False) -> Prepare:
    def prepare(scene: Scene) -> Act:
        if used:
            scene.waiting_b()
        return lambda: perform(scene.core, who, accounts.remove_account, ACCOUNT)

    return prepare


def opened_stack(key: str | None = None) -> Prepare:
    def prepare(scene: Scene) -> Act:
        run = scene.waiting_b()
        wanted = key or run.deployment_id
        return lambda: perform(scene.core, OPS, operating_stacks.open_stack, wanted)

    return prepare


def converted_stack(key: str | None = None) -> Prepare:
    def prepare(scene: Scene) -> Act:
        wanted = key or scene.waiting_b().deployment_id
        return lambda: perform(scene.core, OPS, operating_stacks.record_conversion, wanted, 7)

    return prepare


def hub(who: Caller, *, taken: bool = False) -> Prepare:
    def prepare(scene: Scene) -> Act:
        def act() -> object:
            return perform(
                scene.core, who, hubs.request_hub, region="eu-west-1", cell="c1", capacity=3
            )

        if taken:
            act()
        return act

    return prepare


def submit(mode: str, who: Caller = AUTOMATION, *, used: bool = False, **changes: Any) -> Prepare:
    def prepare(scene: Scene) -> Act:
        if used:
            scene.submit("B")
        body = request_body(mode, 1, **changes)
        return lambda: perform(scene.core, who, provisioning.submit_request, body)

    return prepare


def submit_again(scene: Scene) -> Act:
    act = submit("B")(scene)
    act()
    return act


def steer(function: Callable[..., object], who: Caller = OPS, *, canceled: bool) -> Prepare:
    def prepare(scene: Scene) -> Act:
        run = scene.waiting_b()
        if canceled:
            perform(scene.core, OPS, runs.cancel_run, run.id)
        return lambda: perform(scene.core, who, function, run.id)

    return prepare


def retry_blocked(scene: Scene) -> Act:
    run = scene.waiting_b()
    with scene.core.uow() as uow:
        deployment = uow.deployments.get(run.deployment_id)
    assert deployment is not None
    scene.engine.hold_lock(deployment.stack)
    scene.approve(run.id)
    assert scene.run(run.id).blocked_on is BlockedOn.FOREIGN_LOCK
    return lambda: perform(scene.core, OPS, runs.retry_run, run.id)


def decide_mode(who: Caller, **changed: Any) -> Prepare:
    def prepare(scene: Scene) -> Act:
        tenant = scene.submit("A", customer_managed_key=True).tenant
        return lambda: perform(
            scene.core,
            who,
            tenants.decide_mode,
            tenant.id,
            changed_facts=changed or None,
            reason="agreed",
        )

    return prepare


def mode(who: Caller = ARCHITECT, **wish: Any) -> Prepare:
    """Confirm or raise the mode of a tenant whose slice waits for a Hub."""

    def prepare(scene: Scene) -> Act:
        tenant = scene.submit("A").tenant
        scene.work()
        given = mode_changes.Wish(**{"reason": "agreed", **wish})
        return lambda: perform(scene.core, who, mode_changes.change_mode, tenant.id, given)

    return prepare


def hand_data(
    step: str, who: Caller | None = None, *, at: str | None = None, **given: Any
) -> Prepare:
    """Say or record what a hand-over waits for at a step, or at an earlier one (``at``)."""

    def prepare(scene: Scene) -> Act:
        handed = Handed(scene, "B", 79)
        handed.ask()
        handed.go(until=at or step)
        core, key = scene.core, handed.tenant_id
        if step == "first_copy":
            return lambda: perform(
                core, who or OPS, data_handovers.say_first_copy, key, reason="it has arrived"
            )
        if step == "dump":
            wanted = {"dump_digest": DUMP, "reason": "made today", **given}
            return lambda: perform(core, who or OPS, data_handovers.record_dump, key, **wanted)
        report = handed.report(**given)
        return lambda: perform(core, who or ARCHITECT, data_handovers.register_import, key, report)

    return prepare


def change(who: Caller = AUTOMATION, **facts: Any) -> Prepare:
    def prepare(scene: Scene) -> Act:
        tenant_id = scene.waiting_b().tenant_id
        return lambda: perform(
            scene.core, who, changes.request_change, tenant_id, facts=facts, reason="it grows"
        )

    return prepare


def plan(who: Caller = AUTOMATION, **facts: Any) -> Prepare:
    """Plan a change of a tenant whose first plan waits."""

    def prepare(scene: Scene) -> Act:
        tenant_id = scene.waiting_b().tenant_id
        return lambda: perform(scene.core, who, changes.plan_change, tenant_id, facts)

    return prepare


def size(name: str) -> Prepare:
    def prepare(scene: Scene) -> Act:
        tenant_id = scene.waiting_b().tenant_id
        return lambda: perform(
            scene.core, AUTOMATION, changes.request_change, tenant_id,
            environment={"size": name}, reason="it grows",
        )  # fmt: skip

    return prepare


def amend(number: str, *, twice: Mapping[str, Any] | None = None, **terms: Any) -> Prepare:
    """Amend a contract; ``twice``: once more under the same number, with these terms."""

    def prepare(scene: Scene) -> Act:
        tenant_id = scene.waiting_b().tenant_id

        def act(**given: Any) -> object:
            amendment = {"number": number, "signed_at": "2026-11-20T12:00:00Z", **given}
            return perform(
                scene.core, AUTOMATION, changes.request_change, tenant_id,
                amendment=amendment, reason="it was signed",
            )  # fmt: skip

        if twice is None:
            return lambda: act(**terms)
        act(**terms)
        return lambda: act(**twice)

    return prepare


def change_hub(
    who: Caller = ADMIN, *, slices: int = 0, do: Callable[..., object] | None = None, **wish: Any
) -> Prepare:
    """Change a ready Hub with so many slices on it."""

    def prepare(scene: Scene) -> Act:
        hub_id = scene.ready_hub()
        for number in range(slices):
            scene.submit("A", number + 1)
        scene.work()
        wanted = HubWish(**wish)
        if do is not None:
            return lambda: perform(scene.core, who, do, hub_id, wanted)
        return lambda: perform(
            scene.core, who, hub_changes.request_change, hub_id, wanted, reason="it grows"
        )

    return prepare


def update_slices(who: Caller = ADMIN, reason: str = "the Hub has changed") -> Prepare:
    """Update a slice whose Hub exports something else than before."""

    def prepare(scene: Scene) -> Act:
        hub_id = scene.ready_hub()
        scene.submit("A")
        scene.work()
        run_id = perform(
            scene.core, ADMIN, hub_changes.request_change, hub_id,
            HubWish(environment={"zones": 3}), reason="more room",
        ).run_id  # fmt: skip
        scene.work()
        scene.approve(run_id or "")
        return lambda: perform(scene.core, who, hub_changes.update_slices, hub_id, reason=reason)

    return prepare


def steer_queue(
    function: Callable[..., object], who: Caller = OPS, *, paused: bool = False
) -> Prepare:
    def prepare(scene: Scene) -> Act:
        if paused:
            perform(scene.core, OPS, queue.pause_queue, reason="maintenance")
        return lambda: perform(scene.core, who, function, reason="maintenance")

    return prepare


def post_to(scene: Scene, body: bytes, key: str) -> str:
    return deliveries.receive_delivery(
        scene.core, NOBODY, "docusign", headers=docusign_headers(body, key), body=body
    )


def post(key: str = DOCUSIGN_KEY) -> Prepare:
    def prepare(scene: Scene) -> Act:
        scene.takes_deliveries()
        return lambda: post_to(scene, as_bytes(docusign()), key)

    return prepare


def on_subscription(
    function: Callable[..., object], who: Caller, *, paused: bool = False, **given: Any
) -> Prepare:
    def prepare(scene: Scene) -> Act:
        found = scene.subscribed(paused=paused)
        named = {name: scene.sent_id if value == "SENT" else value for name, value in given.items()}
        return lambda: perform(scene.core, who, function, found, **named)

    return prepare


def subscribing(who: Caller, url: str = "http://127.0.0.1:9/", types: str = "*") -> Prepare:
    def prepare(scene: Scene) -> Act:
        perform(scene.core, ADMIN, publish_sealing_key)
        return lambda: perform(
            scene.core, who, subscriptions.create_subscription, url=url, types=[types]
        )

    return prepare


def on_message(function: Callable[..., object], who: Caller, **given: Any) -> Prepare:
    """Do something with a message that was suppressed: there is no mail system."""

    def prepare(scene: Scene) -> Act:
        found = scene.suppressed_message()
        return lambda: perform(scene.core, who, function, found, **given)

    return prepare


def add_suppression(who: Caller, email: str = "ida@example.com") -> Prepare:
    def prepare(scene: Scene) -> Act:
        return lambda: perform(
            scene.core, who, suppressions.add_suppression,
            email=email, kind=SuppressionKind.OPTED_OUT, reason="asked for it",
        )  # fmt: skip

    return prepare


def lift_suppression(who: Caller, times: int = 1) -> Prepare:
    def prepare(scene: Scene) -> Act:
        add_suppression(OPS)(scene)()
        found = next(iter(scene.rows("suppression")))

        def lift(who: Caller = who) -> object:
            return perform(
                scene.core, who, suppressions.lift_suppression, found, reason="it was a typo"
            )

        for _ in range(times - 1):
            lift()
        return lift

    return prepare


def on_delivery(
    function: Callable[..., object], who: Caller, *, ignored: bool = False, **given: Any
) -> Prepare:
    def prepare(scene: Scene) -> Act:
        found = scene.delivered(event="envelope-sent" if ignored else "envelope-completed")
        return lambda: perform(scene.core, who, function, found, **given)

    return prepare


def settle(who: Caller, reason: str = "clarified") -> Prepare:
    def prepare(scene: Scene) -> Act:
        finding = Entities().intake_finding()
        with scene.core.uow() as uow:
            uow.intake_findings.add(finding)
            uow.commit()
        return lambda: perform(
            scene.core, who, intake_findings.settle_intake_finding, finding.id, reason=reason
        )

    return prepare


def look_at(source: str, who: Caller = OPS) -> Prepare:
    def prepare(scene: Scene) -> Act:
        scene.core = asking(scene.core, ScriptedProvider(), scene.clock.now())
        return lambda: perform(scene.core, who, intake_findings.request_look, source)

    return prepare


def on_link(
    function: Callable[..., object], who: Caller, *, is_issued: bool = True, **given: Any
) -> Prepare:
    def prepare(scene: Scene) -> Act:
        tenant_id = scene.linked(is_issued=is_issued)
        return lambda: perform(scene.core, who, function, tenant_id, **given)

    return prepare


def assign(who: Caller = ADMIN, *, reason: str = "somebody left", **given: Any) -> Prepare:
    def prepare(scene: Scene) -> Act:
        tenant_id = scene.waiting_b().tenant_id
        return lambda: perform(
            scene.core, who, people.assign_person, tenant_id,
            role=TeamRole.CSM, reason=reason, **given,
        )  # fmt: skip

    return prepare


def on_meeting(
    function: Callable[..., object],
    who: Caller = ADMIN,
    *,
    reason: str = "they asked",
    days: int = 0,
) -> Prepare:
    def prepare(scene: Scene) -> Act:
        meeting_id = scene.meeting_of(scene.waiting_b().tenant_id)
        at = {"starts_at": scene.clock.now() + timedelta(days=days)} if days else {}
        return lambda: perform(scene.core, who, function, meeting_id, reason=reason, **at)

    return prepare


def hold(who: Caller = OPS, reason: str = "a court asked for it") -> Prepare:
    def prepare(scene: Scene) -> Act:
        tenant_id = scene.waiting_b().tenant_id
        return lambda: perform(
            scene.core, who, holds.place_on_tenant, tenant_id,
            kind=HoldKind.LEGAL, reason=reason,
        )  # fmt: skip

    return prepare


def hold_hub(who: Caller = OPS) -> Prepare:
    def prepare(scene: Scene) -> Act:
        hub_id = scene.ready_hub()
        return lambda: perform(
            scene.core, who, holds.place_on_hub, hub_id, kind=HoldKind.SAFETY, reason="not now"
        )

    return prepare


def release(
    who: Caller, placer: Caller = OPS, *, waits: bool = False, twice: bool = False
) -> Prepare:
    """Release a legal hold; ``waits``: an approved run waits for that."""

    def prepare(scene: Scene) -> Act:
        run = scene.waiting_b()
        hold_id = scene.legal_hold(run.tenant_id, placer)

        def act() -> object:
            return perform(scene.core, who, holds.release_hold, hold_id, reason="settled")

        if waits:
            scene.approve(run.id)
        if twice:
            act()
        return act

    return prepare


def check_drift(who: Caller = OPS, *, applied: bool = True) -> Prepare:
    def prepare(scene: Scene) -> Act:
        run = scene.waiting_b()
        if applied:
            scene.approve(run.id)
        return lambda: perform(scene.core, who, drift.request_check, run.tenant_id)

    return prepare


def check_drift_again(scene: Scene) -> Act:
    act = check_drift()(scene)
    act()
    return act


def check_hub(who: Caller = OPS) -> Prepare:
    def prepare(scene: Scene) -> Act:
        hub_id = scene.ready_hub()
        return lambda: perform(scene.core, who, drift.request_hub_check, hub_id)

    return prepare


def _found(scene: Scene) -> Finding:
    """Let a look find something of an applied tenant."""
    run = scene.waiting_b()
    scene.approve(run.id)
    scene.engine.drift = (
        Drift(kind="changed", subject="urn:x", type="aws:kms/key:Key", path="tags.a"),
    )
    perform(scene.core, OPS, drift.request_check, run.tenant_id)
    scene.work()
    found: Finding = next(iter(scene.rows("finding").values()))
    return found


def decide_finding(
    who: Caller = OPS, *, verdict: Verdict = Verdict.REVERT, gone: bool = False
) -> Prepare:
    def prepare(scene: Scene) -> Act:
        found = _found(scene)
        if gone:
            scene.engine.drift = ()
            perform(scene.core, OPS, drift.request_check, found.tenant_id or "")
            scene.work()
        until = scene.clock.now() + timedelta(days=1) if verdict is Verdict.WAIVE else None
        return lambda: perform(
            scene.core, who, findings.decide, found.id,
            verdict=verdict, reason="seen", until=until,
        )  # fmt: skip

    return prepare


def decide_findings(who: Caller = OPS) -> Prepare:
    def prepare(scene: Scene) -> Act:
        found = _found(scene)
        return lambda: perform(
            scene.core, who, findings.decide_of_tenant, found.tenant_id or "", [found.id],
            verdict=Verdict.REVERT, reason="seen",
        )  # fmt: skip

    return prepare


def request_sweep(who: Caller = OPS, *, minutes: int = 5) -> Prepare:
    def prepare(scene: Scene) -> Act:
        scene.approve(scene.waiting_b().id)
        return lambda: perform(scene.core, who, sweeps.request_sweep, minutes=minutes)

    return prepare


def read_log(who: Caller, tree: str = "") -> Prepare:
    def prepare(scene: Scene) -> Act:
        key = tree or scene.submit("B").tenant.id
        return lambda: perform(
            scene.core, who, auditing.read_events, key, after=0, limit=10, action=None
        )

    return prepare


def read_proof(who: Caller, tree: str = "") -> Prepare:
    def prepare(scene: Scene) -> Act:
        key = tree or scene.submit("B").tenant.id
        scene.trail.note = "a checkpoint"
        return lambda: perform(scene.core, who, auditing.inclusion_proof, key, 0)

    return prepare


def release_log(who: Caller, *, ended: bool = True, reason: str = "restored") -> Prepare:
    """Release the finding on a tenant's log, which the signer set aside."""

    def prepare(scene: Scene) -> Act:
        tree = scene.submit("B").tenant.id
        scene.storage.set_aside(tree, ended=ended)
        return lambda: perform(scene.core, who, quarantine.release, tree, reason=reason)

    return prepare


def read_status(who: Caller, tree: str = "") -> Prepare:
    def prepare(scene: Scene) -> Act:
        key = tree or scene.submit("B").tenant.id
        return lambda: perform(scene.core, who, audit_status.tree_status, key)

    return prepare


def read_trees(who: Caller) -> Prepare:
    def prepare(scene: Scene) -> Act:
        scene.submit("B")
        return lambda: perform(scene.core, who, audit_status.list_trees, after="", limit=5)

    return prepare


def read_witnessing(who: Caller) -> Prepare:
    return lambda scene: lambda: perform(scene.core, who, audit_status.witnessing_status)


def export(who: Caller, tree: str = "", **bounds: Any) -> Prepare:
    def prepare(scene: Scene) -> Act:
        key = tree or scene.submit("B").tenant.id

        def act() -> None:
            dossiers.export_dossier(scene.core, who, key, **bounds).file.close()

        return act

    return prepare


def read_tile(who: Caller, tree: str = "") -> Prepare:
    def prepare(scene: Scene) -> Act:
        key = tree or scene.submit("B").tenant.id
        scene.trail.note = "a checkpoint"
        return lambda: perform(scene.core, who, auditing.tile, key, "tile/0/000.p/1")

    return prepare


def removing(
    who: Caller = OPS, *, mode: str = "B", reason: str = "the contract ended", held: bool = False
) -> Prepare:
    """Request a removal of a tenant of which nothing was applied yet."""

    def prepare(scene: Scene) -> Act:
        tenant_id = scene.waiting_b().tenant_id if mode == "B" else scene.submit(mode).tenant.id
        if held:
            scene.legal_hold(tenant_id)
        return lambda: perform(
            scene.core, who, removals.request_removal, tenant_id, removals.may_remove_tenant,
            reason=reason, unprotect=(),
        )  # fmt: skip

    return prepare


def said_of_export(who: Caller = OPS, *, waives: bool = False, digest: str = "a" * 64) -> Prepare:
    """Say of the export of a tenant that is removed that it is done, or not needed."""

    def prepare(scene: Scene) -> Act:
        run = scene.waiting_b()
        scene.approve(run.id)
        scene.engine.stores = (BUCKET,)
        remove(scene, run.tenant_id)
        if waives:
            find = removal_decisions.tenant_with(removal_decisions.WAIVERS, "x")
            return lambda: perform(
                scene.core, who, removal_decisions.waive_export, run.tenant_id, find, reason="no"
            )
        find = removal_decisions.tenant_with(removal_decisions.ACKNOWLEDGERS, "x")
        return lambda: perform(
            scene.core, who, removal_decisions.acknowledge_export, run.tenant_id, find,
            manifest_digest=f"sha256:{digest}", counts={"data": 3}, reason="it is there",
        )  # fmt: skip

    return prepare


def attest(
    who: Caller = ARCHITECT, *, asked: bool = True, receipt: dict[str, Any] | None = None
) -> Prepare:
    """Say what a customer destroyed by a receipt, or that nobody verified it."""

    def prepare(scene: Scene) -> Act:
        desk = Desk(scene)
        desk.handed_over()
        if asked:
            remove(scene, desk.tenant_id)
        find = removal_decisions.tenant_with(removal_decisions.ACKNOWLEDGERS, "x")
        return lambda: perform(
            scene.core, who, removal_decisions.attest_customer, desk.tenant_id, find,
            receipt=receipt, reason="they said so",
        )  # fmt: skip

    return prepare


def retain(who: Caller = OPS, *, days: int = 30) -> Prepare:
    """Set a retention date."""

    def prepare(scene: Scene) -> Act:
        tenant_id, until = scene.waiting_b().tenant_id, scene.clock.now() + timedelta(days=days)
        return lambda: perform(
            scene.core, who, removal_decisions.retain_tenant, tenant_id, until=until, reason="a law"
        )

    return prepare


def steer_saga(wanted: str, who: Caller = OPS, *, stuck: bool = False) -> Prepare:
    """Retry or withdraw a removal whose first run waits, or failed."""

    def prepare(scene: Scene) -> Act:
        run = scene.waiting_b()
        scene.approve(run.id)
        saga_id = remove(scene, run.tenant_id)
        if stuck:
            perform(scene.core, OPS, runs.cancel_run, steps_of(scene, saga_id)[-1].run_id or "")
            follow(scene)
        if wanted == "retry":
            return lambda: perform(scene.core, who, sagas.retry_step, saga_id)
        return lambda: perform(
            scene.core, who, sagas.withdraw_saga, saga_id, reason="the customer stays"
        )

    return prepare


def on_failed_step(function: Callable[..., object], who: Caller, **given: Any) -> Prepare:
    """Act on a step that failed, since nothing here does its action."""

    def prepare(scene: Scene) -> Act:
        scene.core = replace(scene.core, actions={})
        with_playbooks(scene, sample(
            "- {key: record, kind: action, title: Record, owner: ops, action: crm.upsert_company}"
        ))  # fmt: skip
        scene.submit("A", 77)
        go_on(scene)
        (task,) = scene.rows("task").values()
        found = (task.cause.journey_id, task.cause.step)
        return lambda: perform(scene.core, who, function, *found, **given)

    return prepare


def on_journey(
    function: Callable[..., object], who: Caller, *, about: str = "step", **given: Any
) -> Prepare:
    """Act on a step that waits for operations, on its journey, or on its task."""

    def prepare(scene: Scene) -> Act:
        task = scene.journeying()
        found = {
            "step": (task.cause.journey_id, task.cause.step),
            "journey": (task.cause.journey_id,),
            "task": (task.id,),
        }
        return lambda: perform(scene.core, who, function, *found[about], **given)

    return prepare
