"""Holds: what the database refuses by itself, whatever the code believes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.deployment import DeploymentKind
from control_plane.domain.errors import Conflict
from control_plane.domain.hold import BY_ANOTHER, Applying, Hold, HoldKind
from control_plane.domain.hub import Hub
from control_plane.domain.run import BlockedOn, Run, RunStatus
from control_plane.domain.tenant import Tenant
from tests.contracts.rows import refused_save, store
from tests.entities import ASKER, Entities
from tests.storage import Storage

pytestmark = pytest.mark.timeout(120)
OTHER = Actor(id="user:other", kind=ActorKind.USER, person="other")
FREED = (
    "UPDATE hold SET released_at = now(), released_by = 'a', released_person = 'a',"
    " released_kind = 'user', release_reason = 'a'"
)


@pytest.fixture(params=["tenant", "hub"])
def owned(request: pytest.FixtureRequest, storage: Storage, make: Entities) -> tuple[Any, Run]:
    """An owner, and an approved run of its deployment that asked nobody."""
    owner = make.tenant() if request.param == "tenant" else make.hub()
    deployment = (
        make.deployment(owner)
        if isinstance(owner, Tenant)
        else make.deployment(None, hub_id=owner.id, kind=DeploymentKind.HUB)
    )
    run = make.run(deployment, status=RunStatus.APPROVED)
    store(storage, "tenants" if isinstance(owner, Tenant) else "hubs", owner)
    store(storage, "deployments", deployment)
    store(storage, "runs", run)
    return owner, run


def placed(storage: Storage, make: Entities, owner: Any, **changes: Any) -> Hold:
    """Store a hold as the code does: the owner's row says so."""
    hold = make.hold(owner, **changes)
    with storage.unit_of_work() as uow:
        uow.holds.add(hold)
        _show(uow, owner, True)
        uow.commit()
    return hold


def _show(uow: Any, owner: Tenant | Hub, stands: bool) -> None:
    repository = uow.tenants if isinstance(owner, Tenant) else uow.hubs
    present = repository.need(owner.id, lock=True)
    if present.hold != stands:
        repository.save(replace(present, hold=stands, version=present.version + 1))


def released(storage: Storage, make: Entities, owner: Any, hold: Hold) -> None:
    with storage.unit_of_work() as uow:
        uow.holds.save(hold.released(OTHER, "it is settled", make.clock.now()))
        _show(uow, owner, bool(uow.holds.count(released_at=None)))
        uow.commit()


def begins(storage: Storage, make: Entities, run: Run) -> None:
    with storage.unit_of_work() as uow:
        present = uow.runs.need(run.id, lock=True)
        uow.runs.save(present.moved(RunStatus.APPLYING, make.clock.now()))
        uow.commit()


@pytest.mark.parametrize("applying", Applying)
def test_a_run_of_what_is_held_does_not_begin_to_apply(
    storage: Storage, make: Entities, owned: tuple[Any, Run], applying: Applying
) -> None:
    owner, run = owned
    holds = [placed(storage, make, owner, applying=applying) for _ in range(2)]
    applies = run.moved(RunStatus.APPLYING, make.clock.now())
    for hold in holds:
        assert refused_save(storage, "runs", applies) == "run_is_held"
        released(storage, make, owner, hold)
    begins(storage, make, run)


def test_a_blocked_run_of_what_is_held_does_not_begin_either(
    storage: Storage, make: Entities, owned: tuple[Any, Run]
) -> None:
    owner, run = owned
    now = make.clock.now()
    blocked = run.moved(RunStatus.BLOCKED, now, blocked_on=BlockedOn.HOLD)
    with storage.unit_of_work() as uow:
        uow.runs.save(blocked)
        uow.commit()
    placed(storage, make, owner)
    assert refused_save(storage, "runs", blocked.moved(RunStatus.APPLYING, now)) == "run_is_held"


def test_what_began_before_the_hold_may_be_blocked_and_come_back(
    storage: Storage, make: Entities, owned: tuple[Any, Run]
) -> None:
    owner, run = owned
    begins(storage, make, run)
    placed(storage, make, owner)
    now = make.clock.now()
    with storage.unit_of_work() as uow:
        present = uow.runs.need(run.id, lock=True)
        blocked = present.moved(RunStatus.BLOCKED, now, blocked_on=BlockedOn.FOREIGN_LOCK)
        uow.runs.save(blocked)
        uow.runs.save(blocked.moved(RunStatus.APPLYING, now))
        uow.commit()


def test_a_run_that_begins_waits_for_a_hold_that_is_being_placed(
    storage: Storage, make: Entities, owned: tuple[Any, Run]
) -> None:
    """Nothing begins after the placing was answered, also when both happen at once."""
    owner, run = owned
    refusals: list[Any] = []

    def begin() -> None:
        try:
            begins(storage, make, run)
        except Conflict as error:
            refusals.append(error.data["constraint"])

    beginning = threading.Thread(target=begin)
    with storage.unit_of_work() as uow:
        _show(uow, owner, True)
        uow.holds.add(make.hold(owner))
        beginning.start()
        storage.wait_for_a_lock()
        uow.commit()
    beginning.join(60)
    assert refusals == ["run_is_held"]


