"""What the database refuses by itself, whoever writes to it and whatever the code believes.

Everything here is written in SQL as the owner of the tables, who may do more than the application:
a rule that lived in Python alone would not be met here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from control_plane.adapters.db.mapping import MAPPED, Mapped
from control_plane.adapters.db.run_tables import run as run_table
from control_plane.adapters.db.tables import BUSINESS_TABLES, IMMUTABLE
from control_plane.domain.calls import CallOutcome
from control_plane.domain.saga import SagaStatus
from control_plane.domain.timers import TimerKind
from tests.entities import ASKER, DECIDER, Entities, Waiting, store_waiting
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)

DECIDE = (
    "INSERT INTO decision (id, approval_id, decision, plan_digest, actor_id, person, actor_kind,"
    " reason, decided_at, number, acknowledged)"
    " VALUES (%(id)s, %(approval)s, %(decision)s, %(digest)s, %(actor)s, %(person)s, %(kind)s,"
    " 'read it', '2026-11-20T15:00:00Z', 1, '[]')"
)


@dataclass
class Owner:
    """The owner's session, and a waiting approval to attack."""

    connection: psycopg.Connection[Any]
    waiting: Waiting
    make: Entities
    decisions: int = 0

    def refused(self, statement: str, values: dict[str, Any] | None = None) -> tuple[str, str]:
        """Run a statement that must be refused; return its SQLSTATE and constraint."""
        with pytest.raises(psycopg.Error) as error, self.connection.transaction():
            self.connection.execute(statement, values)
        return error.value.sqlstate or "", error.value.diag.constraint_name or ""

    def done(self, statement: str, values: dict[str, Any] | None = None) -> int:
        with self.connection.transaction():
            return self.connection.execute(statement, values).rowcount

    def ask(self, change: str) -> None:
        """Give the waiting approval other terms, as if it had been asked for with them."""
        with self.connection.transaction():
            self.connection.execute("ALTER TABLE approval DISABLE TRIGGER check_approval")
            self.connection.execute(f"UPDATE approval SET {change}".encode())  # noqa: S608 - our own words
            self.connection.execute("ALTER TABLE approval ENABLE TRIGGER check_approval")

    def decision(self, **changes: str) -> dict[str, str]:
        self.decisions += 1
        changes.setdefault("person", changes.get("actor", DECIDER))
        return {
            "id": f"dec_{self.decisions}",
            "approval": self.waiting.approval.id,
            "decision": "approve",
            "digest": self.waiting.plan.digest,
            "actor": DECIDER,
            "kind": "user",
        } | changes


@pytest.fixture
def owner(storage: Storage) -> Iterator[Owner]:
    with storage.unit_of_work() as uow:
        make = Entities()
        waiting = store_waiting(uow, make)
        bundle = make.bundle(waiting.deployment)
        contract = make.contract(waiting.tenant)
        uow.bundles.add(bundle)
        uow.contracts.add(contract)
        uow.amendments.add(make.amendment(contract))
        uow.refusals.add(make.refusal())
        uow.receipts.add(make.receipt(bundle))
        uow.run_events.append(waiting.run.id, make.clock.now(), ("phase", {}))
        uow.specs.add(make.spec(waiting.deployment))
        ended = {"outcome": CallOutcome.ENDED, "ended_at": make.clock.now()}
        uow.calls.add(make.call(waiting.run, **ended))
        hub = make.hub()
        ended_saga = make.saga(hub, status=SagaStatus.DONE, ended_at=make.clock.now())
        uow.hubs.add(hub)
        uow.sagas.add(ended_saga)
        uow.removal_decisions.add(make.removal_decision(ended_saga))
        uow.certificates.add(make.certificate(ended_saga))
        uow.import_reports.add(make.import_report(ended_saga))
        uow.timers.set(TimerKind.RUN_TURN, waiting.run.id, make.clock.now())
        uow.evidence.add(make.evidence(waiting.run))
        finding = make.finding(waiting.run)
        uow.findings.add(finding)
        uow.finding_decisions.add(make.finding_decision(finding))
        uow.commit()
    with psycopg.connect(storage.database.owner, autocommit=True) as connection:
        yield Owner(connection, waiting, make)


# --- decisions -------------------------------------------------------------------------------
def test_a_decision_by_the_requester_is_refused(owner: Owner) -> None:
    assert owner.refused(DECIDE, owner.decision(actor=ASKER)) == ("TP002", "")


