"""No silent mutation: every use case leaves exactly its events, and does nothing without a log.

The table is complete by reflection: a public function of ``control_plane/services`` that takes the
core and is in neither table fails the first test.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from control_plane import services
from control_plane.domain.actor import Role
from control_plane.domain.errors import (
    AlreadyDecided,
    ApprovalExpired,
    AuditUnavailable,
    Conflict,
    ContractAlreadyUsed,
    DomainError,
    IllegalTransition,
    InvalidInput,
    LinkExpired,
    MachineMayNotDecide,
    ModeConflict,
    NotAllowed,
    NotFound,
    PlanOutOfDate,
    PreconditionFailed,
    ReceiptMismatch,
    UnknownRegion,
)
from control_plane.domain.run import BlockedOn
from control_plane.services import (
    approvals,
    auditing,
    bundles,
    hubs,
    permission,
    provisioning,
    receipts,
    runs,
    sweeps,
    tenants,
)
from control_plane.workflows.core import Caller
from tests.world import (
    ADMIN,
    ARCHITECT,
    AUDITOR,
    AUTOMATION,
    OPS,
    World,
    machine,
    person,
    request_body,
)

EVERYBODY = person("eve", *Role)
NOBODY = person("norman")
CUSTOMERS_ACCOUNT = "210987654321"


class Scene(World):
    """A world, and the ids that the acts of the tables are about."""

    def __init__(self) -> None:
        super().__init__()
        self.link = ""

    def waiting_b(self) -> Any:
        """Return a Mode B run that waits for its decision."""
        accepted = self.submit("B")
        self.work()
        return self.run(accepted.run_id)

    def bundle(self, *, upto: str = "queued") -> str:
        """Return a bundle that is queued, accepted, built or handed over."""
        bundle_id = self.submit("C").bundle_id or ""
        if upto == "queued":
            return bundle_id
        taken = bundles.accept_bundle(self.core, ARCHITECT, bundle_id)
        bundles.edit_bundle(
            self.core, ARCHITECT, bundle_id,
            inputs={"account_id": CUSTOMERS_ACCOUNT}, if_version=taken.version,
        )  # fmt: skip
        if upto == "accepted":
            return bundle_id
        bundles.build_bundle(self.core, ARCHITECT, bundle_id)
        self.work()
        if upto == "handed_over":
            self.link = hand_over(self, bundle_id).token
        return bundle_id

    def receipt(self, bundle_id: str) -> dict[str, Any]:
        """Return the receipt of a bundle's apply."""
        bundle = bundles.get_bundle(self.core, AUDITOR, bundle_id)
        return {
            "content_digest": bundle.content_digest,
            "tenant": self.tenant(bundle.tenant_id).slug,
            "deployment": bundle.deployment_id,
            "environment": "production",
            "account_id": CUSTOMERS_ACCOUNT,
            "region": bundle.inputs["region"],
        }


