"""What the database refuses of the erasure of keys and of certificates, whoever writes to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import psycopg
import pytest

from control_plane.adapters.db.roles import APP
from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.hold import HoldKind
from control_plane.domain.saga import SagaStatus
from control_plane.ports.rows import UnitOfWork
from tests.entities import Entities
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)

ERASE = "UPDATE stack_salt SET salt = NULL, erased_at = '2026-11-21T00:00:00Z'"
GONE = f"UPDATE deployment SET removed_at = now(); {ERASE}"  # noqa: S608 - our own words
REMOVE = "UPDATE {} SET removed_at = '2026-11-20T20:00:00Z'"
KEPT, CERTIFIED = ("TP006", "salt_is_kept"), ("TP006", "certified_after_erasure")


@dataclass
class Owner:
    """The session of the tables' owner, of whom the database refuses this too."""

    connection: psycopg.Connection[Any]
    make: Entities
    ids: dict[str, str]

    def refused(self, statement: str, *values: Any) -> tuple[str, str]:
        with pytest.raises(psycopg.Error) as error, self.connection.transaction():
            self.connection.execute(statement.encode(), values)
        return error.value.sqlstate or "", error.value.diag.constraint_name or ""

    def done(self, statement: str, *values: Any) -> int:
        with self.connection.transaction():
            return self.connection.execute(statement.encode(), values).rowcount

    def certificate(self, owner: str) -> str:
        """The statement that certifies the removal of the tenant or of the Hub."""
        saga, owner_id = self.ids[f"saga of {owner}"], self.ids[owner]
        columns = f"id, saga_id, {owner}_id, body, digest, issued_at"
        values = f"'crt_1', '{saga}', '{owner_id}', '{{}}', 'sha256:0', now()"
        return f"INSERT INTO certificate ({columns}) VALUES ({values})"  # noqa: S608 - our own words