@pytest.mark.parametrize("kind", ["service", "system"])
def test_a_decision_by_a_machine_is_refused(owner: Owner, kind: str) -> None:
    assert owner.refused(DECIDE, owner.decision(kind=kind)) == ("TP001", "")


def test_a_decision_on_another_digest_is_refused(owner: Owner) -> None:
    assert owner.refused(DECIDE, owner.decision(digest="sha256:0")) == ("TP004", "")


def test_a_decision_on_what_does_not_wait_is_refused(owner: Owner) -> None:
    assert owner.done("UPDATE approval SET status = 'rejected'") == 1
    assert owner.refused(DECIDE, owner.decision()) == ("TP003", "")


def test_a_decision_after_the_end_of_its_time_is_refused(owner: Owner) -> None:
    owner.ask("expires_at = '2026-11-20T15:00:00Z'")
    assert owner.refused(DECIDE, owner.decision()) == ("TP005", "")


def test_a_decision_on_nothing_is_refused(owner: Owner) -> None:
    answer = owner.refused(DECIDE, owner.decision(approval="apr_unknown"))
    assert answer == ("23503", "fk_decision_approval_id_approval")


def test_a_word_that_is_no_decision_is_refused(owner: Owner) -> None:
    answer = owner.refused(DECIDE, owner.decision(decision="perhaps"))
    assert answer == ("23514", "ck_decision_decision")


def test_the_requester_cannot_be_unbarred(owner: Owner) -> None:
    assert owner.refused("DELETE FROM barred") == ("TP006", "barred_is_immutable")
    answer = owner.refused("UPDATE barred SET subject = 'user:nobody'")
    assert answer == ("TP006", "barred_is_immutable")


# --- approvals and runs ----------------------------------------------------------------------
def test_an_approval_cannot_be_given_by_hand(owner: Owner) -> None:
    for status in ("approved", "consumed"):
        answer = owner.refused("UPDATE approval SET status = %(s)s", {"s": status})
        assert answer == ("TP006", "approval_needs_decision")
    owner.done(DECIDE, owner.decision())
    assert owner.done("UPDATE approval SET status = 'approved'") == 1
    assert owner.done("UPDATE approval SET status = 'consumed'") == 1
    answer = owner.refused("UPDATE approval SET status = 'waiting'")
    assert answer == ("TP006", "approval_needs_decision")


def test_one_no_outweighs_every_yes(owner: Owner) -> None:
    owner.done(DECIDE, owner.decision(decision="reject", actor="user:third"))
    for actor in (DECIDER, "user:fourth"):
        owner.done(DECIDE, owner.decision(actor=actor))
    answer = owner.refused("UPDATE approval SET status = 'approved'")
    assert answer == ("TP006", "approval_needs_decision")


def test_where_two_must_agree_they_are_two_people(owner: Owner) -> None:
    owner.ask("needed = 2")
    owner.done(DECIDE, owner.decision(actor="user:olga", person="olga@example.com"))
    answer = owner.refused("UPDATE approval SET status = 'approved'")
    assert answer == ("TP006", "approval_needs_decision")
    same = owner.decision(actor="user:olga-admin", person="olga@example.com")
    assert owner.refused(DECIDE, same) == ("TP003", "")
    answer = owner.refused("UPDATE approval SET status = 'approved'")
    assert answer == ("TP006", "approval_needs_decision")
    owner.done(DECIDE, owner.decision(actor="user:petra", person="petra@example.com"))
    assert owner.done("UPDATE approval SET status = 'approved'") == 1


def test_one_account_decides_once_whoever_its_claims_say_it_is(owner: Owner) -> None:
    owner.ask("needed = 2")
    owner.done(DECIDE, owner.decision(actor="user:olga", person="olga@example.com"))
    renamed = owner.decision(actor="user:olga", person="olga.new@example.com")
    assert owner.refused(DECIDE, renamed) == ("TP003", "")
    answer = owner.refused("UPDATE approval SET status = 'approved'")
    assert answer == ("TP006", "approval_needs_decision")


@pytest.mark.parametrize(
    "account",
    [{"actor": "user:asks-2", "person": ASKER}, {"actor": ASKER, "person": "somebody@example.com"}],
)
def test_a_barred_person_decides_under_no_account(owner: Owner, account: dict[str, str]) -> None:
    assert owner.refused(DECIDE, owner.decision(**account)) == ("TP002", "")


