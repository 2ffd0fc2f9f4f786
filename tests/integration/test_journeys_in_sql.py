"""What the code refuses of journeys and subscriptions, the database refuses too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import psycopg
import pytest

from control_plane.domain.journey import (
    ENDED,
    JOURNEY_TRANSITIONS,
    STEP_TRANSITIONS,
    JourneyStatus,
    StepStatus,
)
from control_plane.domain.subscription import SUBSCRIPTION_TRANSITIONS, SubscriptionStatus
from control_plane.domain.task import TaskStatus
from tests.entities import Entities
from tests.storage import Storage

Sql = psycopg.Connection[Any]
NOW = "'2026-11-21T00:00:00Z'"


@pytest.fixture
def sql(storage: Storage) -> Any:
    """A journey with a step and a task, and a connection of the application."""
    make = Entities()
    tenant = make.tenant(id="ten_1")
    contract = make.contract(tenant, id="ctr_1")
    other = make.tenant(id="ten_2")
    with storage.unit_of_work() as uow:
        uow.add(tenant, contract, other, make.contract(other, id="ctr_2"), make.kept_playbook())
        uow.add(make.journey(tenant, id="jny_1"), make.step(tenant), make.task(tenant))
        uow.commit()
    with psycopg.connect(storage.database.app, autocommit=True) as connection:
        yield connection


def forced(storage: Storage, statement: str) -> None:
    """Bring rows into a state from which a test begins, past all triggers."""
    with psycopg.connect(storage.database.admin, autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute(statement)


def refuses(sql: Sql, statement: str, *rules: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        sql.execute(statement)
    assert refused.value.diag.constraint_name in rules, refused.value


# --- journeys ----------------------------------------------------------------------------------
@pytest.mark.requirement("K-002")
@pytest.mark.parametrize(
    "change",
    [
        "id = 'jny_2'", "tenant_id = 'ten_2'", "contract_ref = 'ctr_2'", "playbook_key = 'other'",
        "playbook_version = 2", "playbook_digest = 'sha256:1'", "turn = 0",
        "started_at = started_at + interval '1 second'",
    ],
)  # fmt: skip
def test_a_journey_keeps_what_it_began_with(sql: Sql, change: str) -> None:
    refuses(sql, f"UPDATE journey SET {change}", "journey_is_kept")  # noqa: S608 - our own words


def test_an_anchor_that_is_known_stays(sql: Sql) -> None:
    sql.execute('UPDATE journey SET anchors = anchors || \'{"ready": "2026-11-21T00:00:00Z"}\'')
    for anchors in ("'{}'", "anchors - 'ready'", 'anchors || \'{"signed": "2020-01-01"}\''):
        refuses(sql, f"UPDATE journey SET anchors = {anchors}", "journey_anchors")  # noqa: S608 - our own words


def journey_in(status: JourneyStatus) -> str:
    ended = "NULL" if status in {JourneyStatus.OPEN, JourneyStatus.CANCELING} else NOW
    return f"status = '{status}', reason = 'void', ended_at = {ended}"


@pytest.mark.parametrize("current", JourneyStatus)
@pytest.mark.parametrize("target", JourneyStatus)
def test_a_journey_moves_as_its_table_says(
    sql: Sql, storage: Storage, current: JourneyStatus, target: JourneyStatus
) -> None:
    forced(storage, f"UPDATE journey SET {journey_in(current)}")  # noqa: S608 - our own words
    move = f"UPDATE journey SET {journey_in(target)}"  # noqa: S608 - our own words
    if target is current or target in JOURNEY_TRANSITIONS[current]:
        sql.execute(move)
    else:
        refuses(sql, move, "journey_moves")


@pytest.mark.requirement("P-002")
def test_a_journey_begins_as_open_and_once_for_a_contract_and_playbook(sql: Sql) -> None:
    again = (
        "INSERT INTO journey SELECT (jsonb_populate_record(j, %s::jsonb)).* FROM journey j "
        "WHERE id = 'jny_1'"
    )
    with pytest.raises(psycopg.Error) as twice:
        sql.execute(again, ['{"id": "jny_2"}'])
    assert twice.value.diag.constraint_name == "uq_journey_contract_ref_playbook_key"
    for status in ("done", "canceling", "canceled"):
        changes = f'{{"id": "jny_3", "playbook_key": "b", "reason": "x", "status": "{status}"}}'
        with pytest.raises(psycopg.Error) as begun:
            sql.execute(again, [changes])
        assert begun.value.diag.constraint_name == "journey_begins"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM journey", "DELETE FROM journey_step", "DELETE FROM task",
        "DELETE FROM playbook_document", "UPDATE playbook_document SET content = '{}'",
        "UPDATE playbook_document SET version = 2",
    ],
)  # fmt: skip
def test_nothing_is_deleted_and_a_document_is_kept(sql: Sql, statement: str) -> None:
    with pytest.raises(psycopg.Error):
        sql.execute(statement)


# --- steps -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        "id = 'jny_1.walk'", "journey_id = 'jny_2'", "tenant_id = 'ten_2'", "key = 'walk'",
        "kind = 'task'", "owner = 'ops'",
    ],
)  # fmt: skip
def test_a_step_stays_that_of_its_journey(sql: Sql, change: str) -> None:
    refuses(sql, f"UPDATE journey_step SET {change}", "journey_step_is_kept")  # noqa: S608 - our own words


def step_in(status: StepStatus) -> str:
    ended = NOW if status in ENDED else "NULL"
    return (
        f"status = '{status}', ended_at = {ended}, reason = 'r', error = '{{}}', wakes_at = {NOW}"
    )


@pytest.mark.parametrize("current", StepStatus)
@pytest.mark.parametrize("target", StepStatus)
def test_a_step_moves_as_its_table_says(
    sql: Sql, storage: Storage, current: StepStatus, target: StepStatus
) -> None:
    forced(storage, f"UPDATE journey_step SET {step_in(current)}")  # noqa: S608 - our own words
    move = f"UPDATE journey_step SET {step_in(target)}"  # noqa: S608 - our own words
    if target is current or target in STEP_TRANSITIONS[current]:
        sql.execute(move)
    else:
        refuses(sql, move, "journey_step_moves")


@pytest.mark.parametrize("current", StepStatus)
def test_a_next_round_begins_from_the_start(
    sql: Sql, storage: Storage, current: StepStatus
) -> None:
    forced(storage, f"UPDATE journey_step SET {step_in(current)}, attempts = 3")  # noqa: S608 - our own words
    for change in ("round = 3, status = 'waiting'", "round = 2, status = 'working'", "round = 0"):
        refuses(
            sql, f"UPDATE journey_step SET {change}, ended_at = NULL",  # noqa: S608 - our own words
            "journey_step_rounds",
        )  # fmt: skip
    sql.execute(
        "UPDATE journey_step SET round = 2, status = 'waiting', ended_at = NULL, attempts = 0"
    )


def test_attempts_are_counted_on(sql: Sql, storage: Storage) -> None:
    forced(storage, f"UPDATE journey_step SET {step_in(StepStatus.ASKED)}, attempts = 3")  # noqa: S608 - our own words
    refuses(sql, "UPDATE journey_step SET attempts = 2", "journey_step_counts")
    sql.execute("UPDATE journey_step SET attempts = 0, status = 'working'")  # tried again


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ('{"status": "working"}', "journey_step_begins"),
        ('{"round": 2}', "journey_step_begins"),
        ('{"key": "talk"}', "uq_journey_step_journey_id_key"),
        ('{"kind": "walk"}', "ck_journey_step_kind"),
        ('{"owner": "nobody"}', "ck_journey_step_owner"),
        ('{"attempts": -1}', "ck_journey_step_counted"),
        ('{"undone_at": "2026-11-21T00:00:00Z"}', "ck_journey_step_undone_if_done"),
        ('{"tried_at": "2026-11-21T00:00:00Z"}', "ck_journey_step_tried_at_work"),
    ],
)
def test_a_step_begins_as_waiting(sql: Sql, changes: str, rule: str) -> None:
    with pytest.raises(psycopg.Error) as refused:
        sql.execute(
            "INSERT INTO journey_step SELECT (jsonb_populate_record(s, "
            "jsonb_build_object('id', 'jny_1.next', 'key', 'next') || %s::jsonb)).* "
            "FROM journey_step s",
            [changes],
        )
    assert refused.value.diag.constraint_name == rule


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("status = 'failed'", "ck_journey_step_failed_with_its_error"),
        ("status = 'skipped', ended_at = now()", "ck_journey_step_skipped_for_a_reason"),
        ("status = 'scheduled'", "ck_journey_step_scheduled_for_a_time"),
        ("status = 'done'", "ck_journey_step_ended"),
        ("ended_at = now()", "ck_journey_step_ended"),
    ],
)
def test_a_status_has_what_it_needs(sql: Sql, storage: Storage, change: str, rule: str) -> None:
    start = "waiting" if "scheduled" in change else "working"
    forced(storage, f"UPDATE journey_step SET status = '{start}'")  # noqa: S608 - our own words
    refuses(sql, f"UPDATE journey_step SET {change}", rule)  # noqa: S608 - our own words


# --- tasks -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "change",
    [
        "id = 'tsk_2'", "tenant_id = 'ten_2'", "about_kind = 'step'", "about_id = 'x'",
        "dedupe_key = 'another'", "created_at = now()",
    ],
)  # fmt: skip
def test_a_task_stays_about_what_it_is(sql: Sql, change: str) -> None:
    refuses(sql, f"UPDATE task SET {change}", "task_is_kept")  # noqa: S608 - our own words


ENDING = "ended_at = now(), ended_by = 'olga', answer = '{\"said\": \"yes\"}'"


@pytest.mark.parametrize("end", [TaskStatus.DONE, TaskStatus.CANCELED])
def test_a_task_that_has_ended_stays_so_and_its_answer_can_only_be_erased(
    sql: Sql, end: TaskStatus
) -> None:
    sql.execute(f"UPDATE task SET status = '{end}', {ENDING}")  # noqa: S608 - our own words
    other = TaskStatus.CANCELED if end is TaskStatus.DONE else TaskStatus.DONE
    for change in (
        f"status = '{other}'", "status = 'open', ended_at = NULL, ended_by = NULL",
        "ended_by = 'ada'", "ended_at = ended_at + interval '1 second'", "owner = 'csm_lead'",
        "assignee = 'olga'", "answer = '{\"said\": \"no\"}'",
    ):  # fmt: skip
        refuses(sql, f"UPDATE task SET {change}", "task_has_ended")  # noqa: S608 - our own words
    sql.execute("UPDATE task SET answer = NULL")


def test_one_task_of_a_key_is_open(sql: Sql) -> None:
    again = (
        "INSERT INTO task SELECT (jsonb_populate_record(t, jsonb_build_object('id', %s::text))).* "
        "FROM task t WHERE status = 'open'"
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        sql.execute(again, ["tsk_2"])
    for change in ("status = 'done'", "ended_at = now()", "ended_by = 'olga'"):
        refuses(sql, f"UPDATE task SET {change}", "ck_task_ended", "ck_task_ended_by_somebody")  # noqa: S608 - our own words


# --- waking ------------------------------------------------------------------------------------
def woken(sql: Sql) -> set[str]:
    rows = sql.execute("SELECT subject FROM timer WHERE kind = 'journey_turn'").fetchall()
    return {subject for (subject,) in rows}


@pytest.mark.parametrize(
    "change",
    [
        "status = 'failed'", "waiting_on = 'ops'", "mode = 'B'", "drifted = NOT drifted",
    ],
)  # fmt: skip
def test_what_changes_where_a_tenant_stands_wakes_its_journeys(
    sql: Sql, storage: Storage, change: str
) -> None:
    sql.execute("UPDATE tenant SET legal_name = 'Another', updated_at = now()")
    assert woken(sql) == set()
    forced(storage, f"UPDATE tenant SET waiting_on = NULL, updated_at = {NOW}")  # noqa: S608 - our own words
    sql.execute(f"UPDATE tenant SET {change}, version = version + 1 WHERE id = 'ten_1'")  # noqa: S608 - our own words
    assert woken(sql) == {"jny_1"}


def test_a_hold_wakes_journeys_when_it_is_placed(sql: Sql, storage: Storage) -> None:
    with storage.unit_of_work() as uow:
        tenant = uow.tenants.need("ten_1", lock=True)
        uow.holds.add(Entities().hold(tenant))
        uow.tenants.save(replace(tenant, hold=True, version=tenant.version + 1))
        uow.commit()
    assert woken(sql) == {"jny_1"}


@pytest.mark.parametrize("status", ["done", "canceled"])
def test_a_journey_that_has_ended_is_not_woken(sql: Sql, storage: Storage, status: str) -> None:
    forced(storage, f"UPDATE journey SET status = '{status}', ended_at = {NOW}, reason = 'x'")  # noqa: S608 - our own words
    sql.execute("UPDATE tenant SET drifted = NOT drifted WHERE id = 'ten_1'")
    assert woken(sql) == set()


# --- subscriptions -----------------------------------------------------------------------------
SECRETS = '[{"generation": 2, "key_id": "k", "sealed": "AA=="}]'


@pytest.fixture
def subscribed(storage: Storage) -> Any:
    """A subscription with an event that waits, and a connection of the application."""
    make = Entities()
    with storage.unit_of_work() as uow:
        uow.add(make.tenant(id="ten_1"), make.tenant(id="ten_2"))
        uow.commit()
    with psycopg.connect(storage.database.app, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO event_subscription VALUES ('sub_1', 'https://hooks.example.com', "
            "'[\"*\"]', 'ten_1', NULL, %s, 'active', NULL, 'ada', now(), now(), 1)",
            [SECRETS],
        )
        connection.execute(
            "INSERT INTO outgoing_event (subscription_id, event_id, name, schema_version, tree, "
            "sequence, occurred_at, data, status, attempts, next_at) VALUES ('sub_1', 'evt_1', "
            "'tenant.ready', 1, 'ten_1', 1, now(), '{}', 'pending', 0, now())"
        )
        yield connection


@pytest.mark.parametrize(
    "change",
    [
        "subscription_id = 'sub_2'", "event_id = 'evt_2'", "name = 'tenant.failed'",
        "schema_version = 2", "tree = 'ten_2'", "sequence = 2", "data = '{\"a\": 1}'",
        "occurred_at = occurred_at + interval '1 second'",
    ],
)  # fmt: skip
def test_an_event_stays_as_it_was_published(subscribed: Sql, change: str) -> None:
    refuses(subscribed, f"UPDATE outgoing_event SET {change}", "event_is_as_it_was")  # noqa: S608 - our own words


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("status = 'sent'", "ck_outgoing_event_sent"),
        ("sent_at = now()", "ck_outgoing_event_sent"),
        ("status = 'lost'", "ck_outgoing_event_status"),
        ("attempts = -1", "ck_outgoing_event_attempts"),
        ("answer = decode(repeat('00', 1025), 'hex')", "ck_outgoing_event_answer"),
    ],
)
def test_what_became_of_an_event_fits_together(subscribed: Sql, change: str, rule: str) -> None:
    refuses(subscribed, f"UPDATE outgoing_event SET {change}", rule)  # noqa: S608 - our own words
    subscribed.execute("UPDATE outgoing_event SET status = 'sent', sent_at = now(), attempts = 1")


@pytest.mark.parametrize(
    "change",
    [
        "id = 'sub_2'", "tenant_id = 'ten_2'", "tenant_id = NULL", "created_by = 'olga'",
        "created_at = created_at + interval '1 second'",
    ],
)  # fmt: skip
def test_a_subscription_stays_whose_it_is(subscribed: Sql, change: str) -> None:
    refuses(
        subscribed, f"UPDATE event_subscription SET {change}",  # noqa: S608 - our own words
        "subscription_is_as_it_began",
    )  # fmt: skip


def subscription_in(status: SubscriptionStatus) -> str:
    code = "'gone'" if status is SubscriptionStatus.DISABLED else "NULL"
    return f"UPDATE event_subscription SET status = '{status}', code = {code}"  # noqa: S608 - our own words


@pytest.mark.parametrize("current", SubscriptionStatus)
@pytest.mark.parametrize("target", SubscriptionStatus)
def test_a_subscription_moves_as_its_table_says(
    subscribed: Sql, storage: Storage, current: SubscriptionStatus, target: SubscriptionStatus
) -> None:
    forced(storage, subscription_in(current))
    if target is current or target in SUBSCRIPTION_TRANSITIONS[current]:
        subscribed.execute(subscription_in(target))
    else:
        refuses(subscribed, subscription_in(target), "subscription_moves")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ("secrets = jsonb_set(secrets, '{0,generation}', '1')", "subscription_secrets_grow"),
        ("secrets = '[]'", "ck_event_subscription_secrets"),
        ("types = '[]'", "ck_event_subscription_types"),
        ("url = 'ftp://hooks.example.com'", "ck_event_subscription_url"),
        ("code = 'gone'", "ck_event_subscription_disabled_for_a_reason"),
        ("status = 'disabled'", "ck_event_subscription_disabled_for_a_reason"),
    ],
)
def test_secrets_grow_and_a_subscription_is_whole(subscribed: Sql, change: str, rule: str) -> None:
    refuses(subscribed, f"UPDATE event_subscription SET {change}", rule)  # noqa: S608 - our own words
    subscribed.execute(
        "UPDATE event_subscription SET secrets = jsonb_set(secrets, '{0,generation}', '3')"
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE sealing_key SET public = public", "DELETE FROM sealing_key",
        "DELETE FROM event_sequence",
    ],
)  # fmt: skip
def test_keys_of_workers_and_numbers_stay(subscribed: Sql, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        subscribed.execute(statement)