Act = Callable[[], object]
Prepare = Callable[[Scene], Act]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One call: what prepares it, which events it leaves, and the error of a refusal."""

    prepare: Prepare
    events: tuple[str, ...]
    error: type[DomainError] | None = None


def decide(who: Caller, **changes: str) -> Prepare:
    def prepare(scene: Scene) -> Act:
        view = approvals.get_approval(scene.core, OPS, scene.waiting_b().approval_id)
        given = {"verdict": "approve", "plan_digest": view.approval.plan_digest, "reason": "ok"}
        given |= changes
        return lambda: approvals.decide(scene.core, who, view.approval.id, **given)

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
        return lambda: function(scene.core, who, bundle_id, **given)

    return prepare


def edit(upto: str, off: int = 0) -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto=upto)
        version = bundles.get_bundle(scene.core, AUDITOR, bundle_id).version + off
        return lambda: bundles.edit_bundle(
            scene.core, ARCHITECT, bundle_id, inputs={"uninstall": True}, if_version=version
        )

    return prepare


def hand_over(scene: Scene, bundle_id: str) -> bundles.HandedOver:
    return bundles.hand_over(
        scene.core, ARCHITECT, bundle_id,
        recipient_name="Carla", recipient_email="carla@example.com",
    )  # fmt: skip


def download(spoil: str = "") -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto="handed_over")
        return lambda: bundles.download_by_link(
            scene.core, NOBODY, bundle_id, scene.link + spoil, name=None
        )

    return prepare


def receipt(**changes: str) -> Prepare:
    def prepare(scene: Scene) -> Act:
        bundle_id = scene.bundle(upto="handed_over")
        body = {**scene.receipt(bundle_id), **changes}
        return lambda: receipts.register_receipt(scene.core, ARCHITECT, bundle_id, body)

    return prepare


def hub(who: Caller, *, taken: bool = False) -> Prepare:
    def prepare(scene: Scene) -> Act:
        def act() -> object:
            return hubs.request_hub(scene.core, who, region="eu-west-1", cell="c1", capacity=3)

        if taken:
            act()
        return act

    return prepare


def submit(mode: str, who: Caller = AUTOMATION, *, used: bool = False, **changes: Any) -> Prepare:
    def prepare(scene: Scene) -> Act:
        if used:
            scene.submit("B")
        body = request_body(mode, 1, **changes)
        return lambda: provisioning.submit_request(scene.core, who, body)

    return prepare


def submit_again(scene: Scene) -> Act:
    act = submit("B")(scene)
    act()
    return act


def steer(function: Callable[..., object], who: Caller = OPS, *, canceled: bool) -> Prepare:
    def prepare(scene: Scene) -> Act:
        run = scene.waiting_b()
        if canceled:
            runs.cancel_run(scene.core, OPS, run.id)
        return lambda: function(scene.core, who, run.id)

    return prepare


def retry_blocked(scene: Scene) -> Act:
    run = scene.waiting_b()
    with scene.core.uow() as uow:
        deployment = uow.deployments.get(run.deployment_id)
    assert deployment is not None
    scene.engine.hold_lock(deployment.stack)
    scene.approve(run.id)
    assert scene.run(run.id).blocked_on is BlockedOn.FOREIGN_LOCK
    return lambda: runs.retry_run(scene.core, OPS, run.id)


def decide_mode(who: Caller, **changed: Any) -> Prepare:
    def prepare(scene: Scene) -> Act:
        tenant = scene.submit("A", customer_managed_key=True).tenant
        return lambda: tenants.decide_mode(
            scene.core, who, tenant.id, changed_facts=changed or None, reason="agreed"
        )

    return prepare


def read_log(who: Caller, tree: str = "") -> Prepare:
    def prepare(scene: Scene) -> Act:
        key = tree or scene.submit("B").tenant.id
        return lambda: auditing.read_events(
            scene.core, who, key, after=0, limit=10, action=None
        )

    return prepare


def sweep(function: Callable[..., int], make: Callable[[Scene], object], **later: float) -> Prepare:
    def prepare(scene: Scene) -> Act:
        make(scene)
        scene.clock.advance(**later)
        return lambda: function(scene.core)

    return prepare


def waits_for_hub(scene: Scene) -> None:
    """Leave a request that waits, and a Hub that has room since without having woken it."""
    hub_id = scene.ready_hub(capacity=0)
    scene.submit("A")
    scene.work()
    with scene.core.uow() as uow:
        row = uow.hubs.get(hub_id, lock=True)
        assert row is not None
        uow.hubs.save(replace(row, capacity=5, version=row.version + 1))
        uow.commit()


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
                    "tenant.status_changed:completed"),
        ),
        Case(prepare=decide(OPS, plan_digest="x"), error=PlanOutOfDate,
             events=("decision.refused:denied",)),
        Case(prepare=decide(machine("robot", Role.OPS_APPROVER)), error=MachineMayNotDecide,
             events=("decision.refused:denied",)),
        Case(prepare=decide(AUDITOR), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=decide_twice, error=AlreadyDecided, events=("decision.refused:denied",)),
        Case(
            prepare=decide_late, error=ApprovalExpired,
            events=("approval.expired:completed", "run.expired:completed",
                    "tenant.status_changed:completed", "decision.refused:denied"),
        ),
    ),
    "auditing.read_events": (
        Case(prepare=read_log(AUDITOR), events=("log.read:completed",)),
        Case(prepare=read_log(OPS), error=NotAllowed, events=DENIED_ROLE),
        Case(prepare=read_log(AUDITOR, "platform"), error=NotAllowed, events=DENIED_ROLE),
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
    "bundles.build_bundle": (
        Case(prepare=on_bundle(bundles.build_bundle, "accepted"),
             events=("bundle.build_requested:completed",)),
        Case(prepare=on_bundle(bundles.build_bundle, "built"), error=IllegalTransition,
             events=("bundle.refused:denied",)),
    ),
    "bundles.hand_over": (
        Case(
            prepare=on_bundle(bundles.hand_over, "built", recipient_name="Carla",
                              recipient_email="carla@example.com"),
            events=("bundle.handed_over:completed", "link.issued:completed",
                    "tenant.status_changed:completed"),
        ),
        Case(
            prepare=on_bundle(bundles.hand_over, "built", recipient_name="Carla",
                              recipient_email="nowhere"),
            error=InvalidInput, events=("bundle.refused:denied",),
        ),
    ),
    "bundles.download_by_link": (
        Case(prepare=download(), events=("bundle.downloaded:completed",)),
        Case(prepare=download("x"), error=LinkExpired, events=("link.refused:denied",)),
    ),
    "bundles.download_as_architect": (
        Case(prepare=on_bundle(bundles.download_as_architect, "built", name=None),
             events=("bundle.downloaded:completed",)),
        Case(prepare=on_bundle(bundles.download_as_architect, "built", AUTOMATION, name=None),
             error=NotAllowed, events=DENIED_ROLE),
    ),
    "receipts.register_receipt": (
        Case(prepare=receipt(),
             events=("receipt.registered:completed", "tenant.status_changed:completed")),
        Case(prepare=receipt(content_digest="x"), error=ReceiptMismatch,
             events=("receipt.refused:denied",)),
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
             events=("run.canceled:completed", "tenant.status_changed:completed")),
        Case(prepare=steer(runs.cancel_run, canceled=True), error=IllegalTransition,
             events=("run.refused:denied",)),
        Case(prepare=steer(runs.cancel_run, AUTOMATION, canceled=False), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "runs.retry_run": (
        Case(prepare=steer(runs.retry_run, canceled=True),
             events=("run.requested:completed", "run.retried:completed")),
        Case(prepare=retry_blocked, events=("run.retried:completed",)),
        Case(prepare=steer(runs.retry_run, canceled=False), error=IllegalTransition,
             events=("run.refused:denied",)),
    ),
    "tenants.decide_mode": (
        Case(
            prepare=decide_mode(ARCHITECT, customer_managed_key=False),
            events=("mode.confirmed:completed", "mode.resolved:completed",
                    "tenant.status_changed:completed", "run.requested:completed",
                    "tenant.status_changed:completed"),
        ),
        Case(prepare=decide_mode(ARCHITECT), error=ModeConflict, events=("mode.refused:denied",)),
        Case(prepare=decide_mode(ARCHITECT, seats=1), error=InvalidInput,
             events=("mode.refused:denied",)),
        Case(prepare=decide_mode(OPS, customer_managed_key=False), error=NotAllowed,
             events=DENIED_ROLE),
    ),
    "sweeps.expire_approvals": (
        Case(
            prepare=sweep(sweeps.expire_approvals, Scene.waiting_b, hours=72),
            events=("approval.expired:completed", "run.expired:completed",
                    "tenant.status_changed:completed"),
        ),
        Case(prepare=sweep(sweeps.expire_approvals, Scene.waiting_b, hours=71), events=()),
    ),
    "sweeps.expire_bundles": (
        Case(prepare=sweep(sweeps.expire_bundles, Scene.bundle, days=60),
             events=("bundle.expired:completed",)),
        Case(prepare=sweep(sweeps.expire_bundles, Scene.bundle, days=59), events=()),
    ),
    "sweeps.wake_runs": (
        Case(prepare=sweep(sweeps.wake_runs, waits_for_hub), events=("run.unblocked:completed",)),
        Case(prepare=sweep(sweeps.wake_runs, Scene.waiting_b), events=()),
    ),
    "permission.require_role": (
        Case(
            prepare=lambda scene: lambda: permission.require_role(
                scene.core, NOBODY, Role.AUDITOR, act="x.read"
            ),
            error=NotAllowed, events=DENIED_ROLE,
        ),
    ),
    "permission.require_sight": (
        Case(
            prepare=lambda scene: lambda: permission.require_sight(
                scene.core, person("eve", tenants=("ten_a",)), "ten_b", act="x.read"
            ),
            error=NotFound, events=DENIED_ROLE,
        ),
    ),
}  # fmt: skip
# what other functions are made of: the first commits what its caller gives, with the caller's
# events; the second keeps answers, and what is answered leaves the events
PARTS = {"bundles.as_architect", "idempotency.once"}
Read = Callable[[Scene, str, str, str], object]  # scene, tenant, run, bundle
READING: dict[str, Read] = {
    "approvals.get_approval": lambda s, _, run, __: approvals.get_approval(
        s.core, EVERYBODY, s.run(run).approval_id
    ),
    "approvals.list_approvals": lambda s, *_: approvals.list_approvals(
        s.core, EVERYBODY, limit=5, before=None, status=None
    ),
    "auditing.tree_for": lambda s, tenant, *_: auditing.tree_for(
        s.core, EVERYBODY, tenant, act="x"
    ),
    "auditing.inclusion_proof": lambda s, tenant, *_: auditing.inclusion_proof(
        s.core, EVERYBODY, tenant, 0
    ),
    "auditing.tile": lambda s, tenant, *_: auditing.tile(s.core, EVERYBODY, tenant, "tile/0/000"),
    "auditing.checkpoint": lambda s, tenant, *_: _missing(
        lambda: auditing.checkpoint(s.core, EVERYBODY, tenant)
    ),
    "bundles.get_bundle": lambda s, _, __, bundle: bundles.get_bundle(s.core, EVERYBODY, bundle),
    "bundles.visible_bundle": lambda s, _, __, bundle: bundles.visible_bundle(
        s.core, EVERYBODY, bundle, act="x"
    ),
    "bundles.list_bundles": lambda s, *_: bundles.list_bundles(
        s.core, EVERYBODY, limit=5, before=None, status=None
    ),
    "hubs.get_hub": lambda s, *_: hubs.get_hub(s.core, EVERYBODY, next(iter(s.store.rows["hub"]))),
    "hubs.list_hubs": lambda s, *_: hubs.list_hubs(s.core, EVERYBODY, limit=5, before=None),
    "provisioning.resolve_mode": lambda s, *_: provisioning.resolve_mode(
        s.core, EVERYBODY, provisioning.facts_of(request_body("B"))
    ),
    "provisioning.preview_request": lambda s, *_: provisioning.preview_request(
        s.core, EVERYBODY, request_body("B")
    ),
    "provisioning.get_request": lambda s, *_: provisioning.get_request(
        s.core, EVERYBODY, next(iter(s.store.rows["provisioning_request"]))
    ),
    "provisioning.list_requests": lambda s, *_: provisioning.list_requests(
        s.core, EVERYBODY, limit=5, before=None
    ),
    "runs.get_run": lambda s, _, run, __: runs.get_run(s.core, EVERYBODY, run),
    "runs.get_plan": lambda s, _, run, __: runs.get_plan(s.core, EVERYBODY, run),
    "runs.list_runs": lambda s, *_: runs.list_runs(
        s.core, EVERYBODY, limit=5, before=None, tenant_id=None, status=None
    ),
    "runs.events_after": lambda s, _, run, __: runs.events_after(s.core, EVERYBODY, run, 0),
    "runs.read_events": lambda s, _, run, __: runs.read_events(s.core, run, 0),
    "sweeps.calls_to_stop": lambda s, *_: sweeps.calls_to_stop(s.core),
    "tenants.get_tenant": lambda s, tenant, *_: tenants.get_tenant(s.core, EVERYBODY, tenant),
    "tenants.find_tenant": lambda s, tenant, *_: tenants.find_tenant(s.core, tenant),
    "tenants.list_tenants": lambda s, *_: tenants.list_tenants(
        s.core, EVERYBODY, limit=5, before=None, status=None
    ),
    "tenants.deployments_of": lambda s, tenant, *_: tenants.deployments_of(
        s.core, EVERYBODY, tenant
    ),
}
CASES = [
    pytest.param(case, id=f"{name}-{case.error.code if case.error else number}")
    for name, cases in MUTATING.items()
    for number, case in enumerate(cases)
]


def _missing(ask: Act) -> None:
    with pytest.raises(NotFound):
        ask()


def _of_the_core() -> set[str]:
    """Return every public function that takes the core and opens its own transactions."""
    found = set()
    for info in pkgutil.iter_modules(services.__path__):
        module = importlib.import_module(f"{services.__name__}.{info.name}")
        for name, function in inspect.getmembers(module, inspect.isfunction):
            names = list(inspect.signature(function).parameters)
            own = function.__module__ == module.__name__ and not name.startswith("_")
            # one that takes a unit of work too is a part of its caller's transaction
            if own and names[:1] == ["core"] and names[1:2] != ["uow"]:
                found.add(f"{info.name}.{name}")
    return found


def _shape(scene: Scene) -> object:
    rows = {name: dict(table) for name, table in scene.store.rows.items()}
    return rows, list(scene.queue.entries), len(scene.store.audit)


def test_every_use_case_is_in_one_of_the_tables() -> None:
    tables = [set(MUTATING), set(READING), PARTS]
    assert set.union(*tables) == _of_the_core()
    assert sum(map(len, tables)) == len(set.union(*tables))


def test_every_mutating_use_case_is_shown_to_succeed_and_to_be_refused() -> None:
    for name, cases in MUTATING.items():
        if name.startswith("sweeps."):  # time asks, and nobody is refused
            assert any(not case.events for case in cases), name
            continue
        assert any(case.error for case in cases), name
        if not name.startswith("permission."):  # which does nothing where it does not refuse
            assert any(case.error is None for case in cases), name


@pytest.mark.parametrize("case", CASES)
def test_an_act_leaves_exactly_its_events(case: Case) -> None:
    scene = Scene()
    act = case.prepare(scene)
    known = len(scene.store.audit)
    if case.error is None:
        act()
    else:
        with pytest.raises(case.error) as refused:
            act()
        assert refused.value.is_recorded
    left = scene.store.audit[known:]
    assert tuple(f"{event.action}:{event.stage}" for event in left) == case.events


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_done_that_cannot_be_recorded(case: Case) -> None:
    scene = Scene()
    act = case.prepare(scene)
    before = _shape(scene)
    scene.store.audit_unavailable = True
    if not case.events:
        act()
    else:
        with pytest.raises(AuditUnavailable):
            act()
    assert _shape(scene) == before


@pytest.mark.parametrize("name", sorted(READING))
def test_reading_changes_nothing_and_needs_no_log(name: str) -> None:
    scene = Scene()
    scene.ready_hub()
    run = scene.waiting_b()
    bundle = scene.submit("C", 2).bundle_id
    before = _shape(scene)
    scene.store.audit_unavailable = True
    READING[name](scene, run.tenant_id, run.id, bundle or "")
    assert _shape(scene) == before
