"""What the database refuses of personal values of the log, whoever writes to it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import psycopg
import pytest
from sqlalchemy import create_engine

from control_plane.adapters.audit.disclosures import granted_disclosures
from control_plane.adapters.audit.reading import limit_to
from control_plane.adapters.audit.sequencer import Sequencer
from control_plane.adapters.audit.trail import SqlTrail
from control_plane.adapters.db.engine import driver_url
from control_plane.adapters.db.roles import APP, AUDITOR, OWNER, SEQUENCER
from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.audit import AuditEvent, Stage, commitment, event_uuid
from control_plane.domain.deployment import PLATFORM
from control_plane.domain.disclosure import (
    DisclosureGrant,
    Erasure,
    ErasureScope,
    GrantKind,
    ValueKey,
    digest_of,
    parts_of,
)
from control_plane.domain.disclosure_errors import GrantNotValid
from control_plane.domain.errors import Conflict
from control_plane.domain.hold import HoldKind
from control_plane.ports.rows import UnitOfWork
from tests.entities import Entities
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)

ASKER = Actor(id="audrey", kind=ActorKind.USER, roles=(Role.AUDITOR,), tenants=("*",))
OTHER = Actor(id="ada", kind=ActorKind.USER, roles=(Role.PLATFORM_ADMIN,), tenants=("*",))
ROBOT = Actor(id="robot", kind=ActorKind.SERVICE, roles=(Role.PLATFORM_ADMIN,), tenants=("*",))
ALIAS = Actor(
    id="second-account", kind=ActorKind.USER, roles=(Role.PLATFORM_ADMIN,), tenants=("*",),
    person="audrey",
)  # fmt: skip
EMAIL = "ida@example.com"
VALUES = {"contacts.0.email": EMAIL, "contacts.0.name": "Ida Admin", "reason": "as agreed"}


@dataclass
class Desk:
    """A tenant's log with an event that has values, and what happens to them."""

    storage: Storage
    make: Entities = field(default_factory=Entities)

    def __post_init__(self) -> None:
        self.now = datetime.now(UTC)
        self.tenant = self.make.tenant()
        with self.storage.unit_of_work() as uow:
            uow.tenants.add(self.tenant)
            self.event = self.recorded(uow, "request.accepted", personal=VALUES)
            uow.commit()

    def recorded(self, uow: UnitOfWork, action: str, tree: str | None = None, **more: Any) -> str:
        event = AuditEvent(
            id=self.make.ids.new("event"), tree=tree or self.tenant.id, action=action,
            stage=Stage.COMPLETED, time=self.now, actor=ASKER, **more,
        )  # fmt: skip
        uow.audit.record(event)
        return event.id

    def grant(self, **changes: Any) -> DisclosureGrant:
        facts: dict[str, Any] = {
            "id": self.make.ids.new("disclosure_grant"), "tenant_id": self.tenant.id,
            "kind": GrantKind.EXPORT, "reason": "an audit", "requested_by": ASKER.id,
            "requesters": ASKER.subjects, "requested_at": self.now,
            "expires_at": self.now + timedelta(days=1), **changes,
        }  # fmt: skip
        return DisclosureGrant(**facts)

    def erasure(self, *, logged: bool = True, **changes: Any) -> Erasure:
        """Ask for the erasure of the contact, with its event."""
        uuid = str(event_uuid(self.event))
        parts = parts_of(
            ValueKey(tree=self.tenant.id, event=uuid, path=path)
            for path in VALUES if path.startswith("contacts")
        )  # fmt: skip
        with self.storage.unit_of_work() as uow:
            action = "erasure.requested" if logged else "tenant.status_changed"
            event = self.recorded(uow, action)
            facts: dict[str, Any] = {
                "id": self.make.ids.new("erasure"), "tenant_id": self.tenant.id,
                "is_everywhere": False, "scope": ErasureScope.PATHS, "parts": parts,
                "digest": digest_of(parts), "count": 2, "reason": "they asked",
                "legal_reference": "GDPR", "requested_by": ASKER.id,
                "requesters": ASKER.subjects, "requested_at": self.now,
                "requested_event": str(event_uuid(event)),
                "expires_at": self.now + timedelta(days=7), **changes,
            }  # fmt: skip
            erasure = Erasure(**facts)
            uow.erasures.add(erasure)
            uow.commit()
        return erasure

    def confirm(self, erasure: Erasure, actor: Actor = OTHER, *, done: str = "erasure.done") -> int:
        with self.storage.unit_of_work() as uow:
            event = self.recorded(uow, done)
            confirmed = erasure.confirmed(actor, "right", self.now, [str(event_uuid(event))])
            uow.erasures.save(confirmed)
            count = uow.disclosures.erase(erasure.id)
            uow.commit()
        return count

    def values(self) -> dict[str, tuple[Any, ...]]:
        with psycopg.connect(self.storage.database.admin) as admin:
            rows = admin.execute(
                "SELECT path, salt, value, erased_at, erasure_event FROM audit_disclosure"
                " WHERE event_id = %s", [event_uuid(self.event)],
            ).fetchall()  # fmt: skip
        return {path: tuple(rest) for path, *rest in rows}

    def refused(self, role: str, statement: str, *values: Any) -> tuple[str, str]:
        database = self.storage.database
        url = database.server.url(role, database.name)
        with (
            psycopg.connect(url, autocommit=True) as connection,
            pytest.raises(psycopg.Error) as error,
        ):
            connection.execute(statement.encode(), values)
        return error.value.sqlstate or "", error.value.diag.constraint_name or ""