@pytest.fixture(params=["tenant", "hub"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def owner(storage: Storage, kind: str) -> Iterator[Owner]:
    """A tenant with a bundle that was handed over, or a Hub, with a stack that has a salt."""
    make = Entities()
    with storage.unit_of_work() as uow:
        tenant, hub = make.tenant(), make.hub()
        uow.add(tenant, hub)
        if kind == "tenant":
            deployment = make.deployment(tenant)
            contract, bundle = make.contract(tenant), make.bundle(deployment)
            people = [{"name": "Ida Admin", "email": "ida@example.com"}]
            uow.add(deployment, contract, bundle, make.handover(bundle))
            uow.requests.add(make.request(contract, body={"contacts": people}))
        else:
            deployment = make.deployment(None, kind=DeploymentKind.HUB, hub_id=hub.id)
            uow.add(deployment)
        uow.salts.add(make.salt(deployment))
        ids = {"tenant": tenant.id, "hub": hub.id, "deployment": deployment.id}
        for each, name in ((tenant, "tenant"), (hub, "hub")):
            saga = make.saga(each, status=SagaStatus.DONE, ended_at=make.clock.now())
            uow.sagas.add(saga)
            ids[f"saga of {name}"] = saga.id
        uow.commit()
    with psycopg.connect(storage.database.owner, autocommit=True) as connection:
        yield Owner(connection, make, ids)


def test_a_salt_is_erased_when_its_owner_was_removed_and_not_before(
    owner: Owner, kind: str
) -> None:
    assert owner.refused(ERASE) == KEPT
    assert owner.refused(GONE) == KEPT
    owner.done(REMOVE.format(kind))
    assert owner.done(ERASE) == 1


def test_a_salt_is_never_changed_deleted_or_brought_back(owner: Owner, kind: str) -> None:
    other = "x" * 43
    owner.done(REMOVE.format(kind))
    assert owner.refused("UPDATE stack_salt SET salt = %s", other) == KEPT
    assert owner.refused("UPDATE stack_salt SET is_late = true") == KEPT
    assert owner.refused("DELETE FROM stack_salt") == KEPT
    assert owner.refused(ERASE + ", is_late = true") == KEPT
    owner.done(ERASE)
    again = "UPDATE stack_salt SET salt = %s, erased_at = NULL"
    assert owner.refused(again, other) == KEPT
    assert owner.refused(ERASE) == KEPT
    assert owner.refused("DELETE FROM stack_salt") == KEPT


RELEASE = (
    "UPDATE tenant SET hold = false; UPDATE hold SET released_by = 'user:olga',"
    " released_person = 'olga', released_kind = 'user', released_at = now(),"
    " release_reason = 'the court has decided', version = 2"
)
FORMER = "UPDATE deployment SET position = 'former', removed_at = {}"


@pytest.mark.parametrize("kind", ["tenant"], indirect=True)
def test_the_salt_of_a_former_place_is_erased_once_that_is_closed(
    owner: Owner, storage: Storage
) -> None:
    owner.done(FORMER.format("NULL"))
    assert owner.refused(ERASE) == KEPT
    owner.done(FORMER.format("now()"))
    with storage.unit_of_work() as uow:
        hold_on(uow, owner, "tenant", HoldKind.LEGAL)
        uow.commit()
    assert owner.refused(ERASE) == KEPT
    owner.done(RELEASE)
    assert owner.done(ERASE) == 1
    assert owner.refused(ERASE) == KEPT


def hold_on(uow: UnitOfWork, owner: Owner, kind: str, hold: HoldKind) -> None:
    rows: Any = uow.tenants if kind == "tenant" else uow.hubs
    held = rows.need(owner.ids[kind], lock=True)
    rows.save(replace(held, hold=True, version=held.version + 1))
    uow.holds.add(owner.make.hold(held, kind=hold))


@pytest.mark.parametrize("hold", [HoldKind.LEGAL, HoldKind.COMPLIANCE])
def test_a_salt_is_kept_while_a_hold_wants_things_to_stay(
    owner: Owner, storage: Storage, kind: str, hold: HoldKind
) -> None:
    owner.done(REMOVE.format(kind))
    with storage.unit_of_work() as uow:
        hold_on(uow, owner, kind, hold)
        uow.commit()
    assert owner.refused(ERASE) == KEPT


def test_a_pause_keeps_no_salt(owner: Owner, storage: Storage, kind: str) -> None:
    owner.done(REMOVE.format(kind))
    with storage.unit_of_work() as uow:
        hold_on(uow, owner, kind, HoldKind.PAUSE)
        uow.commit()
    assert owner.done(ERASE) == 1


@pytest.mark.parametrize("salt", ["", "short", "x" * 42, "x" * 44, "x" * 42 + "!"])
def test_what_is_no_salt_is_refused(owner: Owner, salt: str) -> None:
    statement = "INSERT INTO stack_salt VALUES ('dep_x', %s, false, now(), NULL, 1)"
    assert owner.refused(statement, salt) == ("23514", "ck_stack_salt_salt")


def test_a_salt_without_value_says_when_it_was_erased(owner: Owner) -> None:
    statement = "INSERT INTO stack_salt VALUES ('dep_x', NULL, false, now(), NULL, 1)"
    assert owner.refused(statement) == ("23514", "ck_stack_salt_erased")


def test_a_removal_is_certified_when_everything_is_erased(owner: Owner, kind: str) -> None:
    owner.done(REMOVE.format(kind))
    certify = owner.certificate(kind)
    assert owner.refused(certify) == CERTIFIED
    owner.done(ERASE)
    if kind == "tenant":
        assert owner.refused(certify) == CERTIFIED
        owner.done("UPDATE provisioning_request SET body = body || '{\"contacts\": []}'")
        assert owner.refused(certify) == CERTIFIED
        owner.done("UPDATE handover SET recipient_name = ''")
        assert owner.refused(certify) == CERTIFIED
        owner.done("UPDATE handover SET recipient_email = ''")
    assert owner.done(certify) == 1


def test_the_application_deletes_no_salt(owner: Owner, storage: Storage) -> None:
    url = storage.database.server.url(APP, storage.database.name)
    with (
        psycopg.connect(url) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("DELETE FROM stack_salt")
