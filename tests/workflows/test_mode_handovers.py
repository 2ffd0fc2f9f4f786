"""A tenant with data goes to an account of the customer: every step, refusal, and way back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from control_plane.domain.actor import Role
from control_plane.domain.bundle import BundleStatus
from control_plane.domain.deployment import DeploymentKind, Position
from control_plane.domain.errors import (
    DataUnreadable,
    DomainError,
    IllegalTransition,
    ImportDiffers,
    InvalidInput,
    MachineMayNotDecide,
    ModeDowngrade,
    NotAllowed,
    OnHold,
    ReceiptMismatch,
)
from control_plane.domain.hold import HoldKind
from control_plane.domain.mode import Mode
from control_plane.domain.run import RunKind, RunStatus
from control_plane.domain.saga import SagaStatus
from control_plane.domain.sagas.handover import MODE_HANDOVER
from control_plane.domain.tenant import TenantStatus
from control_plane.domain.transfer import Kind
from control_plane.services import data_handovers, sagas
from control_plane.services.performing import perform
from tests.storage import Storage
from tests.workflows.handed import CUSTOMERS_ACCOUNT, DUMP, Handed
from tests.workflows.held import place, release
from tests.workflows.raised import FILLED
from tests.workflows.removed import follow, steps_of
from tests.world import ADMIN, ARCHITECT, AUDITOR, OPS, World, machine

STEPS = [step.name for step in MODE_HANDOVER.steps]
BEFORE_SWITCH = STEPS[: STEPS.index("switch")]
WAITS = {"bundle", "apply", "first_copy", "dump", "import"}
BOTH = pytest.mark.parametrize("mode", ["A", "B"])


@pytest.fixture
def handed(world: World) -> Handed:
    return Handed(world)


def frozen(handed: Handed) -> bool:
    (found,) = [d for d in handed.deployments() if d.id == handed.source]
    return bool(found.transfer.get("frozen"))


def outcomes(handed: Handed) -> list[str]:
    return [name for name, _, is_undo in handed.outcomes() if not is_undo]


@pytest.mark.requirement("J-100")
@BOTH
def test_a_hand_over_takes_every_step_once_and_the_customers_hub_takes_over(
    world: World, mode: str
) -> None:
    handed = Handed(world, mode)
    change = handed.ask()
    assert (change.way, change.previous_mode, change.mode) == ("handover", mode, "C")
    before = handed.tenant()
    saga = handed.go(until="import")
    assert (handed.tenant().mode, handed.tenant().status) == (mode, TenantStatus.READY)
    assert handed.tenant().facts == before.facts
    assert frozen(handed)
    saga = handed.go(until="keep")
    tenant = handed.tenant()
    assert (tenant.mode, tenant.status) == ("C", TenantStatus.READY)
    assert tenant.facts["contract_mode"] == "C"
    (current,) = [d for d in handed.deployments() if d.position is Position.CURRENT]
    assert (current.kind, current.id) == (DeploymentKind.CUSTOMER_RUN, saga.data["target"])
    assert current.outputs["data_bucket"].endswith(CUSTOMERS_ACCOUNT)
    if mode == "A":
        assert current.outputs["leading_key"] == "acme"
    assert handed.at(Position.FORMER) == handed.source
    (event,) = [e for e in world.events() if e.action == "mode.switched"]
    assert event.data["counts"] == ["item 1", "object 2", "parameter 1", "secret 1"]
    assert handed.go().status is SagaStatus.DONE
    assert outcomes(handed) == STEPS
    (former,) = [d for d in handed.deployments() if d.position is Position.FORMER]
    assert former.removed_at is not None
    assert world.engine.stacks[former.stack].resources == {}
    with world.core.uow() as uow:
        assert uow.transfers.sums(saga.id) == {}


def test_the_bundle_has_the_facts_of_the_new_mode_the_manifest_and_the_runbook(
    handed: Handed,
) -> None:
    handed.ask()
    handed.go(until="apply")
    (order,) = handed.world.builder.orders
    assert order.variables["account_id"] == CUSTOMERS_ACCOUNT
    assert set(order.handover) == {"manifest.json", "HANDOVER.md"}
    assert json.loads(order.handover["manifest.json"]) == handed.manifest()
    guide = order.handover["HANDOVER.md"].decode()
    manifest = handed.manifest()
    for told in (
        manifest["tenant"], manifest["deployment"], handed.source,
        handed.saga().data["manifest"]["digest"], manifest["totals"]["object"]["digest"],
        "python3 -m handover export", "python3 -m handover report", "terraform output -json hub",
    ):  # fmt: skip
        assert told in guide
    # what it names is in the bundle, and the signature of the bundle covers it
    assert "--manifest handover/manifest.json" in guide
    assert "minisign" not in guide
    tenant = manifest["tenant"]
    assert f'tenantctl tenant first-copy {tenant} --reason "…"' in guide


def test_the_manifest_that_has_to_arrive_is_given_with_its_signature_and_its_runbook(
    world: World,
) -> None:
    handed = Handed(world, "B")
    handed.ask()
    handed.go(until="import")
    found = perform(world.core, ARCHITECT, data_handovers.show_manifest, handed.tenant_id)
    beside = handed.bundle().files
    name = found.manifest.name
    assert found.signature == world.core.objects.get(beside[f"{name}.minisig"])
    guide = found.guide.decode()
    assert f"--manifest {name}" in guide
    assert f"minisign -Vm {name}" in guide
    assert f"tenantctl tenant handover-manifest {handed.manifest()['tenant']}" in guide
    assert f"record-dump {handed.manifest()['tenant']} --digest sha256:… --reason" in guide


def test_the_manifest_lists_each_thing_by_size_and_digest_and_no_value_of_a_secret(
    handed: Handed,
) -> None:
    handed.ask()
    handed.go(until="bundle")
    manifest = handed.manifest()
    assert {(e["kind"], e["name"]) for e in manifest["entries"]} == {
        (str(kind), name) for kind, name in FILLED
    }
    assert FILLED[Kind.SECRET, "app"] not in json.dumps(manifest)
    for entry in manifest["entries"]:
        assert (entry["digest"] is None) is (entry["kind"] == "secret")
    assert manifest["is_frozen"] is False
    with pytest.raises(NotAllowed):
        perform(
            handed.world.core, machine("crm", Role.AUTOMATION), data_handovers.show_manifest,
            handed.tenant_id,
        )  # fmt: skip
    assert perform(
        handed.world.core, AUDITOR, data_handovers.show_manifest, handed.tenant_id
    ).content


def test_what_changes_until_the_freeze_is_in_the_manifest_that_has_to_arrive(
    handed: Handed,
) -> None:
    handed.ask()
    handed.go(until="first_copy")
    data = handed.world.data
    data.put(handed.source, Kind.OBJECT, "tenants/acme/a", "newer")
    del data.store(handed.source, Kind.OBJECT)["tenants/acme/b"]
    read: list[str] = []
    data.during = lambda what, thing: read.append(thing.name) if what == "describe" else None
    handed.go(until="import")
    manifest = handed.manifest()
    assert read == ["tenants/acme/a"]  # what was read before is not read again under the freeze
    assert (manifest["number"], manifest["is_frozen"]) == (2, True)
    names = [e["name"] for e in manifest["entries"] if e["kind"] == "object"]
    assert names == ["tenants/acme/a"]
    beside = handed.bundle().files
    assert {"handover-manifest-2.json", "handover-manifest-2.json.minisig", "HANDOVER.md"} <= set(
        beside
    )
    assert json.loads(handed.world.core.objects.get(beside["handover-manifest-2.json"])) == manifest


@pytest.mark.parametrize("step", sorted(WAITS - {"dump"}))
def test_while_somebody_else_has_to_act_it_says_who_and_what_for(handed: Handed, step: str) -> None:
    handed.ask()
    saga = handed.go(until=step)
    who = {"bundle": "architect", "apply": "customer", "first_copy": "ops", "import": "customer"}
    assert saga.status is SagaStatus.WAITING
    with handed.world.core.uow() as uow:
        progress = sagas.progress_of(uow, saga)
    assert str(progress.waits_on) == who[step]
    assert saga.waits_for
    assert who[step] in sagas.next_action(progress)
    wanted = {"first_copy": ["first-copy"], "import": ["import-report"]}.get(step, [])
    assert data_handovers.allowed_actions(saga, ARCHITECT.actor) == wanted
    assert data_handovers.allowed_actions(saga, AUDITOR.actor) == []


# --- reports -------------------------------------------------------------------------------------
def refused(handed: Handed, error: type[DomainError], **changes: Any) -> DomainError:
    """Return the refusal of a report; it left its event, and nothing is switched."""
    with pytest.raises(error) as caught:
        handed.send(handed.report(**changes))
    assert handed.world.actions()[-1] == "handover.refused:denied"
    follow(handed.world)
    saga = handed.saga()
    assert (saga.step, saga.status) == ("import", SagaStatus.WAITING)
    assert handed.tenant().mode == "A"
    assert handed.world.rows("import_report") == {}
    return caught.value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tenant", "somebody-else"),
        ("deployment", "dep_" + "0" * 26),
        ("account_id", "000000000000"),
        ("region", "eu-north-1"),
        ("manifest_digest", "sha256:" + "0" * 64),
    ],
)
def test_a_report_of_something_else_is_refused_by_the_field(
    handed: Handed, field: str, value: str
) -> None:
    handed.ask()
    handed.go(until="import")
    error = refused(handed, ReceiptMismatch, **{field: value})
    assert error.data["field"] == f"report.{field}"


def test_a_report_on_the_first_manifest_is_refused_under_the_freeze(handed: Handed) -> None:
    handed.ask()
    handed.go(until="first_copy")
    early = handed.report()
    handed.go(until="import")
    error = refused(handed, ReceiptMismatch, manifest_digest=early["manifest_digest"])
    assert error.data["field"] == "report.manifest_digest"


@pytest.mark.parametrize("kind", [str(kind) for kind in Kind])
@pytest.mark.parametrize("what", ["count", "bytes", "digest"])
def test_a_report_with_other_sums_is_refused_with_both_values(
    handed: Handed, kind: str, what: str
) -> None:
    handed.ask()
    handed.go(until="import")
    totals = handed.report()["totals"]
    other = "sha256:" + "0" * 64 if what == "digest" else totals[kind][what] + 1
    altered = {**totals, kind: {**totals[kind], what: other}}
    error = refused(handed, ImportDiffers, totals=altered)
    (wrong,) = error.data["kinds"]
    assert (wrong["kind"], wrong["expected"]) == (kind, totals[kind])
    assert wrong["found"][what] == other


def test_what_a_report_names_as_different_is_named_in_the_refusal(handed: Handed) -> None:
    handed.ask()
    handed.go(until="import")
    missing = {"kind": "object", "name": "tenants/acme/a", "what": "missing"}
    error = refused(handed, ImportDiffers, differences=[missing])
    assert error.data["differences"] == ["object tenants/acme/a: missing"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schema_version": 2}, "report.schema_version"),
        ({"made_at": "noon"}, "report.made_at"),
        ({"totals": {}}, "report.totals.object"),
        ({"secrets": {"app": "hush"}}, "report.secrets"),
        ({"differences": [{"kind": "object"}]}, "report.differences.0.name"),
        ({"database": {}}, "report.database.dump_digest"),
    ],
)
def test_a_report_that_cannot_be_right_is_refused_by_the_field(
    handed: Handed, changes: dict[str, Any], field: str
) -> None:
    handed.ask()
    handed.go(until="import")
    assert refused(handed, InvalidInput, **changes).data["field"] == field


def test_after_a_refused_report_a_right_one_is_taken_and_a_second_is_not(handed: Handed) -> None:
    handed.ask()
    handed.go(until="import")
    refused(handed, ImportDiffers, differences=[{"kind": "item", "name": "x", "what": "missing"}])
    report = handed.report()
    handed.send(report)
    with pytest.raises(IllegalTransition):
        handed.send(report)
    assert handed.go(until="keep").step == "keep"
    with pytest.raises(IllegalTransition):
        handed.send(report)
    assert handed.tenant().mode == "C"


def test_a_dump_that_was_not_the_one_handed_over_is_refused(world: World) -> None:
    handed = Handed(world, "B")
    handed.ask()
    saga = handed.go(until="dump")
    assert saga.status is SagaStatus.WAITING
    with pytest.raises(InvalidInput):
        handed.record_dump("sha256:short")
    handed.record_dump()
    handed.go(until="import")
    for database in (None, {"dump_digest": "sha256:" + "e" * 64}):
        with pytest.raises(ImportDiffers) as caught:
            handed.send(handed.report(database=database))
        (wrong,) = caught.value.data["kinds"]
        assert (wrong["kind"], wrong["expected"]) == ("database", DUMP)
    handed.send()
    assert handed.go().status is SagaStatus.DONE


def test_a_source_that_changes_under_the_freeze_needs_another_report(handed: Handed) -> None:
    handed.ask()
    handed.go(until="import")
    handed.world.data.put(handed.source, Kind.OBJECT, "tenants/acme/late", "by hand")
    report = handed.report()
    handed.send(report)
    follow(handed.world)
    saga = handed.saga()
    assert (saga.step, saga.status) == ("import", SagaStatus.WAITING)
    assert "has changed" in str(saga.waits_for)
    assert handed.manifest()["number"] == 3
    assert handed.tenant().mode == "A"
    assert handed.go(until="keep").data["evidence"]["object"]["count"] == 3


# --- the way back --------------------------------------------------------------------------------
# a slice has no database, and the keys of a dedicated Hub need not be opened
PLACES = [
    (mode, step)
    for mode, skipped in (("A", "dump"), ("B", "open"))
    for step in BEFORE_SWITCH
    if step != skipped
]


@pytest.mark.parametrize(("mode", "step"), PLACES)
def test_withdrawn_before_the_switch_everything_is_as_before(
    world: World, mode: str, step: str
) -> None:
    handed = Handed(world, mode)
    if step == "open":
        let_a_role_read(world)
    before, kept = handed.tenant(), world.data.contents(handed.source)
    handed.ask()
    stop_at(handed, step)
    perform(world.core, ADMIN, sagas.withdraw_saga, handed.saga().id, reason="not now")
    saga = handed.go()
    assert saga.status is SagaStatus.UNDONE, saga.error
    assert not frozen(handed)
    after = handed.tenant()
    assert (after.mode, after.status, after.facts) == (before.mode, before.status, before.facts)
    assert after.saga_id is None
    assert handed.at(Position.CURRENT) == handed.source
    assert world.data.contents(handed.source) == kept
    bundles = list(world.rows("bundle").values())
    applied = BEFORE_SWITCH.index(step) > BEFORE_SWITCH.index("apply")
    assert {b.status for b in bundles} <= {
        BundleStatus.APPLIED if applied else BundleStatus.SUPERSEDED
    }
    assert all(link.revoked_at for link in world.rows("download_link").values())
    with world.core.uow() as uow:
        assert uow.transfers.sums(saga.id) == {}


def stop_at(handed: Handed, step: str) -> None:
    """Go to a step: to its wait, or let it fail there, a run after it has applied."""
    if step == "prepare":
        return  # nothing was done yet
    if step in WAITS:
        assert handed.go(until=step).status is SagaStatus.WAITING
        return
    world = handed.world

    def data(what: str, thing: object) -> None:
        if handed.saga().step == step:
            raise DataUnreadable("it is refused here")

    def engine(what: str, call: object) -> None:
        if what == "change" and handed.saga().step == step:
            world.engine.failing_checks = {"as_applied"}

    world.data.during, world.engine.during = data, engine
    saga = handed.go()
    assert (saga.step, saga.status) == (step, SagaStatus.STUCK)
    world.data.during = world.engine.during = lambda what, thing: None
    world.engine.failing_checks = set()


def let_a_role_read(world: World) -> None:
    with world.core.uow() as uow:
        (account,) = uow.accounts.find()
        uow.accounts.save(replace(account, role_arn="arn:aws:iam::123456789012:role/provision"))
        uow.commit()


@pytest.mark.parametrize("step", ["manifest", "delta"])
def test_a_listing_that_is_refused_is_retried_or_withdrawn(handed: Handed, step: str) -> None:
    handed.ask()
    if step == "delta":
        handed.go(until="first_copy")
        handed.world.data.put(handed.source, Kind.ITEM, '["acme", "z"]', "new")

    def refuse(what: str, thing: object) -> None:
        if what == "describe":
            raise DataUnreadable("it is refused here")

    handed.world.data.during = refuse
    saga = handed.go()
    assert (saga.step, saga.status) == (step, SagaStatus.STUCK)
    handed.world.data.during = lambda what, thing: None
    handed.retry()
    assert handed.go(until="keep").step == "keep"


def test_a_freeze_that_fails_is_lifted_when_the_hand_over_is_withdrawn(handed: Handed) -> None:
    handed.ask()
    handed.go(until="first_copy")
    handed.world.engine.failing_checks = {"as_applied"}
    saga = handed.go()
    assert (saga.step, saga.status) == ("freeze", SagaStatus.STUCK)
    handed.world.engine.failing_checks = set()
    handed.withdraw()
    assert handed.go().status is SagaStatus.UNDONE
    assert not frozen(handed)


def test_a_hand_over_that_was_withdrawn_can_be_asked_for_again(handed: Handed) -> None:
    handed.ask()
    handed.go(until="import")
    first = handed.target()
    handed.withdraw()
    assert handed.go().status is SagaStatus.UNDONE
    handed.ask()
    assert handed.go().status is SagaStatus.DONE
    assert handed.at(Position.CURRENT) == handed.target() != first


def test_after_the_switch_there_is_only_forward(handed: Handed) -> None:
    handed.ask()
    handed.go(until="keep")
    with pytest.raises(IllegalTransition):
        handed.withdraw()
    handed.go(until="destroy")
    (run,) = [r for r in handed.world.rows("run").values() if r.kind is RunKind.DESTROY]
    assert (run.deployment_id, run.status) == (handed.source, RunStatus.AWAITING_APPROVAL)
    handed.world.approve(run.id)
    assert handed.world.run(run.id).status is RunStatus.AWAITING_APPROVAL


# --- what is refused -----------------------------------------------------------------------------
def test_a_hold_refuses_a_hand_over_and_stops_its_freeze(handed: Handed) -> None:
    hold = place(handed.world, handed.tenant_id, HoldKind.SAFETY)
    with pytest.raises(OnHold):
        handed.ask()
    release(handed.world, hold)
    handed.ask()
    handed.go(until="first_copy")
    hold = place(handed.world, handed.tenant_id, HoldKind.SAFETY)
    handed.say_first_copy()
    follow(handed.world)
    saga = handed.saga()
    assert (saga.step, saga.status) == ("freeze", SagaStatus.WAITING)
    (waiting,) = [r for r in handed.world.rows("run").values() if r.status is RunStatus.BLOCKED]
    assert waiting.deployment_id == handed.source
    release(handed.world, hold)
    assert handed.go(until="keep").step == "keep"


def test_words_are_said_by_people_with_a_reason_at_their_step(handed: Handed) -> None:
    with pytest.raises(IllegalTransition):
        handed.say_first_copy()
    handed.ask()
    handed.go(until="apply")
    for early in (handed.say_first_copy, handed.record_dump, handed.send):
        with pytest.raises(IllegalTransition):
            early()
        assert handed.world.actions()[-1] == "handover.refused:denied"
    handed.go(until="first_copy")
    with pytest.raises(MachineMayNotDecide):
        handed.say_first_copy(machine("robot", Role.OPS_APPROVER))
    with pytest.raises(InvalidInput):
        handed.say_first_copy(reason=" ")
    with pytest.raises(NotAllowed):
        handed.say_first_copy(AUDITOR)
    handed.say_first_copy()
    with pytest.raises(IllegalTransition):
        handed.say_first_copy()


def test_a_mode_is_never_lowered_from_c(handed: Handed) -> None:
    handed.ask()
    handed.go()
    for mode in (Mode.A, Mode.B):
        with pytest.raises(ModeDowngrade):
            handed.ask(to=mode, upgrade=True)


def test_the_database_refuses_a_switch_that_no_report_allows(
    handed: Handed, storage: Storage
) -> None:
    handed.ask()
    handed.go(until="import")
    with psycopg.connect(storage.database.owner, autocommit=True) as connection:
        both = (handed.source, handed.target())
        with pytest.raises(psycopg.Error) as error:
            connection.execute(
                "WITH gone AS (UPDATE deployment SET position = 'former' WHERE id = %s)"
                " UPDATE deployment SET position = 'current' WHERE id = %s",
                both,
            )
        assert error.value.diag.constraint_name == "handover_is_complete"
        handed.send()
        with pytest.raises(psycopg.Error) as error:
            connection.execute("UPDATE import_report SET digest = 'x'")
    assert error.value.sqlstate == "TP006"


def test_the_log_has_every_word_and_manifest(handed: Handed) -> None:
    handed.ask()
    handed.go(until="keep")
    found = [e.action for e in handed.world.events() if e.action.startswith("handover.")]
    assert found == [
        "handover.manifest_made", "handover.said", "handover.manifest_made", "handover.imported",
    ]  # fmt: skip
    assert {str(each.outcome) for each in steps_of(handed.world, handed.saga().id)} <= {
        "done", "skipped", "None",
    }  # fmt: skip
    assert OPS.actor.id in {
        each.result.get("by") for each in steps_of(handed.world, handed.saga().id)
    }
