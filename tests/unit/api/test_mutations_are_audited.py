"""Every mutating route leaves an event, done or refused, and does nothing when it cannot."""

from __future__ import annotations

from typing import Any, Final

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.engine import Drift
from control_plane.services import onboarding
from control_plane.services.performing import perform
from control_plane.workflows.budget import RefusalBudget
from tests.unit.api.scene import Scene, is_problem, written
from tests.workflows.desk import Desk
from tests.workflows.handed import Handed
from tests.workflows.onboarded import Walk
from tests.workflows.removed import (
    BUCKET,
    follow,
    protected_of_hub,
    remove,
    remove_hub,
    steps_of,
)
from tests.world import ADMIN as WORLD_ADMIN
from tests.world import World

ADMIN, ARCHITECT, OPS = Role.PLATFORM_ADMIN, Role.SOLUTIONS_ARCHITECT, Role.OPS_APPROVER
WHO: Final[dict[tuple[str, str], Role]] = {
    ("POST", "/v1/provisioning-requests"): Role.AUTOMATION,
    ("POST", "/v1/tenants/{key}/mode-decision"): ARCHITECT,
    ("POST", "/v1/tenants/{key}/changes"): Role.AUTOMATION,
    ("POST", "/v1/tenants/{key}/mode"): ARCHITECT,
    ("POST", "/v1/tenants/{key}/mode/first-copy"): OPS,
    ("POST", "/v1/tenants/{key}/mode/database-dump"): OPS,
    ("POST", "/v1/tenants/{key}/mode/import-report"): ARCHITECT,
    ("POST", "/v1/hubs/{hub_id}/changes"): ADMIN,
    ("POST", "/v1/hubs/{hub_id}/slice-updates"): ADMIN,
    ("POST", "/v1/queue/pause"): OPS,
    ("POST", "/v1/queue/resume"): OPS,
    ("POST", "/v1/tenants/{key}/holds"): OPS,
    ("POST", "/v1/hubs/{hub_id}/holds"): OPS,
    ("POST", "/v1/holds/{hold_id}/release"): OPS,
    ("POST", "/v1/audit/{tree}/quarantine/release"): ADMIN,
    ("POST", "/v1/tenants/{key}/removal"): OPS,
    ("POST", "/v1/tenants/{key}/removal/export-acknowledgement"): OPS,
    ("POST", "/v1/tenants/{key}/removal/export-waiver"): ADMIN,
    ("POST", "/v1/tenants/{key}/removal/customer-attestation"): ARCHITECT,
    ("POST", "/v1/tenants/{key}/retention"): OPS,
    ("POST", "/v1/hubs/{hub_id}/removal"): ADMIN,
    ("POST", "/v1/hubs/{hub_id}/removal/export-acknowledgement"): OPS,
    ("POST", "/v1/hubs/{hub_id}/removal/export-waiver"): ADMIN,
    ("POST", "/v1/sagas/{saga_id}/retry"): OPS,
    ("POST", "/v1/sagas/{saga_id}/withdraw"): OPS,
    ("POST", "/v1/tenants/{key}/drift-checks"): OPS,
    ("POST", "/v1/tenants/{key}/drift/decisions"): OPS,
    ("POST", "/v1/hubs/{hub_id}/drift-checks"): OPS,
    ("POST", "/v1/findings/{finding_id}/decision"): OPS,
    ("POST", "/v1/drift-sweeps"): OPS,
    ("POST", "/v1/hubs"): ADMIN,
    ("POST", "/v1/accounts"): ADMIN,
    ("PATCH", "/v1/accounts/{account_id}"): ADMIN,
    ("DELETE", "/v1/accounts/{account_id}"): ADMIN,
    ("POST", "/v1/runs/{run_id}/cancel"): OPS,
    ("POST", "/v1/runs/{run_id}/retry"): OPS,
    ("POST", "/v1/approvals/{approval_id}/decisions"): OPS,
    ("POST", "/v1/approvals/{approval_id}/withdrawal"): OPS,
    ("PATCH", "/v1/bundles/{bundle_id}"): ARCHITECT,
    ("POST", "/v1/bundles/{bundle_id}/accept"): ARCHITECT,
    ("POST", "/v1/bundles/{bundle_id}/build"): ARCHITECT,
    ("POST", "/v1/bundles/{bundle_id}/hand-over"): ARCHITECT,
    ("POST", "/v1/bundles/{bundle_id}/links/{link_id}/revoke"): ARCHITECT,
    ("POST", "/v1/bundles/{bundle_id}/receipts"): ARCHITECT,
    ("POST", "/v1/messages/{message_id}/send-again"): OPS,
    ("POST", "/v1/messages/{message_id}/cancel"): OPS,
    ("POST", "/v1/approver-keys"): OPS,
    ("POST", "/v1/approver-keys/{approver_key_id}/confirmation"): OPS,
    ("POST", "/v1/approver-keys/{approver_key_id}/revocation"): ADMIN,
    ("POST", "/v1/suppressions"): OPS,
    ("POST", "/v1/suppressions/{suppression_id}/lift"): OPS,
    ("POST", "/v1/journeys/{journey_id}/steps/{step}/retry"): OPS,
    ("POST", "/v1/journeys/{journey_id}/steps/{step}/skip"): OPS,
    ("POST", "/v1/journeys/{journey_id}/steps/{step}/done"): OPS,
    ("POST", "/v1/journeys/{journey_id}/cancel"): OPS,
    ("POST", "/v1/tasks/{task_id}/done"): OPS,
    ("POST", "/v1/tasks/{task_id}/reassign"): OPS,
    ("PUT", "/v1/tenants/{key}/onboarding/steps/{step_key}"): ARCHITECT,
    ("POST", "/v1/tenants/{key}/onboarding/steps/{step_key}/complete"): ARCHITECT,
    ("POST", "/v1/tenants/{key}/onboarding/steps/{step_key}/reopen"): ARCHITECT,
    ("POST", "/v1/tenants/{key}/onboarding-link"): OPS,
    ("DELETE", "/v1/tenants/{key}/onboarding-link"): OPS,
    ("POST", "/v1/deliveries/{delivery_id}/replay"): OPS,
    ("POST", "/v1/deliveries/{delivery_id}/decision"): OPS,
    ("POST", "/v1/intake/{source}/look"): OPS,
    ("POST", "/v1/intake-findings/{intake_finding_id}/settle"): OPS,
    ("POST", "/v1/event-subscriptions"): ADMIN,
    ("PATCH", "/v1/event-subscriptions/{subscription_id}"): ADMIN,
    ("DELETE", "/v1/event-subscriptions/{subscription_id}"): ADMIN,
    ("POST", "/v1/event-subscriptions/{subscription_id}/rotate"): ADMIN,
    ("POST", "/v1/event-subscriptions/{subscription_id}/resume"): ADMIN,
    ("POST", "/v1/event-subscriptions/{subscription_id}/test"): OPS,
    ("POST", "/v1/event-subscriptions/{subscription_id}/replay"): OPS,
    ("POST", "/v1/event-subscriptions/{subscription_id}/deliveries/{sent_id}/replay"): OPS,
    ("POST", "/v1/audit/{tree}/disclosures"): Role.AUDITOR,
    ("POST", "/v1/audit/{tree}/grants"): Role.AUDITOR,
    ("POST", "/v1/audit/{tree}/grants/{grant_id}/confirm"): ADMIN,
    ("POST", "/v1/audit/{tree}/erasures"): Role.AUDITOR,
    ("POST", "/v1/audit/{tree}/erasures/{erasure_id}/confirm"): ADMIN,
    ("POST", "/v1/tenants/{key}/people"): ARCHITECT,
    ("POST", "/v1/meetings/{meeting_id}/move"): ARCHITECT,
    ("POST", "/v1/meetings/{meeting_id}/cancel"): ARCHITECT,
}
SIGNED: Final = {("POST", "/v1/intake/{source}")}  # has no caller: test_intake_over_http.py
QUERIES: Final = {("POST", "/v1/mode-resolutions")}  # answers a question, changes nothing


