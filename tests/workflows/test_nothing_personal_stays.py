"""After a removal no name of a person at the customer is in any row of the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import psycopg
import pytest
from psycopg import sql

from control_plane.adapters.systems.recording import RecordingMailer
from control_plane.domain.hold import HoldKind
from control_plane.domain.invitation import Meeting, Participant
from control_plane.domain.message import MessageStatus, Recipient
from control_plane.domain.tenant import ProvisioningRequest
from control_plane.domain.timers import TimerKind
from control_plane.ports.rows import IdempotencyRecord
from control_plane.ports.systems import Systems
from control_plane.services import erasures, journeys, tasks
from control_plane.services.performing import perform
from control_plane.workflows.core import Act
from control_plane.workflows.outbox import post
from tests.entities import Entities
from tests.journeys import go_on, sample, with_playbooks
from tests.storage import Storage
from tests.workflows.held import place
from tests.workflows.removed import follow, ready_tenant, remove_all
from tests.world import ADMIN, AUDITOR, OPS, World

pytestmark = pytest.mark.timeout(180)

CANARY: Final = "zq7canary"
EMAIL: Final = f"{CANARY}@example.com"
STEPS: Final = (
    "- {key: talk, kind: meeting, title: Talk, owner: ops}\n"
    "- {key: call, kind: meeting, title: Call, owner: ops, after: [talk]}\n"
)


def hits(storage: Storage, canary: str) -> dict[str, int]:
    """Return the tables of the database that hold a text, with how many rows do."""
    with psycopg.connect(storage.database.admin) as admin:
        names = admin.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        # bytes are shown as hexadecimal digits
        wanted = [f"%{canary}%", f"%{canary.encode().hex()}%"]
        query = "SELECT count(*) FROM {} AS t WHERE t::text ILIKE ANY (%s)"
        found = {
            name: admin.execute(
                sql.SQL(query).format(sql.Identifier(schema, name)), [wanted]
            ).fetchone()
            for schema, name in names
        }
    return {name: row[0] for name, row in found.items() if row and row[0]}


def planted(world: World) -> str:
    """Make a tenant ready, with a name in every place that can have one; returns its id."""
    with_playbooks(world, sample(STEPS))
    tenant_id = ready_tenant(world)
    go_on(world)
    task = next(each for each in world.rows("task").values() if each.title == "Talk")
    perform(world.core, OPS, tasks.finish_task, task.id, answer=f"we met {EMAIL}")
    go_on(world)
    perform(
        world.core, ADMIN, journeys.finish_step, next(iter(world.rows("journey"))), "call",
        reason=f"{EMAIL} called",
    )  # fmt: skip
    go_on(world)
    make = Entities(clock=world.clock, ids=world.ids)
    with world.core.act() as act:
        tenant = act.uow.tenants.need(tenant_id)
        post(
            act, tenant=tenant, event="step.blocked", persona="it_admin",
            recipient=Recipient(name=f"Ida {CANARY}", email=EMAIL),
            data={"step_title": "SSO", "missing": f"what {EMAIL} has"}, dedupe_key="canary",
        )  # fmt: skip
        meeting = make.meeting(tenant)
        someone = meeting.attendees[0]
        act.uow.meetings.add(_with_attendee(meeting, someone))
        (request,) = act.uow.requests.find(tenant_id=tenant_id)
        act.uow.requests.save(_with_contact(request))
        answered(act, tenant_id)
        act.uow.commit()
    return tenant_id


def _with_attendee(meeting: Meeting, someone: Participant) -> Meeting:
    return replace(meeting, attendees=(replace(someone, email=EMAIL),))


def _with_contact(request: ProvisioningRequest) -> ProvisioningRequest:
    (contact, *_) = request.body["contacts"]
    return replace(request, body={**request.body, "contacts": [{**contact, "email": EMAIL}]})


def answered(act: Act, tenant_id: str) -> None:
    """Keep the first answer of a creating route that names a person."""
    now = act.now()
    act.uow.idempotency.add(
        IdempotencyRecord(
            id="a" * 64, body_digest="sha256:" + "b" * 64, response_status=201,
            response_body={"tenant_id": tenant_id, "recipient_email": EMAIL},
            response_headers={}, created_at=now, expires_at=now.replace(year=now.year + 1),
        )
    )  # fmt: skip


LOG: Final = {"audit_disclosure"}  # the log's own values: erased by two people
WANTED: Final = {
    "task", "journey_step", "message", "meeting", "provisioning_request", "idempotency_record",
    *LOG,
}  # fmt: skip


def test_a_name_in_every_place_is_gone_after_the_removal(world: World) -> None:
    tenant_id = planted(world)
    assert set(hits(world.storage, CANARY)) == WANTED
    remove_all(world, tenant_id)
    assert "message" in hits(world.storage, CANARY)  # the meeting is called off by mail
    with world.core.act() as act:
        act.uow.timers.set(TimerKind.RETENTION, "personal", act.now())
        act.uow.commit()
    follow(world)  # what was not over then is looked at again
    assert set(hits(world.storage, CANARY)) == LOG
    erasure = perform(
        world.core, AUDITOR, erasures.ask_for_erasure, tenant_id,
        subject=EMAIL, reason="they asked", legal_reference="GDPR Art. 17",
    )  # fmt: skip
    assert set(hits(world.storage, CANARY)) == LOG  # the request does not keep the subject
    perform(
        world.core, ADMIN, erasures.confirm_erasure, tenant_id, erasure.id,
        digest=erasure.digest, reason="right",
    )  # fmt: skip
    left: Mapping[str, int] = hits(world.storage, EMAIL)
    assert left == {}


def test_a_recorded_mail_leaves_its_address_in_no_event_and_no_erased_row(world: World) -> None:
    mailer = RecordingMailer(world.folder / "outside", now=world.clock.now)
    world.core = replace(world.core, systems=Systems(mailer=mailer))
    tenant_id = planted(world)
    world.work()
    sent = [each for each in world.rows("message").values() if each.status is MessageStatus.SENT]
    assert len(sent) == 1
    assert CANARY not in (sent[0].system_id or CANARY)
    assert "message.sent:completed" in world.actions(tenant_id)
    assert [each.action for each in world.events() if CANARY in repr(each.body)] == []
    remove_all(world, tenant_id)
    assert CANARY not in repr(world.rows("message")[sent[0].id])


def test_a_hold_that_comes_after_the_removal_keeps_what_was_not_erased_yet(world: World) -> None:
    tenant_id = planted(world)
    place(world, tenant_id, HoldKind.LEGAL)
    with world.core.act() as act:
        assert act.uow.personal_rows.erase(act.now()) == 0
        assert act.uow.personal_rows.erase(act.now(), tenant_id) == 0
        act.uow.commit()
    assert set(hits(world.storage, CANARY)) == WANTED


def test_a_tenant_that_stays_keeps_everything(world: World) -> None:
    tenant_id = planted(world)
    with world.core.act() as act:
        assert act.uow.personal_rows.erase(act.now(), tenant_id) == 0
        act.uow.commit()
    assert set(hits(world.storage, CANARY)) == WANTED