@pytest.fixture
def desk(storage: Storage) -> Desk:
    return Desk(storage)


def broken(act: Any) -> object:
    with pytest.raises(Conflict) as error:
        act()
    return error.value.data.get("constraint")


# --- erasing -----------------------------------------------------------------------------------
def test_two_people_erase_values_with_their_salts_and_leave_the_others(desk: Desk) -> None:
    erasure = desk.erasure()
    assert desk.confirm(erasure) == 2
    found = desk.values()
    assert found["reason"][1] == '"as agreed"'
    for path in ("contacts.0.email", "contacts.0.name"):
        salt, value, erased_at, event = found[path]
        assert (salt, value) == (None, None)
        assert erased_at is not None
        assert event is not None


@pytest.mark.parametrize("role", [APP, AUDITOR, SEQUENCER])
@pytest.mark.parametrize(
    "statement",
    [
        "SELECT value FROM audit_disclosure",
        "DELETE FROM audit_disclosure",
        "UPDATE audit_disclosure SET salt = NULL, value = NULL, erased_at = now()",
        "TRUNCATE audit_disclosure",
        "ALTER TABLE audit_disclosure DISABLE TRIGGER keep_disclosure",
    ],
)
def test_no_login_reads_or_changes_values_by_itself(desk: Desk, role: str, statement: str) -> None:
    assert desk.refused(role, statement)[0] == "42501"
    assert desk.values()["reason"][1] == '"as agreed"'


@pytest.mark.parametrize(
    ("role", "function"),
    [
        (AUDITOR, "tenantplane_erase('x')"),
        (SEQUENCER, "tenantplane_erase('x')"),
        (AUDITOR, "tenantplane_disclosed('x', now())"),
        (SEQUENCER, "tenantplane_disclosed('x', now())"),
        (SEQUENCER, "tenantplane_granted('x', 'x')"),
        (APP, "tenantplane_granted('x', 'x')"),
        (AUDITOR, "tenantplane_values_of('x', NULL)"),
    ],
)
def test_each_function_is_for_one_role(desk: Desk, role: str, function: str) -> None:
    assert desk.refused(role, f"SELECT {function}")[0] == "42501"


def test_the_owner_of_the_tables_sees_nothing_in_a_session_of_its_own(desk: Desk) -> None:
    with psycopg.connect(desk.storage.database.server.url(OWNER, desk.storage.database.name)) as it:
        assert it.execute("SELECT count(*) FROM audit_disclosure").fetchone() == (0,)
        assert it.execute("SELECT count(*) FROM audit_pending").fetchone() == (0,)


def test_the_application_erases_nothing_that_nobody_confirmed(desk: Desk) -> None:
    erasure = desk.erasure()
    gone = ("TP006", "erasure_is_confirmed")
    assert desk.refused(APP, "SELECT tenantplane_erase(%s)", erasure.id) == gone
    assert desk.refused(APP, "SELECT tenantplane_erase('ers_x')") == gone


@pytest.mark.parametrize("actor", [ASKER, ALIAS, ROBOT])
def test_one_person_or_a_machine_confirms_nothing(desk: Desk, actor: Actor) -> None:
    erasure = desk.erasure()
    assert broken(lambda: desk.confirm(erasure, actor)) == "ck_erasure_two_people"
    assert desk.values()["contacts.0.email"][1] == f'"{EMAIL}"'


def test_nobody_writes_an_erasure_that_is_confirmed_already(desk: Desk) -> None:
    confirmed = {
        "confirmed_by": "ada", "confirmed_person": "ada", "confirmed_kind": ActorKind.USER,
        "confirm_reason": "x", "confirmed_at": desk.now, "done_events": ("x",),
    }  # fmt: skip
    assert broken(lambda: desk.erasure(**confirmed)) == "erasure_is_kept"