@pytest.mark.parametrize(
    "change", ["rule = 'none'", "needed = 2", "roles = '[\"auditor\"]'", "roles = '[]'"]
)
def test_what_an_approval_asks_for_cannot_be_changed(owner: Owner, change: str) -> None:
    wrong = ("TP006", "approval_is_bound_to_its_plan")
    assert owner.refused(f"UPDATE approval SET {change}") == wrong  # noqa: S608 - our own words
    owner.done(DECIDE, owner.decision())
    together = f"UPDATE approval SET status = 'approved', {change}"  # noqa: S608 - as above
    assert owner.refused(together) == wrong


def test_an_approval_asks_for_somebody(owner: Owner) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="ck_approval_needed"):
        owner.ask("needed = 0")


def test_a_rejected_approval_cannot_be_turned_round(owner: Owner) -> None:
    owner.done(DECIDE, owner.decision())
    owner.done("UPDATE approval SET status = 'rejected'")
    answer = owner.refused("UPDATE approval SET status = 'approved'")
    assert answer == ("TP006", "approval_needs_decision")


def test_an_approval_stays_with_its_plan(owner: Owner) -> None:
    for change in (
        "plan_digest = 'sha256:0'", "plan_id = 'pln_1'", "run_id = 'run_1'", "id = 'a'",
        "tenant_id = 'ten_1'", "expires_at = expires_at + interval '1 hour'",
    ):  # fmt: skip
        answer = owner.refused(f"UPDATE approval SET {change}")  # noqa: S608 - our own names
        assert answer == ("TP006", "approval_is_bound_to_its_plan")


def test_a_run_that_asked_does_not_apply_without_its_approval(owner: Owner) -> None:
    apply = "UPDATE run SET status = 'applying'"
    assert owner.refused(apply) == ("TP006", "run_needs_approval")
    owner.done(DECIDE, owner.decision())
    assert owner.refused(apply) == ("TP006", "run_needs_approval")
    owner.done("UPDATE approval SET status = 'approved'")
    assert owner.done(apply) == 1


@pytest.mark.parametrize(
    "change", ["approval_id = NULL", "plan_id = NULL", "approval_id = %(other)s"]
)
def test_a_run_applies_under_its_own_approval_alone(
    owner: Owner, storage: Storage, change: str
) -> None:
    with storage.unit_of_work() as uow:
        other = store_waiting(uow, owner.make)
        uow.commit()
    owner.done(DECIDE, owner.decision())
    owner.done(DECIDE, owner.decision(approval=other.approval.id, digest=other.plan.digest))
    owner.done("UPDATE approval SET status = 'approved'")
    run = {"id": owner.waiting.run.id, "other": other.approval.id}
    apply = "UPDATE run SET status = 'applying' WHERE id = %(id)s"
    assert owner.refused(apply.replace("WHERE", f", {change} WHERE"), run) == (
        "TP006", "run_needs_approval"
    )  # fmt: skip
    assert owner.done(apply, run) == 1


def test_a_run_is_not_made_in_its_apply_under_an_approval_of_another(
    owner: Owner,
) -> None:
    owner.done(DECIDE, owner.decision())
    owner.done("UPDATE approval SET status = 'approved'")
    changes = {"id": "'run_1'", "number": "number + 1", "status": "'applying'"}
    names = [column.name for column in run_table.columns]
    values = ", ".join(changes.get(name, name) for name in names)
    made = f"INSERT INTO run ({', '.join(names)}) SELECT {values} FROM run"  # noqa: S608 - our own
    assert owner.refused(made) == ("TP006", "run_needs_approval")


# --- rows that never change ------------------------------------------------------------------
@pytest.mark.parametrize("table", [table.name for table in IMMUTABLE])
def test_what_was_said_or_done_is_never_changed(owner: Owner, table: str) -> None:
    owner.done(DECIDE, owner.decision())
    owner.done(
        "INSERT INTO withdrawal SELECT 'wdr_1', approval_id, id, actor_id, person, 'no', decided_at"
        " FROM decision"
    )
    owner.done("INSERT INTO playbook_document VALUES ('sha256:1', 'k', 1, '{}', now())")
    column = "kind" if table == "run_event" else "id"
    update = f"UPDATE {table} SET {column} = {column}"  # noqa: S608 - our own names
    for statement in (update, f"DELETE FROM {table}"):  # noqa: S608 - our own names
        assert owner.refused(statement) == ("TP006", f"{table}_is_immutable")


def test_every_immutable_table_has_its_trigger_and_no_other(owner: Owner) -> None:
    rows = owner.connection.execute(
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname = 'refuse_change'"
        " AND tgenabled = 'O'"
    ).fetchall()
    assert sorted(name for (name,) in rows) == sorted(table.name for table in IMMUTABLE)