def _named(pair: tuple[str, str]) -> str:
    return " ".join(pair)


def _without_right(pair: tuple[str, str]) -> Role:
    """Return a role that may not change anything by this route."""
    return Role.AUTOMATION if pair[1].startswith("/v1/audit/") else Role.AUDITOR


class Ready:
    """Makes a scene in which a route succeeds, and calls it."""

    def __init__(self, scene: Scene, pair: tuple[str, str], who: str | None = None) -> None:
        self.scene, self.pair, self.who = scene, pair, who
        self.ids = dict(scene.ids)
        self.body: Any = scene.body(pair[1])
        last = pair[1].rsplit("/", 1)[-1]
        prepare = getattr(self, f"_{last.strip('{}').replace('-', '_')}", None)
        if prepare is not None:
            prepare()

    def _onboarding_link(self) -> None:
        """Something is there to revoke; and nothing, for what issues the first one."""
        if self.pair[0] == "DELETE":
            perform(self.scene.world.core, WORLD_ADMIN, onboarding.issue_link, self.ids["key"])
        else:
            self.body = None

    def _complete(self) -> None:
        """The holder of a link has come, and every answer was saved."""
        walk = Walk.of(self.scene.world, self.ids["key"])
        walk.holder.signed_in()
        walk.save("verify_identity", name="Ada Admin")
        walk.save("verify_identity", name="Ida Admin")

    def _reopen(self) -> None:
        self._complete()
        Walk.of(self.scene.world, self.ids["key"]).complete("verify_identity")

    def _mode_decision(self) -> None:
        self.ids["key"] = self.scene.conflict.tenant.id
        self.body = {
            "facts": {"data_must_stay_in_customer_cloud": False}, "reason": "they did not mean it",
        }  # fmt: skip

    def _account_id(self) -> None:
        """Nothing is in the account: it may be changed and removed."""
        self.ids["account_id"] = self.scene.free_account()
        self.body = {"role_arn": f"arn:aws:iam::{self.ids['account_id']}:role/provision"}

    def _retry(self) -> None:
        if "{journey_id}" in self.pair[1]:
            return
        if "{saga_id}" in self.pair[1]:
            self._withdraw()
            saga_id = self.ids["saga_id"]
            (step,) = steps_of(self.scene.world, saga_id)[-1:]
            self.scene.ask(
                "POST", "/v1/runs/{run_id}/cancel", OPS, ids={"run_id": step.run_id or ""}
            )
            follow(self.scene.world)
            return
        self.scene.ask("POST", "/v1/runs/{run_id}/cancel", OPS)

    def _withdraw(self) -> None:
        """A tenant is being removed: its first run waits for decisions."""
        world = self.scene.world
        world.approve(self.ids["run_id"])
        self.ids["saga_id"] = remove(world, self.ids["key"])

    def _removal(self) -> None:
        if "{hub_id}" in self.pair[1]:
            self.ids["hub_id"] = self.scene.world.ready_hub(cell="c9")
            self.body["unprotect"] = protected_of_hub(self.scene.world, self.ids["hub_id"])

    def _export_acknowledgement(self) -> None:
        world = self.scene.world
        world.engine.stores = (BUCKET,)
        if "{hub_id}" in self.pair[1]:
            self.ids["hub_id"] = world.ready_hub(cell="c9")
            remove_hub(world, self.ids["hub_id"])
        else:
            world.approve(self.ids["run_id"])
            remove(world, self.ids["key"])

    _export_waiver = _export_acknowledgement

    def _customer_attestation(self) -> None:
        desk = Desk(self.scene.world, 78)
        desk.handed_over()
        self.ids["key"] = desk.tenant_id
        remove(self.scene.world, desk.tenant_id)

    def _handed(self, step: str) -> Handed:
        """The data of a tenant is handed over, and somebody has to act."""
        handed = Handed(self.scene.world, "B", 79)
        self.ids["key"] = handed.tenant_id
        handed.ask()
        handed.go(until=step)
        return handed

    def _first_copy(self) -> None:
        self._handed("first_copy")

    def _database_dump(self) -> None:
        self._handed("dump")

    def _import_report(self) -> None:
        self.body = {"report": self._handed("import").report()}

    def _withdrawal(self) -> None:
        """The caller has approved, and no worker has begun."""
        decided = self.scene.ask("POST", "/v1/approvals/{approval_id}/decisions", self.who or OPS)
        assert decided.status_code == 201, decided.text

    def _resume(self) -> None:
        if "{subscription_id}" in self.pair[1]:
            self.scene.ask(
                "PATCH", "/v1/event-subscriptions/{subscription_id}", ADMIN, json={"paused": True}
            )
            return
        self.scene.ask("POST", "/v1/queue/pause", OPS)

    def _release(self) -> None:
        """A log that was set aside is in order again."""
        if "quarantine" in self.pair[1]:
            self.scene.world.storage.set_aside(self.ids["tree"])

    def _drift_checks(self) -> None:
        """What was applied can be looked at."""
        self.scene.world.approve(self.ids["run_id"])

    def _decisions(self) -> None:
        """What a look has found can be decided on."""
        if "drift" not in self.pair[1]:
            return
        world = self.scene.world
        self._drift_checks()
        world.engine.lose("dainese.production.b", "region")
        world.engine.drift = (Drift(kind="foreign", subject="s3:bucket b", type="s3:bucket"),)
        self.scene.ask("POST", "/v1/tenants/{key}/drift-checks", OPS, ids=self.ids)
        world.work()
        items = self.scene.ask("GET", "/v1/tenants/{key}/findings", OPS, ids=self.ids).json()
        self.body = {**self.body, "findings": [each["id"] for each in items["items"]]}

    def _drift_sweeps(self) -> None:
        """The sweep before has ended."""
        self.scene.world.clock.advance(hours=30)

    def _accept(self) -> None:
        self.ids["bundle_id"] = self.scene.world.submit("C", 77).bundle_id or ""

    def _hand_over(self) -> None:
        self.scene.built_bundle()

    def _revoke(self) -> None:
        self.scene.built_bundle()
        handed = self.scene.ask(
            "POST", "/v1/bundles/{bundle_id}/hand-over", ARCHITECT,
            json=self.scene.body("/v1/bundles/{bundle_id}/hand-over"),
        )  # fmt: skip
        self.ids["link_id"] = handed.json()["link_id"]

    def _receipts(self) -> None:
        self.scene.built_bundle()
        handed = self.scene.ask("POST", "/v1/bundles/{bundle_id}/hand-over", ARCHITECT)
        assert handed.status_code == 201, handed.text
        self.body = {"receipt": self.scene.receipt()}

    def call(self, who: Role | str | None = None, **more: Any) -> Any:
        more.setdefault("json", self.body)
        ends = ("runs/{run_id}/cancel", "retry", "accept", "build", "revoke", "drift-checks")
        is_bare = self.pair[0] == "DELETE" and not self.pair[1].endswith("onboarding-link")
        if self.pair[1].endswith(ends) or is_bare:
            more["json"] = None
        return self.scene.ask(*self.pair, who or WHO[self.pair], ids=self.ids, **more)