@pytest.mark.parametrize("kind", HoldKind)
@pytest.mark.parametrize(
    "actor",
    [
        Actor(id=ASKER, kind=ActorKind.USER, person="somebody"),
        Actor(id="user:asks-2", kind=ActorKind.USER, person="asks"),
        Actor(id="robot", kind=ActorKind.SERVICE),
        Actor(id="system:worker", kind=ActorKind.SYSTEM),
    ],
    ids=lambda actor: actor.id,
)
def test_some_kinds_are_released_by_a_person_who_did_not_place_them(
    storage: Storage, make: Entities, kind: HoldKind, actor: Actor
) -> None:
    tenant = make.tenant()
    store(storage, "tenants", tenant)
    hold = placed(storage, make, tenant, kind=kind)
    freed = hold.released(actor, "it is settled", make.clock.now())
    if kind in BY_ANOTHER:
        assert refused_save(storage, "holds", freed) == "ck_hold_another_person"
        released(storage, make, tenant, hold)
        return
    with storage.unit_of_work() as uow:
        uow.holds.save(freed)
        _show(uow, tenant, False)
        uow.commit()


def test_a_hold_is_placed_standing_and_released_once(storage: Storage, make: Entities) -> None:
    tenant = make.tenant()
    store(storage, "tenants", tenant)
    now = make.clock.now()
    with storage.unit_of_work() as uow, pytest.raises(Conflict) as refused:
        uow.holds.add(make.hold(tenant).released(OTHER, "never stood", now))
    assert refused.value.data["constraint"] == "hold_is_released_once"
    hold = placed(storage, make, tenant)
    released(storage, make, tenant, hold)
    freed = hold.released(OTHER, "it is settled", now)
    again = replace(freed, release_reason="for another reason", version=3)
    assert refused_save(storage, "holds", again) == "hold_is_released_once"
    back = replace(hold, version=3)
    assert refused_save(storage, "holds", back) == "hold_is_released_once"


@pytest.mark.parametrize(
    "change",
    [
        {"kind": HoldKind.PAUSE}, {"applying": Applying.FINISHES}, {"reason": "none"},
        {"placers": ()}, {"placed_by": "user:nobody"}, {"tenant_id": None, "hub_id": "hub_1"},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_what_was_said_of_a_hold_stays_also_with_its_release(
    storage: Storage, make: Entities, change: dict[str, Any]
) -> None:
    tenant = make.tenant()
    store(storage, "tenants", tenant)
    hold = placed(storage, make, tenant)
    freed = hold.released(OTHER, "it is settled", make.clock.now())
    for other in (replace(hold, version=2, **change), replace(freed, **change)):
        assert refused_save(storage, "holds", other) == "hold_is_released_once"


@pytest.fixture
def by_hand(storage: Storage) -> Iterator[psycopg.Connection[Any]]:
    """A session of the owner of the tables, who may do more than the application."""
    with psycopg.connect(storage.database.owner, autocommit=True) as connection:
        yield connection


def test_no_hold_is_deleted(
    storage: Storage, make: Entities, by_hand: psycopg.Connection[Any]
) -> None:
    tenant = make.tenant()
    store(storage, "tenants", tenant)
    placed(storage, make, tenant)
    with pytest.raises(psycopg.Error) as refused:
        by_hand.execute("DELETE FROM hold")
    assert refused.value.diag.constraint_name == "hold_is_released_once"


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("UPDATE hold SET released_at = now()", "ck_hold_released_by_somebody"),
        ("UPDATE tenant SET hold = false", "owner_says_whether_it_is_held"),
        ("UPDATE hub SET hold = true", "owner_says_whether_it_is_held"),
        (FREED, "owner_says_whether_it_is_held"),
    ],
)
def test_an_owner_says_that_it_is_held_while_a_hold_stands_and_only_then(
    storage: Storage,
    make: Entities,
    by_hand: psycopg.Connection[Any],
    change: str,
    constraint: str,
) -> None:
    tenant, hub = make.tenant(), make.hub()
    store(storage, "tenants", tenant)
    store(storage, "hubs", hub)
    placed(storage, make, tenant)
    with pytest.raises(psycopg.Error) as refused:
        by_hand.execute(change.encode())
    assert refused.value.diag.constraint_name == constraint


def test_a_hold_has_one_owner(storage: Storage, make: Entities) -> None:
    tenant, hub = make.tenant(), make.hub()
    for wrong in (make.hold(tenant, hub_id=hub.id), make.hold(tenant, tenant_id=None)):
        with storage.unit_of_work() as uow, pytest.raises(Conflict) as refused:
            uow.holds.add(wrong)
        assert refused.value.data["constraint"] == "ck_hold_one_owner"