# --- values ----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("tenant", "status"), ("tenant", "waiting_on"), ("tenant", "mode"),
        ("deployment", "kind"), ("run", "status"), ("run", "kind"), ("run", "blocked_from"),
        ("approval", "status"), ("bundle", "status"), ("bundle", "rehearsal"),
        ("hub", "status"), ("engine_call", "outcome"), ("timer", "kind"), ("finding", "kind"),
    ],
)  # fmt: skip
def test_a_word_that_no_enumeration_has_is_refused(owner: Owner, table: str, column: str) -> None:
    answer = owner.refused(f"UPDATE {table} SET {column} = 'sideways'")  # noqa: S608 - our own names
    assert answer == ("23514", f"ck_{table}_{column}")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("UPDATE engine_call SET ended_at = NULL", "ck_engine_call_ended_with_outcome"),
        ("UPDATE engine_call SET outcome = NULL", "ck_engine_call_ended_with_outcome"),
        ("UPDATE deployment SET applied_spec = spec_number + 1", "ck_deployment_applied_spec"),
        ("UPDATE deployment SET applied_spec = -1", "ck_deployment_applied_spec"),
        ("UPDATE run SET turn = 0", "ck_run_counts"),
        ("UPDATE run SET deaths = -1", "ck_run_counts"),
        ("UPDATE run SET failures = -1", "ck_run_counts"),
    ],
)
def test_counts_and_facts_go_together(owner: Owner, change: str, constraint: str) -> None:
    assert owner.refused(change) == ("23514", constraint)


def test_a_blocked_run_names_what_it_waits_for(owner: Owner) -> None:
    wrong = ("23514", "ck_run_blocked_names_what")
    assert owner.refused("UPDATE run SET status = 'blocked'") == wrong
    assert owner.refused("UPDATE run SET blocked_on = 'no_account'") == wrong
    assert owner.done("UPDATE run SET status = 'blocked', blocked_on = 'no_account'") == 1


def test_no_row_that_others_refer_to_is_removed(owner: Owner) -> None:
    # of runs looks alone are deleted, and whatever refers to one keeps it
    assert owner.refused("DELETE FROM run") == ("TP006", "run_is_kept")
    for table in ("deployment", "approval", "bundle"):
        state, constraint = owner.refused(f"DELETE FROM {table}")  # noqa: S608 - our own names
        assert (state, constraint[:3]) == ("23503", "fk_")


def test_listeners_learn_at_commit_which_run_has_new_lines(owner: Owner, storage: Storage) -> None:
    run = owner.waiting.run
    line = (
        "INSERT INTO run_event SELECT run_id, seq + 1, time, kind, body FROM run_event"
        " ORDER BY seq DESC LIMIT 1"
    )
    with psycopg.connect(storage.database.app, autocommit=True) as listener:
        listener.execute("LISTEN run_events")
        with owner.connection.transaction():
            owner.connection.execute(line)
            owner.connection.execute(line)
            assert list(listener.notifies(timeout=0.2)) == []
        heard = list(listener.notifies(timeout=10, stop_after=1))
    assert [(note.channel, note.payload) for note in heard] == [("run_events", run.id)]


def test_every_table_has_a_primary_key_and_indexed_references(owner: Owner) -> None:
    """A reference without an index makes every removal and many look-ups read the whole table."""
    rows = owner.connection.execute(
        """
        SELECT c.conrelid::regclass::text, a.attname FROM pg_constraint c
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
        WHERE c.contype = 'f' AND NOT EXISTS (
            SELECT FROM pg_index i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1]
            AND i.indpred IS NULL)
        """
    ).fetchall()
    # looked up from the run's own row, or seldom and in small tables
    assert set(rows) == {
        ("run", "plan_id"), ("run", "approval_id"), ("run", "supersedes"),
        ("plan", "deployment_id"),
        ("tenant", "saga_id"),
        ("hub", "saga_id"), ("download_link", "handover_id"),
        ("finding_decision", "tenant_id"), ("sweep_item", "deployment_id"),
    }  # fmt: skip
    keyed = owner.connection.execute(
        "SELECT conrelid::regclass::text FROM pg_constraint WHERE contype = 'p'"
    ).fetchall()
    assert {table.name for table in BUSINESS_TABLES} <= {name for (name,) in keyed}


@pytest.mark.parametrize("mapped", MAPPED, ids=lambda mapped: mapped.table.name)
def test_columns_are_the_fields_of_the_dataclass(mapped: Mapped[object]) -> None:
    assert tuple(mapped.table.columns.keys()) == mapped.names