def test_every_mutating_route_of_the_document_is_here(shown: Scene) -> None:
    mutating = {
        (method.upper(), path)
        for path, item in shown.api.app.openapi()["paths"].items()
        for method in item
        if method in {"post", "put", "patch", "delete"}
    }
    assert mutating == set(WHO) | QUERIES | SIGNED


@pytest.mark.requirement("J-053")
@pytest.mark.parametrize("pair", WHO, ids=_named)
def test_success_and_refusal_leave_events(scene: Scene, pair: tuple[str, str]) -> None:
    ready = Ready(scene, pair)
    refused, events = scene.api.events(lambda: ready.call(_without_right(pair)))
    assert refused.status_code == 403
    assert any(event.endswith(":denied") for event in events)
    answer, events = scene.api.events(ready.call)
    assert answer.status_code in {200, 201, 202}, answer.text
    assert events
    assert not any(event.endswith(":denied") for event in events)


KEYED: Final = [
    (method.upper(), path)
    for path, item in written()["paths"].items()
    for method, operation in item.items()
    if any(
        each.get("name", "").lower() == "idempotency-key"
        for each in operation.get("parameters", ())
    )
]


@pytest.mark.parametrize("pair", KEYED, ids=_named)
def test_a_repetition_takes_the_right_that_the_act_takes(
    scene: Scene, pair: tuple[str, str]
) -> None:
    """One person's role, or sight of the tenant, is gone when the answer is asked for again."""
    role = WHO[pair]
    who = scene.api.token(role, subject="the-same")
    ready = Ready(scene, pair, who)
    first = ready.call(who, key="one")
    assert first.status_code in {200, 201, 202}, first.text
    without = scene.api.issuer.mint(
        "the-same", roles=[Role.AUDITOR], tenants=("*",), machine=role is Role.AUTOMATION
    )
    refused, events = scene.api.events(lambda: ready.call(without, key="one"))
    is_problem(refused, 403, "not_allowed")
    assert [event.rsplit(":", 1)[1] for event in events] == ["denied"]
    if {"{run_id}", "{approval_id}", "{bundle_id}"} & set(pair[1].split("/")):
        blind = scene.api.token(role, subject="the-same", tenants=(f"ten_{'0' * 26}",))
        is_problem(ready.call(blind, key="one"), 404, "not_found")
    again = ready.call(who, key="one")
    assert again.headers["idempotency-replayed"] == "true"
    assert again.status_code == first.status_code