@pytest.mark.parametrize(
    "change", ["parts = '[{}]'", "requesters = '[]'", "requested_by = 'bob'", "count = 9"]
)
def test_what_was_asked_for_is_not_changed(desk: Desk, change: str) -> None:
    desk.erasure()
    kept = ("TP006", "erasure_is_kept")
    assert desk.refused(APP, f"UPDATE erasure SET {change}, version = 2") == kept  # noqa: S608 - our own words
    assert desk.refused(OWNER, "DELETE FROM erasure") == kept


@pytest.mark.parametrize("kind", [HoldKind.LEGAL, HoldKind.COMPLIANCE])
def test_a_hold_keeps_values(desk: Desk, kind: HoldKind) -> None:
    erasure = desk.erasure()
    with desk.storage.unit_of_work() as uow:
        held = uow.tenants.need(desk.tenant.id, lock=True)
        uow.tenants.save(replace(held, hold=True, version=held.version + 1))
        uow.holds.add(desk.make.hold(held, kind=kind))
        uow.commit()
    assert broken(lambda: desk.confirm(erasure)) == "erasure_heeds_holds"


def test_nothing_is_erased_without_its_events(desk: Desk) -> None:
    silent = desk.erasure(logged=False)
    assert broken(lambda: desk.confirm(silent)) == "erasure_is_recorded"
    erasure = desk.erasure()
    other = "tenant.status_changed"
    assert broken(lambda: desk.confirm(erasure, done=other)) == "erasure_is_recorded"
    assert desk.values()["contacts.0.email"][1] == f'"{EMAIL}"'


def test_an_erasure_that_has_expired_is_not_confirmed(desk: Desk) -> None:
    erasure = desk.erasure(expires_at=desk.now)
    assert broken(lambda: desk.confirm(erasure)) == "ck_erasure_two_people"


def test_what_is_erased_never_comes_back(desk: Desk) -> None:
    desk.confirm(desk.erasure())
    back = "UPDATE audit_disclosure SET salt = %s, value = '\"x\"', erased_at = NULL"
    with psycopg.connect(desk.storage.database.admin) as admin, pytest.raises(psycopg.Error) as no:
        admin.execute(back.encode(), [b"x" * 32])
    assert no.value.diag.constraint_name == "disclosure_is_kept"


# --- reading -----------------------------------------------------------------------------------
def given(desk: Desk, grant: DisclosureGrant, actor: Actor = OTHER) -> str:
    with desk.storage.unit_of_work() as uow:
        uow.grants.add(grant)
        uow.grants.save(grant.granted(actor, desk.now))
        uow.commit()
    return grant.id


def exported(desk: Desk, grant_id: str, tree: str | None = None) -> list[dict[str, Any]]:
    """Read as an export does, once the events have a place in the log."""
    database = desk.storage.database
    sequencing = create_engine(driver_url(database.sequencer))
    while Sequencer(sequencing, clock=lambda: datetime.now(UTC), batch=100).sequence():
        pass
    sequencing.dispose()
    engine = create_engine(driver_url(database.auditor))
    try:
        with engine.connect() as connection:
            limit_to(connection, [tree or desk.tenant.id])
            return granted_disclosures(connection, tree or desk.tenant.id, grant_id)
    finally:
        engine.dispose()


def test_an_export_gets_what_was_granted_and_erased_values_are_marked(desk: Desk) -> None:
    grant = given(desk, desk.grant(paths=("contacts",)))
    found = exported(desk, grant)
    assert [(each["idx"], each["path"], each["value"]) for each in found] == [
        (0, "contacts.0.email", f'"{EMAIL}"'), (0, "contacts.0.name", '"Ida Admin"'),
    ]  # fmt: skip
    body = entry(desk)
    for each in found:
        opened = commitment(bytes.fromhex(each["salt"]), json.loads(each["value"]))
        assert opened == body["pii"][each["path"]]
    desk.confirm(desk.erasure())
    found = exported(desk, grant)
    assert [(each["value"], each["salt"]) for each in found] == [(None, None)] * 2
    assert all(each["erased_at"] and each["erasure_event"] for each in found)


def test_a_dossier_holds_what_its_grant_discloses_and_nothing_without_one(
    desk: Desk, tmp_path: Path
) -> None:
    grant = given(desk, desk.grant(paths=("contacts",)))
    exported(desk, grant)  # the events have their place in the log
    engine = create_engine(driver_url(desk.storage.database.auditor))
    trail = SqlTrail(lambda: engine, host="tp.example", public_key=tmp_path / "audit.key.pub")
    held = {}
    for name, grant_id in (("without", None), ("with", grant)):
        made = trail.dossier(desk.tenant.id, now=desk.now, since=None, until=None, grant=grant_id)
        with made.file, ZipFile(made.file) as archive:
            held[name] = json.loads(archive.read("disclosures.json"))["values"]
    assert held["without"] == []
    assert [each["path"] for each in held["with"]] == ["contacts.0.email", "contacts.0.name"]
    with pytest.raises(GrantNotValid):
        trail.dossier(PLATFORM, now=desk.now, since=None, until=None, grant=grant)
    engine.dispose()


