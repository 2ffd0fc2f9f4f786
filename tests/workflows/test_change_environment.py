"""Changing size, version, zones and contract of a tenant by the same request as its facts."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from control_plane.domain.errors import (
    AmendmentRefused,
    DomainError,
    DowngradeRefused,
    IllegalTransition,
    InvalidInput,
    ModeWouldChange,
)
from control_plane.domain.hold import HoldKind
from control_plane.domain.run import BlockedOn, RunStatus
from control_plane.domain.tenant import TenantStatus
from control_plane.services import changes
from control_plane.services.changes import Change, dry_run_change, request_change
from control_plane.services.performing import perform
from tests.workflows.held import place, release
from tests.world import AUTOMATION, World

S = RunStatus
SIGNED = "2026-11-20T12:00:00Z"


class Kept:
    """A ready tenant, and changes of it."""

    def __init__(self, world: World, mode: str = "B") -> None:
        self.world = world
        if mode == "A":
            world.ready_hub()
        accepted = world.submit(mode)
        world.work()
        if mode == "B":
            world.approve(accepted.run_id)
        self.tenant_id = accepted.tenant.id

    def change(self, **wish: Any) -> Change:
        """Request a change and do what follows; what waits for people is approved."""
        found = perform(
            self.world.core, AUTOMATION, request_change, self.tenant_id, reason="agreed", **wish
        )
        self.world.work()
        if found.run_id and self.world.run(found.run_id).status is S.AWAITING_APPROVAL:
            self.world.approve(found.run_id)
        return found

    def refused(self, kind: type[DomainError], **wish: Any) -> DomainError:
        """Expect a change to be refused, and nothing to be stored."""
        before = self.world.storage.everything()
        with pytest.raises(kind) as dry:
            perform(self.world.core, AUTOMATION, dry_run_change, self.tenant_id, **wish)
        with pytest.raises(kind) as caught:
            self.change(**wish)
        assert self.world.storage.everything() == before
        assert self.world.actions()[-1] == "change.refused:denied"
        assert dry.value.message == caught.value.message
        return caught.value

    def spec(self) -> dict[str, Any]:
        """Return the newest spec."""
        return dict(list(self.world.rows("deployment_spec").values())[-1].document)

    def amended(self, number: str, **terms: Any) -> Change:
        """Amend the contract."""
        return self.change(amendment={"number": number, "signed_at": SIGNED, **terms})


@pytest.fixture
def kept(world: World) -> Kept:
    return Kept(world)


def test_a_size_by_name_is_built_and_stays_when_the_seats_change(kept: Kept) -> None:
    found = kept.change(environment={"size": "medium"})
    assert found.changed == ("environment.size",)
    assert kept.world.run(found.run_id).status is S.APPLIED
    database = kept.spec()["database"]
    assert (database["instance_class"], database["storage_gb"]) == ("db.m6g.large", 100)
    assert kept.change(facts={"seats": 2000}).run_id is None
    back = kept.change(environment={"size": None})
    assert kept.world.run(back.run_id).status is S.APPLIED
    assert kept.spec()["database"]["instance_class"] == "db.r6g.large"


def test_a_disk_never_becomes_smaller_and_the_answer_says_so(kept: Kept) -> None:
    kept.change(environment={"size": "large"})
    smaller = kept.change(environment={"size": "small"})
    database = kept.spec()["database"]
    assert (database["instance_class"], database["storage_gb"]) == ("db.t4g.medium", 200)
    assert smaller.notes == ("The disk keeps its 200 GiB: RDS makes none smaller.",)
    kept.change(environment={"size": None})
    assert kept.spec()["database"]["storage_gb"] == 200


def test_a_version_brings_its_database_and_is_named_in_the_spec(kept: Kept) -> None:
    assert "version" not in kept.spec()
    assert kept.change(environment={"version": "2026.1"}).changed == ()  # which it has
    kept.change(environment={"version": "2026.2"})
    assert (kept.spec()["version"], kept.spec()["database"]["engine_version"]) == ("2026.2", "16")
    kept.change(environment={"version": "2027.1"})
    assert kept.spec()["database"]["engine_version"] == "17"


def test_nothing_goes_back_to_an_older_version_or_to_fewer_zones(kept: Kept) -> None:
    kept.change(environment={"version": "2027.1", "zones": 3})
    older = kept.refused(DowngradeRefused, environment={"version": "2026.2"})
    assert older.message == "the Hub has version 2027.1, and 2026.2 is older"
    assert (older.data["present"], older.data["wanted"]) == ("2027.1", "2026.2")
    fewer = kept.refused(DowngradeRefused, environment={"zones": 2})
    assert fewer.data["field"] == "environment.zones"
    assert len(kept.spec()["network"]["zones"]) == 3


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"size": "larg"}, "there is no size 'larg'. Did you mean large? Known are: trial, small,"),
        ({"size": "?"}, "there is no size '?'. Known are: trial, small, medium, large, xlarge."),
        ({"version": "2027.2"}, "there is no version '2027.2'. Did you mean 2027.1?"),
        ({"version": None}, "there is no version"),
        ({"zones": 9}, "zones must be a whole number from 2 to 3 in this region"),
        ({"colour": "red"}, "colour is not chosen for a dedicated Hub; only size and version and"),
    ],
)
def test_an_unknown_choice_is_refused_with_the_nearest_known_one(
    kept: Kept, environment: dict[str, Any], said: str
) -> None:
    assert kept.refused(InvalidInput, environment=environment).message.startswith(said)


def test_a_tenant_of_mode_a_is_sized_with_its_hub(world: World) -> None:
    kept = Kept(world, "A")
    refused = kept.refused(InvalidInput, environment={"version": "2026.2"})
    assert "`tenantctl hub change`" in refused.message
    assert refused.data["field"] == "environment.version"


@pytest.mark.parametrize(
    ("facts", "way"),
    [
        ({"contract_mode": "C"}, "decide-mode"),
        ({"requested_mode": "A"}, "decide-mode"),
        ({"current_mode": "A"}, "decide-mode"),
        ({"subscription": "lite"}, "`amendment`"),
        ({"sla_uptime_min": "99.9"}, "`amendment`"),
        ({"residency": {"zone": "us"}}, "no change moves data"),
    ],
)
def test_a_fact_that_changes_another_way_is_refused_with_that_way(
    kept: Kept, facts: dict[str, Any], way: str
) -> None:
    (name,) = facts
    refused = kept.refused(InvalidInput, facts=facts)
    assert refused.message.startswith(f"{name} is not changed this way: ")
    assert way in refused.message
    assert refused.data["field"] == f"facts.{name}"


def test_every_other_fact_is_stored_without_a_run_while_mode_and_spec_stay(kept: Kept) -> None:
    facts = {"segment": "retail", "phone_sev1": True, "dedicated_network": True, "cloud": "aws"}
    found = kept.change(facts=facts)
    assert (found.run_id, found.spec) == (None, ())
    assert set(found.changed) == {"segment", "phone_sev1", "dedicated_network"}
    shown = kept.world.tenant(kept.tenant_id).facts
    assert {name: shown[name] for name in facts} == facts
    kept.refused(ModeWouldChange, facts={"data_must_stay_in_customer_cloud": True})


def test_a_change_under_a_hold_is_planned_and_applies_when_it_is_released(kept: Kept) -> None:
    hold = place(kept.world, kept.tenant_id, HoldKind.PAUSE)
    found = kept.change(environment={"size": "large"})
    assert found.notes == ("A hold stands: the run is planned, and applies when it is released.",)
    blocked = kept.world.run(found.run_id)
    assert (blocked.status, blocked.blocked_on) == (S.BLOCKED, BlockedOn.HOLD)
    release(kept.world, hold)
    assert kept.world.run(found.run_id).status is S.APPLIED


# --- amendments ------------------------------------------------------------------------------
def test_an_amendment_of_dates_needs_no_run_and_is_kept_as_it_was_signed(kept: Kept) -> None:
    found = kept.amended("A-1", ends_on="2028-12-31", retention_until="2029-12-31")
    assert (found.changed, found.run_id) == (("amendment",), None)
    (kept_one,) = perform(kept.world.core, AUTOMATION, changes.list_amendments, kept.tenant_id)
    assert (kept_one.number, str(kept_one.retention_until)) == ("A-1", "2029-12-31")
    event = [each for each in kept.world.events() if each.action == "change.requested"][-1]
    assert (event.data["amendment"], event.data["retention_until"]) == ("A-1", "2029-12-31")


@pytest.mark.requirement("J-098", "K-010")
def test_an_amendment_changes_the_plan_and_the_seats_that_were_bought(kept: Kept) -> None:
    found = kept.amended("A-1", subscription="standard", seats=2000)
    facts = kept.world.tenant(kept.tenant_id).facts
    assert (facts["subscription"], facts["seats"]) == ("standard", 2000)
    assert found.changed == ("subscription", "seats", "amendment")
    assert kept.world.run(found.run_id).status is S.APPLIED
    assert kept.world.tenant(kept.tenant_id).status is TenantStatus.READY


def test_the_same_amendment_again_changes_nothing(kept: Kept) -> None:
    kept.amended("A-1", seats=150)
    kept.change(facts={"seats": 160})
    again = kept.amended("A-1", seats=150)
    assert (again.changed, again.summary) == ((), "Nothing changes: no run is needed.")
    assert kept.world.tenant(kept.tenant_id).facts["seats"] == 160


def test_an_amendment_that_contradicts_an_earlier_one_is_refused(kept: Kept) -> None:
    kept.amended("A-1", retention_until="2030-01-01")
    other = {"number": "A-1", "signed_at": SIGNED, "seats": 7}
    assert "accepted before" in kept.refused(AmendmentRefused, amendment=other).message
    shorter = {"number": "A-2", "signed_at": SIGNED, "retention_until": "2029-01-01"}
    refused = kept.refused(AmendmentRefused, amendment=shorter)
    assert (refused.data["present"], refused.data["wanted"]) == ("2030-01-01", "2029-01-01")
    two = {"number": "A-3", "signed_at": SIGNED, "seats": 7}
    assert kept.refused(InvalidInput, amendment=two, facts={"seats": 8}).data["field"] == (
        "facts.seats"
    )


def test_the_database_refuses_a_shorter_retention_too(kept: Kept) -> None:
    kept.amended("A-1", retention_until="2030-01-01")
    copied = (
        "INSERT INTO contract_amendment SELECT 'A-9', signed_at, effective_on, ends_on,"
        " '2029-01-01', subscription, seats, sla_uptime_min, 'amd_9', tenant_id, contract_ref,"
        " amended_by, amended_at FROM contract_amendment"
    )
    with (
        psycopg.connect(kept.world.storage.database.owner) as connection,
        pytest.raises(psycopg.Error) as refused,
    ):
        connection.execute(copied)
    assert refused.value.diag.constraint_name == "retention_is_never_shortened"


def test_a_contract_of_mode_c_is_amended_and_nothing_else_of_it_changes(world: World) -> None:
    kept = Kept.__new__(Kept)
    kept.world, kept.tenant_id = world, world.submit("C").tenant.id
    found = kept.amended("A-1", retention_until="2030-01-01")
    assert found.run_id is None
    assert "next version of the bundle" in found.notes[0]
    kept.refused(IllegalTransition, facts={"seats": 7})


@pytest.mark.parametrize(
    ("amendment", "field"),
    [
        ({"number": "", "signed_at": SIGNED}, "amendment.number"),
        ({"number": "A", "signed_at": "yesterday"}, "amendment.signed_at"),
        ({"number": "A", "signed_at": SIGNED, "ends_on": "31.12."}, "amendment.ends_on"),
        ({"number": "A", "signed_at": SIGNED, "seats": -1}, "amendment.seats"),
        ({"number": "A", "signed_at": SIGNED, "price": 1}, "amendment.price"),
    ],
)
def test_an_amendment_that_cannot_be_read_is_refused_by_name(
    kept: Kept, amendment: dict[str, Any], field: str
) -> None:
    assert kept.refused(InvalidInput, amendment=amendment).data["field"] == field