@pytest.mark.parametrize("pair", WHO, ids=_named)
def test_a_thing_that_does_not_exist_leaves_an_event_too(
    shown: Scene, pair: tuple[str, str]
) -> None:
    if "{" not in pair[1]:
        return
    answer, events = shown.api.events(lambda: shown.ask(*pair, WHO[pair], ids=shown.missing))
    is_problem(answer, 404, "not_found")
    assert events == ["request.refused:denied"]
    assert shown.world.events()[-1].data["route"] == _named(pair)


@pytest.mark.parametrize("fault", ["store", "behind"])
@pytest.mark.parametrize("pair", WHO, ids=_named)
def test_without_the_log_nothing_is_done(scene: Scene, pair: tuple[str, str], fault: str) -> None:
    ready = Ready(scene, pair)
    world = scene.world
    kept, enqueued = _kept(world), world.storage.enqueued()
    if fault == "store":
        with world.storage.without_log():
            answer = ready.call()
    else:
        world.trail.behind = "events have been waiting too long for the sequencer"
        answer = ready.call()
    content = is_problem(answer, 503, "audit_unavailable")
    assert answer.headers["retry-after"] == "2"
    assert "nothing was done" in content["title"] + content["detail"]
    assert _kept(world) == kept
    assert world.storage.enqueued() == enqueued
    world.trail.behind = ""
    assert ready.call().status_code in {200, 201, 202}  # without a restart


