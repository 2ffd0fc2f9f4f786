"""Decisions that approvers sign: keys, what the API takes, and what a worker applies.

The attacker has the database with all its triggers switched off, the queue, and the key of the log.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from control_plane.adapters.approvers import FileApprovers
from control_plane.adapters.audit.offline.approver_check import check_approvers
from control_plane.domain.actor import Role
from control_plane.domain.approver_errors import (
    ApproverKeyRefused,
    SignatureNeeded,
    SignatureRefused,
)
from control_plane.domain.errors import MachineMayNotDecide, NotAllowed
from control_plane.domain.run import RunStatus
from control_plane.domain.signed_decision import SignedStatement
from control_plane.services import approver_keys, runs, withdrawals
from control_plane.services.performing import perform
from control_plane.workflows.moving import enqueue
from tests.approver_hands import ADA, BEN, EVE, HOST, OLGA, OTTO, Hand, enrolled, signing_site
from tests.workflows.deciding import Site
from tests.world import OPS, World, machine

Forge = Callable[[Site], SignedStatement | None]
CHECK = FileApprovers(host=HOST).check


@pytest.fixture
def site(world: World, tmp_path: Path) -> Site:
    """A change that waits for a signed decision; the worker knows olga and otto."""
    site = signing_site(world, tmp_path, OLGA, OTTO)
    enrolled(world, OLGA, OTTO)
    return site


def key_of(world: World, hand: Hand) -> Any:
    return next(k for k in world.rows("approver_key").values() if k.actor_id == hand.name)


# --- keys ----------------------------------------------------------------------------------------
def test_the_first_keys_are_confirmed_by_two_admins_the_next_by_whoever_has_one(
    world: World,
) -> None:
    for hand in (OLGA, OTTO, ADA, BEN):
        assert hand.enroll(world).status == "enrolled"
    with pytest.raises(ApproverKeyRefused, match="two platform admins"):
        OLGA.confirm(world, OTTO)
    with pytest.raises(ApproverKeyRefused, match="own"):
        ADA.confirm(world, ADA)
    assert ADA.confirm(world, BEN).status == "confirmed"
    with pytest.raises(ApproverKeyRefused, match="not confirmed yet"):
        ADA.confirm(world, OLGA)
    BEN.confirm(world, OLGA)
    OLGA.confirm(world, OTTO)
    with pytest.raises(ApproverKeyRefused, match="already confirmed"):
        BEN.confirm(world, OTTO)
    found = [each for each in world.events() if each.action.startswith("approver_key.")]
    done = [each.action.partition(".")[2] for each in found if each.stage == "completed"]
    assert done == ["enrolled"] * 4 + ["confirmed"] * 3
    assert {each.tree for each in found} == {"platform"}
    assert found[-2].data["by_key"] == OLGA.fingerprint


def test_a_key_is_enrolled_once_by_a_person_who_has_it(world: World) -> None:
    OLGA.enroll(world)
    with pytest.raises(ApproverKeyRefused, match="enrolled before"):
        OLGA.enroll(world)
    said = EVE.about_key({"form": "x"}, world.clock.now())
    with pytest.raises(SignatureRefused):
        perform(
            world.core, OTTO.who, approver_keys.enroll_key, public_key=EVE.public, **said
        )  # eve's statement says nothing of otto
    with pytest.raises(MachineMayNotDecide):
        perform(
            world.core, machine("bot", Role.OPS_APPROVER), approver_keys.enroll_key,
            public_key=EVE.public, **said,
        )  # fmt: skip
    assert [e.data["code"] for e in world.events() if e.action == "approver_key.refused"] == [
        "approver_key_refused", "signature_refused", "machine_may_not_decide",
    ]  # fmt: skip


def test_a_key_is_revoked_by_its_owner_who_confirmed_it_or_an_admin(world: World) -> None:
    enrolled(world, OLGA, OTTO)
    revoke = approver_keys.revoke_key
    with pytest.raises(NotAllowed):
        perform(world.core, OTTO.who, revoke, key_of(world, OLGA).id, reason="a whim")
    perform(world.core, OLGA.who, revoke, key_of(world, OLGA).id, reason="lost")
    perform(world.core, ADA.who, revoke, key_of(world, OTTO).id, reason="left")
    with pytest.raises(ApproverKeyRefused, match="already revoked"):
        perform(world.core, ADA.who, revoke, key_of(world, OTTO).id, reason="left")
    event = next(e for e in reversed(world.events()) if e.action == "approver_key.revoked")
    assert (event.personal["reason"], event.data["approver_key"]) == ("left", OTTO.fingerprint)


@pytest.mark.parametrize("statement", [
    "UPDATE approver_key SET public_key = 'ssh-ed25519 AAAA'",
    "UPDATE approver_key SET actor_id = 'eve'",
    "UPDATE approver_key SET confirm_key = 'SHA256:x' WHERE actor_id = 'olga'",
    "UPDATE approver_key SET confirmed_at = now() WHERE actor_id = 'otto'",
    "UPDATE approver_key SET revoked_at = now() WHERE actor_id = 'otto'",
    ("UPDATE approver_key SET confirmed_by = actor_id, confirmed_person = person, confirm_key ="
    " fingerprint, confirm_statement = '', confirm_signature = '', confirmed_at = now()"
    " WHERE actor_id = 'otto'"),
    ("UPDATE approver_key SET confirmed_by = 'eve', confirmed_person = 'eve', confirm_key = 'x',"
    " confirm_statement = '', confirm_signature = '', confirmed_at = now()"
    " WHERE actor_id = 'otto'"),
    "DELETE FROM approver_key",
])  # fmt: skip
def test_what_the_code_refuses_of_keys_the_database_refuses_too(
    world: World, statement: str
) -> None:
    enrolled(world, OLGA)
    OTTO.enroll(world)
    with (
        psycopg.connect(world.storage.database.app) as connection,
        pytest.raises(psycopg.Error),
    ):
        connection.execute(statement)


# --- decisions -----------------------------------------------------------------------------------
def test_a_signed_approval_is_applied_and_its_event_verifies_alone(site: Site) -> None:
    signed = OLGA.decision(site)
    site.decide(OLGA.who, signed=signed)
    site.world.work()
    assert site.run.status == "applied"
    event = next(e for e in reversed(site.world.events()) if e.action == "decision.given")
    assert event.data["statement"] == signed.statement
    assert event.data["approver_key"] == OLGA.fingerprint
    assert event.data["signature"] == event.body["approval"]["signature"] == signed.signature
    assert event.personal == {"reason": "read it", "reason_salt": signed.reason_salt}
    assert offline(site, ADA, BEN) == ([], 1)


def test_a_signed_rejection_ends_the_run(site: Site) -> None:
    site.decide(OLGA.who, "reject", signed=OLGA.decision(site, verdict="reject"))
    assert site.run.status == "rejected"


def test_an_unsigned_decision_is_refused_with_the_command(site: Site) -> None:
    for verdict in ("approve", "reject"):
        error = site.refused(SignatureNeeded, lambda v=verdict: site.decide(OLGA.who, v))  # type: ignore[misc]  # a default argument
        assert f"tenantctl approval {verdict} {site.approval.id} --key" in error.message


def test_where_no_rule_asks_for_it_a_signature_is_taken_all_the_same(
    world: World, tmp_path: Path
) -> None:
    site = Site(world)
    enrolled(world, OLGA)
    site.change()
    site.decide(OLGA.who, signed=OLGA.decision(site))
    world.work()
    assert site.run.status == "applied"


def altered(**changes: Any) -> Forge:
    """A statement that otto signed and that says something else."""
    return lambda site: OTTO.decision(site, **changes)


def of_other_run(site: Site) -> SignedStatement:
    """What otto signed for the run before this one."""
    signed = OTTO.decision(site)
    run = site.run_id
    if site.run.status is RunStatus.AWAITING_APPROVAL:
        perform(site.world.core, OPS, runs.cancel_run, run)
        site.run_id = perform(site.world.core, OPS, runs.retry_run, run).id
        site.world.work()
    else:
        site.more = {("aws:dynamodb/table:Table", "one"): {"name": "one"}}
        site.change()
    assert (site.run_id != run, site.run.status) == (True, RunStatus.AWAITING_APPROVAL)
    return signed


def moved_signature(site: Site) -> SignedStatement:
    """A true signature beside another statement."""
    return replace(OTTO.decision(site), signature=OTTO.decision(site, reason="another").signature)


def other_salt(site: Site) -> SignedStatement:
    return replace(OTTO.decision(site), reason_salt="0" * 64)


def by_revoked_key(site: Site) -> SignedStatement:
    """Otto's key is revoked, and taken from the worker's file."""
    perform(
        site.world.core,
        OTTO.who,
        approver_keys.revoke_key,
        key_of(site.world, OTTO).id,
        reason="lost",
    )
    approvers = site.world.core.approvers
    assert isinstance(approvers, FileApprovers)
    assert approvers.file is not None
    approvers.file.write_text(f"{OLGA.line}\n", encoding="utf-8")
    return OTTO.decision(site)


LATER = timedelta(days=30)
SWAPPED = {"state": "sha256:" + "0" * 64}
# what the API refuses of otto; the worker and the auditor, where rows and log were made to hold it
FORGERIES: dict[str, Forge] = {
    "no signature": lambda _: None,
    "a key of the attacker in the name of otto": lambda s: replace(
        EVE.decision(s, actor="otto"), approver_key=EVE.fingerprint
    ),
    "a key of the attacker that calls itself otto's": lambda s: replace(
        EVE.decision(s, actor="otto", approver_key=OTTO.fingerprint),
        approver_key=OTTO.fingerprint,
    ),
    "signed for another run": of_other_run,
    "another digest": altered(plan_digest="sha256:" + "1" * 64),
    "other parts": altered(parts=SWAPPED),
    "another plan was shown": altered(shown="sha256:" + "2" * 64),
    "another reason": altered(reason="something else"),
    "another verdict": altered(verdict="reject"),
    "another tenant": altered(tree="platform"),
    "another account": altered(account="210987654321"),
    "another installation": altered(host="audit.example"),
    "other ticks": altered(acknowledged="sha256:" + "3" * 64),
    "expired": lambda s: OTTO.decision(
        s, issued_at=s.world.clock.now() - LATER, expires_at=s.world.clock.now()
    ),
    "dated in the future": lambda s: OTTO.decision(s, issued_at=s.world.clock.now() + LATER),
    "a swapped statement": moved_signature,
    "another salt": other_salt,
    "one more field": altered(more="x"),
    "somebody else's signature": OLGA.decision,
    "revoked": by_revoked_key,
}
# of these the log's own record differs from the statement in nothing that an auditor has in clear
NOT_IN_CLEAR = {"another reason", "another salt", "another plan was shown", "another account",
                "one more field", "dated in the future"}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_the_api_refuses_what_is_not_signed_by_who_decides(site: Site, name: str) -> None:
    signed = FORGERIES[name](site)
    error = SignatureNeeded if signed is None else SignatureRefused
    site.refused(error, lambda: site.decide(OTTO.who, signed=signed))


def stack_of(site: Site) -> str:
    with site.world.core.uow() as uow:
        return uow.deployments.need(site.run.deployment_id).stack


def forge(site: Site, signed: SignedStatement | None, **given: Any) -> None:
    """Write a decision into the database past all its rules, and let a worker apply."""
    approval = site.approval
    row = {
        "id": "dec_forged", "approval_id": approval.id, "decision": "approve",
        "plan_digest": approval.plan_digest, "actor_id": "otto", "person": "otto",
        "actor_kind": "user", "reason": "read it", "decided_at": site.world.clock.now(),
        "number": 1, "acknowledged": "[]", **given,
        "signed": json.dumps(signed.to_document()) if signed else None,
    }  # fmt: skip
    columns, places = ", ".join(row), ", ".join(f"%({name})s" for name in row)
    with psycopg.connect(site.world.storage.database.admin) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(f"INSERT INTO decision ({columns}) VALUES ({places})", row)  # noqa: S608 - our own words
        connection.execute("UPDATE approval SET status = 'approved', version = version + 1")
        connection.execute(
            "UPDATE run SET status = 'approved', version = version + 1 WHERE id = %s",
            [site.run_id],
        )
    with site.world.core.act() as act:
        enqueue(act, act.uow.runs.need(site.run_id, lock=True))
        act.uow.commit()
    site.world.work()


def refused_by_worker(site: Site) -> str:
    """Return why a worker called nothing."""
    error = site.run.error
    assert error is not None
    assert error["code"] == "apply_not_signed"
    return str(error["message"])


def test_what_is_signed_is_applied_whoever_wrote_the_row(site: Site) -> None:
    forge(site, OTTO.decision(site))
    assert site.run.status == "applied"


@pytest.mark.parametrize("name", FORGERIES)
def test_a_worker_applies_nothing_that_is_forged(site: Site, name: str) -> None:
    signed = FORGERIES[name](site)
    kept = site.world.engine.stacks[stack_of(site)].updates
    forge(site, signed)
    assert site.run.status == "errored"
    refused_by_worker(site)
    assert site.world.engine.stacks[stack_of(site)].updates == kept, "nothing was applied"
    attempts = [a for a in site.world.actions() if a == "run.apply:attempted"]
    assert len(attempts) == 1, "the first run's alone"


def test_a_key_that_an_attacker_enrolled_and_confirmed_applies_nothing(site: Site) -> None:
    mallory, accomplice = Hand("mallory", Role.OPS_APPROVER), Hand("accomplice")
    for hand in (mallory, accomplice):
        hand.enroll(site.world)
    with psycopg.connect(site.world.storage.database.admin) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE approver_key SET confirmed_by = 'ada-admin', confirmed_person = 'ada-admin',"
            " confirm_key = %s, confirm_statement = statement, confirm_signature = signature,"
            " confirmed_at = enrolled_at WHERE actor_id IN ('mallory', 'accomplice')",
            [ADA.fingerprint],
        )
    site.decide(mallory.who, signed=mallory.decision(site))  # the API believes its table
    site.world.work()
    refused_by_worker(site)


@pytest.mark.parametrize("change", [
    "UPDATE approval SET needed = 1, signed = false, version = version + 1",
    "UPDATE plan SET risks = '[]'",
])  # fmt: skip
def test_how_many_must_sign_is_not_read_from_the_database(
    world: World, tmp_path: Path, change: str
) -> None:
    site = signing_site(world, tmp_path, OLGA, OTTO, needed=2)
    enrolled(world, OLGA)
    with psycopg.connect(world.storage.database.admin) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(change)
    forge(site, OTTO.decision(site))
    assert "1 of 2 decisions" in refused_by_worker(site)


def test_who_asked_for_the_change_cannot_sign_for_it(world: World, tmp_path: Path) -> None:
    site = signing_site(world, tmp_path, OTTO)
    with psycopg.connect(world.storage.database.admin) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE run SET requesters = '[\"otto\"]'")
    forge(site, OTTO.decision(site))
    refused_by_worker(site)


def test_a_worker_without_a_list_applies_nothing_that_must_be_signed(
    site: Site, world: World
) -> None:
    world.core = replace(world.core, approvers=FileApprovers(host=HOST))
    site.decide(OLGA.who, signed=OLGA.decision(site))
    world.work()
    assert "no file of keys is set" in refused_by_worker(site)


def test_a_statement_is_used_once_also_after_a_withdrawal(world: World, tmp_path: Path) -> None:
    site = signing_site(world, tmp_path, OLGA, OTTO, needed=2)
    enrolled(world, OLGA, OTTO)
    signed = OLGA.decision(site)
    site.decide(OLGA.who, signed=signed)
    perform(
        world.core, OLGA.who, withdrawals.withdraw, site.approval.id, reason="not sure any more"
    )
    site.refused(SignatureRefused, lambda: site.decide(OLGA.who, signed=signed))
    site.decide(OLGA.who, signed=OLGA.decision(site))


@pytest.mark.parametrize("statement", [
    ("INSERT INTO decision (id, approval_id, decision, plan_digest, actor_id, person, actor_kind,"
    " reason, decided_at, number, acknowledged) SELECT 'dec_x', id, 'approve', plan_digest, 'otto',"
    " 'otto', 'user', 'x', created_at, 1, '[]' FROM approval WHERE status = 'waiting'"),
    ("INSERT INTO decision (id, approval_id, decision, plan_digest, actor_id, person, actor_kind,"
    " reason, decided_at, number, acknowledged, signed) SELECT 'dec_x', id, 'approve', plan_digest,"
    " 'otto', 'otto', 'user', 'x', created_at, 1, '[]', '{\"approver_key\": \"SHA256:x\"}'"
    " FROM approval WHERE status = 'waiting'"),
    "UPDATE approval SET signed = false WHERE status = 'waiting'",
])  # fmt: skip
def test_what_the_code_refuses_of_decisions_the_database_refuses_too(
    site: Site, statement: str
) -> None:
    assert site.run.status is RunStatus.AWAITING_APPROVAL
    with (
        psycopg.connect(site.world.storage.database.app) as connection,
        pytest.raises(psycopg.Error),
    ):
        connection.execute(statement)


# --- an auditor, from the log alone --------------------------------------------------------------
def offline(site: Site, *pinned: Hand, decision: dict[str, Any] | None = None) -> Any:
    """Return what the check finds; ``decision`` stands for the last one that was given."""
    events = [each.body for each in site.world.events()]
    entries = [each for each in events if each["tenant"] == site.tenant_id]
    if decision is not None:
        last = max(i for i, e in enumerate(entries) if e["action"] == "decision.given")
        entries[last] = decision
    platform = [each for each in events if each["tenant"] == "platform"]
    lines = [hand.line for hand in pinned]
    return check_approvers(  # type: ignore[no-untyped-call]  # an auditor's file has no types
        list(enumerate(entries)), platform, lines, CHECK, HOST
    )


def decision_event(site: Site, signed: SignedStatement | None, **given: Any) -> dict[str, Any]:
    """Return the event that somebody with the key of the log writes of a forged decision."""
    approval = site.approval
    data = {"verdict": "approve", "plan_digest": approval.plan_digest, "acknowledged": []}
    if signed is not None:
        kept = asdict(signed)
        data |= {name: kept[name] for name in ("statement", "signature", "approver_key")}
    return {
        "action": "decision.given", "stage": "completed", "tenant": site.tenant_id,
        "run": site.run_id, "data": data, "actor": {"type": "user", "id": "otto"},
        "time": f"{site.world.clock.now():%Y-%m-%dT%H:%M:%S.%fZ}",
        "approval": {"approval_id": approval.id, "plan_digest": approval.plan_digest}, **given,
    }  # fmt: skip


def test_the_chain_leads_from_pinned_keys_to_each_other_and_from_none_to_nothing(
    site: Site,
) -> None:
    site.decide(OLGA.who, signed=OLGA.decision(site))
    assert offline(site, ADA) == ([], 1)
    assert offline(site, BEN) == ([], 1), "ben's key confirmed ada's, and that confirmed olga's"
    for pinned in ((EVE,), ()):
        ((_, why),), good = offline(site, *pinned)
        assert (why, good) == ("its key is not known", 0)


@pytest.mark.parametrize("name", sorted(set(FORGERIES) - NOT_IN_CLEAR))
def test_an_auditor_finds_what_is_forged_with_the_key_of_the_log(site: Site, name: str) -> None:
    site.decide(OLGA.who, signed=OLGA.decision(site))
    event = decision_event(site, FORGERIES[name](site))
    faults, good = offline(site, ADA, BEN, decision=event)
    assert (len(faults), good) == (1, 0), faults


def test_an_auditor_takes_the_true_decision_of_the_same_form(site: Site) -> None:
    signed = OTTO.decision(site)
    site.decide(OLGA.who, signed=OLGA.decision(site))
    assert offline(site, ADA, BEN, decision=decision_event(site, signed)) == ([], 1)
    service = decision_event(site, signed, actor={"type": "service", "id": "otto"})
    assert offline(site, ADA, BEN, decision=service)[1] == 0