def entry(desk: Desk) -> Any:
    with psycopg.connect(desk.storage.database.admin) as admin:
        (content,) = admin.execute(
            "SELECT entry FROM audit_entry WHERE event_id = %s", [event_uuid(desk.event)]
        ).fetchone() or (b"",)
    return json.loads(bytes(content).partition(b"\n")[2])


def test_a_grant_is_for_its_log_its_entries_and_its_time(desk: Desk) -> None:
    later = given(desk, desk.grant(first_idx=1))
    assert exported(desk, later) == []
    every = given(desk, desk.grant())
    assert len(exported(desk, every)) == 3
    other = desk.make.tenant()
    for wrong in (
        lambda: exported(desk, every, "platform"),
        lambda: exported(desk, every, other.id),
        lambda: exported(desk, "dsg_x"),
        lambda: exported(
            desk,
            given(
                desk,
                desk.grant(
                    requested_at=desk.now - timedelta(days=2),
                    expires_at=desk.now - timedelta(days=1),
                ),
            ),
        ),
    ):
        with pytest.raises(GrantNotValid):
            wrong()


@pytest.mark.parametrize("actor", [ASKER, ALIAS, ROBOT])
def test_a_grant_takes_a_second_person(desk: Desk, actor: Actor) -> None:
    assert broken(lambda: given(desk, desk.grant(), actor)) == "ck_disclosure_grant_two_people"


def test_a_grant_that_nobody_gave_opens_nothing(desk: Desk) -> None:
    grant = desk.grant()
    with desk.storage.unit_of_work() as uow:
        uow.grants.add(grant)
        uow.commit()
    with pytest.raises(GrantNotValid):
        exported(desk, grant.id)
    kept = ("TP006", "grant_is_kept")
    assert desk.refused(APP, "UPDATE disclosure_grant SET paths = '[\"x\"]'") == kept
    assert desk.refused(OWNER, "DELETE FROM disclosure_grant") == kept


def test_nobody_asks_and_gives_in_one_row(desk: Desk) -> None:
    grant = desk.grant().granted(OTHER, desk.now)
    with desk.storage.unit_of_work() as uow:
        assert broken(lambda: uow.grants.add(grant)) == "grant_is_asked_for"


def test_an_opening_lasts_a_minute(desk: Desk) -> None:
    opening = desk.grant(kind=GrantKind.OPENING, items=(["x", "y"],)).granted(ASKER, desk.now)
    with desk.storage.unit_of_work() as uow:
        assert broken(lambda: uow.grants.add(opening)) == "ck_disclosure_grant_lasts"


# --- finding -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "named"),
    [
        (EMAIL, True), ("IDA@EXAMPLE.COM", True), (f"told {EMAIL}.", True), (f"({EMAIL})", True),
        ("frida@example.com", False), ("ida@example.com.au", False),
        ("ida@example.community", False),
        ("an-ida@example.com", False), ("x.ida@example.com", False), ("ida@exampleXcom", False),
    ],
)  # fmt: skip
def test_a_subject_is_found_as_a_word_and_never_within_anothers_address(
    desk: Desk, text: str, named: bool
) -> None:
    with desk.storage.unit_of_work() as uow:
        event = desk.recorded(uow, "hold.placed", personal={"reason": text})
        uow.commit()
    with desk.storage.unit_of_work() as uow:
        found = {(key.event, key.path) for key in uow.disclosures.of_subject(EMAIL, None)}
    contact = str(event_uuid(desk.event))
    wanted = {(contact, "contacts.0.email"), (contact, "contacts.0.name")}
    assert found == wanted | ({(str(event_uuid(event)), "reason")} if named else set())


def test_odd_signs_in_a_subject_mean_themselves(desk: Desk) -> None:
    odd = 'O"Neil\\(a+b)'
    with desk.storage.unit_of_work() as uow:
        event = desk.recorded(uow, "hold.placed", personal={"reason": f"said {odd} today"})
        uow.commit()
    with desk.storage.unit_of_work() as uow:
        found = uow.disclosures.of_subject(odd, desk.tenant.id)
        assert [key.event for key in found] == [str(event_uuid(event))]
        assert uow.disclosures.of_subject(odd, "platform") == []