@pytest.mark.parametrize(
    "pair", [pair for pair in WHO if not pair[1].endswith("/provisioning-requests")], ids=_named
)
def test_a_change_that_belongs_to_a_held_log_waits_and_others_go_on(
    scene: Scene, pair: tuple[str, str]
) -> None:
    ready = Ready(scene, pair)
    world = scene.world
    kept, enqueued = _kept(world), world.storage.enqueued()
    trees = ["platform", *world.rows("tenant")]
    world.trail.held_trees = dict.fromkeys(trees, "row and entries differ")
    content = is_problem(ready.call(), 503, "audit_unavailable")
    assert "row and entries differ" in content["title"] + content["detail"]
    assert (_kept(world), world.storage.enqueued()) == (kept, enqueued)
    world.trail.held_trees = {"ten_00000000000000000000000000": "row and entries differ"}
    assert ready.call().status_code in {200, 201, 202}


def _kept(world: World) -> dict[str, Any]:
    """Return the rows but those of idempotency keys: a refused request's key is free again."""
    rows = world.storage.everything()
    return {name: items for name, items in rows.items() if name != "idempotency_record"}


@pytest.mark.parametrize("pair", WHO, ids=_named)
def test_a_refusal_that_cannot_be_recorded_is_no_answer(
    shown: Scene, pair: tuple[str, str]
) -> None:
    # full again for each: what is over it is counted, and answered
    vars(shown.world.core.refusals).update(vars(RefusalBudget()))
    with shown.world.storage.without_log():
        answer = shown.ask(*pair, _without_right(pair))
        is_problem(answer, 503, "audit_unavailable")
        wrong = shown.ask(*pair, WHO[pair], ids=shown.missing, json={"x": 1})
        is_problem(wrong, 503, "audit_unavailable")


def test_reading_goes_on_while_the_log_is_behind(shown: Scene) -> None:
    shown.world.trail.behind = "events have been waiting too long for the sequencer"
    try:
        assert shown.ask("GET", "/v1/tenants", ADMIN).status_code == 200
        assert shown.ask("GET", "/v1/runs/{run_id}", ADMIN).status_code == 200
        assert "tenantplane_audit_behind 1" in shown.ask("GET", "/metrics", None).text
    finally:
        shown.world.trail.behind = ""


def test_a_dry_run_answers_the_decision_and_stores_nothing(scene: Scene) -> None:
    before = scene.world.rows("tenant")
    body = scene.body("/v1/provisioning-requests")
    answer = scene.api.call(
        "POST", "/v1/provisioning-requests?dry_run=true", Role.AUTOMATION, json=body
    )
    assert answer.status_code == 200
    assert answer.json()["mode"] == "A"
    assert answer.json()["reasons"]
    assert scene.world.rows("tenant") == before


def test_the_log_of_a_tenant_is_read_and_the_read_is_logged(scene: Scene) -> None:
    path = "/v1/tenants/{key}/audit/events"
    answer, events = scene.api.events(lambda: scene.ask("GET", path, Role.AUDITOR))
    assert [item["idx"] for item in answer.json()["items"]][:3] == [0, 1, 2]
    assert events == ["log.read:completed"]
    token = scene.api.token(Role.AUDITOR)
    address = f"/v1/tenants/{scene.ids['key']}/audit/events?action=log.read"
    found, events = scene.api.events(lambda: scene.api.call("GET", address, token))
    assert len(found.json()["items"]) == 1
    assert events == []  # reading of reads comes to an end


READS: Final = {
    "/v1/tenants/{key}/audit/events": "audit.events",
    "/v1/tenants/{key}/audit/checkpoint": "audit.checkpoint",
    "/v1/tenants/{key}/audit/proof?idx=3": "audit.proof",
    "/audit/{tree}/checkpoint": "audit.tiles",
    "/audit/{tree}/tile/0/000.p/3": "audit.tiles",
    "/audit/{tree}/tile/entries/000.p/2": "audit.tiles",
    "/v1/audit/platform/events": "audit.events",
    "/v1/audit/platform/checkpoint": "audit.checkpoint",
    "/v1/audit/platform/proof?idx=3": "audit.proof",
    "/audit/platform/tile/0/000.p/1": "audit.tiles",
    "/v1/tenants/{key}/audit/status": "audit.status",
    "/v1/audit/platform/status": "audit.status",
    "/v1/audit/status": "audit.status",
    "/v1/audit/trees": "audit.status",
}


@pytest.mark.parametrize("path", READS)
def test_every_way_to_read_a_log_leaves_an_event_in_it(scene: Scene, path: str) -> None:
    scene.world.trail.note = "the newest checkpoint"
    is_platform = not path.startswith(("/v1/tenants/", "/audit/{tree}/"))
    who = scene.api.token(Role.PLATFORM_AUDITOR if is_platform else Role.AUDITOR, subject="audrey")
    address = path.format(**scene.ids)
    answer, events = scene.api.events(lambda: scene.api.call("GET", address, who))
    assert answer.status_code == 200, answer.text
    assert events == ["log.read:completed"]
    event = scene.world.events()[-1]
    assert event.tree == ("platform" if is_platform else scene.ids["tree"])
    assert (event.data["route"], event.data["count"]) == (READS[path], 1)
    assert "audrey" in event.body["actor"]["id"]
    if "proof" in path:
        assert (event.data["first_idx"], event.data["last_idx"]) == (3, 3)
    with scene.world.storage.without_log():  # what cannot be recorded is not shown
        other = scene.api.token(
            Role.PLATFORM_AUDITOR if is_platform else Role.AUDITOR, subject="otis"
        )
        is_problem(scene.api.call("GET", address, other), 503, "audit_unavailable")


def test_every_route_that_shows_a_log_is_here(shown: Scene) -> None:
    # grants, erasures and findings have lists of their own, which show no entry
    names = ("disclosures", "grants", "erasures", "quarantine")
    others = tuple(f"/v1/audit/{{tree}}/{each}" for each in names)
    routes = {
        path for path in shown.api.app.openapi()["paths"]
        if "audit" in path and not path.startswith(others)
    }  # fmt: skip
    asked = {path.partition("?")[0] for path in READS}
    assert {path for path in routes if "{path}" not in path} == {
        "/v1/audit/{tree}/dossier",  # an export is an event of its own: test_dossier_route.py
        *(path for path in asked if path.startswith("/v1/")),
    }
    assert [path for path in routes if "{path}" in path] == ["/audit/{tree}/{path}"]


def test_pages_of_a_log_cover_it(scene: Scene) -> None:
    address = f"/v1/tenants/{scene.ids['key']}/audit/events?action=run.planned"
    whole = scene.api.call("GET", address, Role.AUDITOR).json()["items"]
    first = scene.api.call("GET", f"{address}&limit=1", Role.AUDITOR).json()
    assert first["items"] == whole[:1]
    after = first["next_page_token"]
    rest = scene.api.call("GET", f"{address}&after={after}", Role.AUDITOR).json()
    assert rest["items"] == whole[1:]
