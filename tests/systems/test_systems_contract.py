"""What every adapter of a port keeps to: the same key is one effect, whatever goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.domain.errors import DomainError
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.ports.systems import Chat, Crm, Tickets
from tests.systems.benches import CHATS, COMPANY, CRMS, TICKETS, Bench
from tests.systems.stub import AFTER, BEFORE, TWICE

FAULTS = [*BEFORE, *AFTER]
KEY = "jrn_01JD0000000000000000000001.channel.1"
IDA = "ida@example.fi"


@pytest.fixture(params=CRMS)
def crm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench[Crm]]:
    with CRMS[request.param](tmp_path) as bench:
        yield bench


@pytest.fixture(params=TICKETS)
def tickets(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench[Tickets]]:
    with TICKETS[request.param](tmp_path) as bench:
        yield bench


@pytest.fixture(params=CHATS)
def chat(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench[Chat]]:
    with CHATS[request.param](tmp_path) as bench:
        yield bench


def require_meaning(error: DomainError, fault: str) -> None:
    """Check that a fault is what it is, names nobody and no credential, and says when to come."""
    assert isinstance(error, SystemRefused if fault == "redirect" else SystemUnavailable)
    waits = {"429": 7, "429 until": 120}
    assert error.data.get("retry_after") == waits.get(fault)
    assert bool(error.data.get("may_have_acted")) == (fault in AFTER or fault == "503")
    shown = f"{error.message} {error.data}"
    assert "@" not in shown
    assert "secret" not in shown


# --- CRM and tickets ------------------------------------------------------------------------------
@pytest.mark.requirement("F-091", "J-016", "K-070")
def test_a_company_is_made_once_and_brought_up_to_date(crm: Bench[Crm]) -> None:
    made = crm.port.upsert_company(COMPANY)
    again = crm.port.upsert_company(replace(COMPANY, name="Example Oyj"))
    assert (made.created, again.created) == (True, False)
    assert made.id == again.id
    assert crm.names() == ["Example Oyj"]
    crm.port.upsert_company(replace(COMPANY, key="ten_02", name="Other", slug="other"))
    assert sorted(crm.names()) == ["Example Oyj", "Other"]


@pytest.mark.requirement("J-016")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_company_is_one_whatever_happens_in_between(crm: Bench[Crm], fault: str) -> None:
    if crm.stub is not None:
        crm.stub.break_next(crm.writes, fault)
        with pytest.raises(DomainError) as failed:
            crm.port.upsert_company(COMPANY)
        require_meaning(failed.value, fault)
    ref = crm.port.upsert_company(COMPANY)
    assert crm.names() == ["Example Oy"]
    assert ref.id


@pytest.mark.requirement("K-067")
def test_an_organisation_is_made_once_and_brought_up_to_date(tickets: Bench[Tickets]) -> None:
    made = tickets.port.upsert_organisation(COMPANY)
    again = tickets.port.upsert_organisation(replace(COMPANY, name="Example Oyj"))
    assert (made.created, again.created, made.id) == (True, False, again.id)
    assert tickets.names() == ["Example Oyj"]


@pytest.mark.parametrize("fault", FAULTS)
def test_an_organisation_is_one_whatever_happens(tickets: Bench[Tickets], fault: str) -> None:
    if tickets.stub is not None:
        tickets.stub.break_next(tickets.writes, fault)
        with pytest.raises(DomainError) as failed:
            tickets.port.upsert_organisation(COMPANY)
        require_meaning(failed.value, fault)
    tickets.port.upsert_organisation(COMPANY)
    assert tickets.names() == ["Example Oy"]


def test_a_request_that_arrives_twice_is_one_record(
    crm: Bench[Crm], tickets: Bench[Tickets]
) -> None:
    for bench in (crm, tickets):
        if bench.stub is not None:
            bench.stub.break_next(bench.writes, TWICE)
    crm.port.upsert_company(COMPANY)
    tickets.port.upsert_organisation(COMPANY)
    assert crm.names() == tickets.names() == ["Example Oy"]


# --- chat -----------------------------------------------------------------------------------------
def test_a_channel_is_found_by_its_key(chat: Bench[Chat]) -> None:
    made = chat.port.open_channel("acme-example", topic="Example Oy", key=KEY)
    again = chat.port.open_channel("acme-example", topic="Example Oy", key=KEY)
    assert (made.created, again.created, made.id) == (True, False, again.id)
    assert chat.names() == ["acme-example"]


def test_a_name_that_another_has_is_named_so(chat: Bench[Chat]) -> None:
    chat.port.open_channel("acme-example", topic="Example Oy", key=KEY)
    with pytest.raises(SystemRefused) as taken:
        chat.port.open_channel("acme-example", topic="Another", key=f"{KEY}.other")
    assert taken.value.data["reason"] == "name_taken"


@pytest.mark.requirement("K-066")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_channel_is_one_whatever_happens(chat: Bench[Chat], fault: str) -> None:
    if chat.stub is not None:
        chat.stub.break_next(chat.writes, fault)
        with pytest.raises(DomainError) as failed:
            chat.port.open_channel("acme-example", topic="Example Oy", key=KEY)
        require_meaning(failed.value, fault)
    ref = chat.port.open_channel("acme-example", topic="Example Oy", key=KEY)
    assert chat.names() == ["acme-example"]
    assert chat.port.open_channel("acme-example", topic="x", key=KEY).id == ref.id


def test_a_channel_that_is_asked_for_twice_on_the_way_is_ours(chat: Bench[Chat]) -> None:
    if chat.stub is not None:
        chat.stub.break_next(chat.writes, TWICE)
    ref = chat.port.open_channel("acme-example", topic="Example Oy", key=KEY)
    assert chat.names() == ["acme-example"]
    assert chat.port.open_channel("acme-example", topic="Example Oy", key=KEY).id == ref.id


@pytest.mark.requirement("J-036", "K-066")
@pytest.mark.parametrize("fault", FAULTS)
def test_each_person_is_invited_once_whatever_happens(chat: Bench[Chat], fault: str) -> None:
    channel = chat.port.open_channel("acme-example", topic="Example Oy", key=KEY)
    if chat.stub is not None:
        chat.stub.break_next(chat.invites, fault)
        with pytest.raises(DomainError) as failed:
            chat.port.invite(channel.id, IDA, key=f"{KEY}.{IDA}")
        require_meaning(failed.value, fault)
    first = chat.port.invite(channel.id, IDA, key=f"{KEY}.{IDA}")
    assert chat.port.invite(channel.id, IDA, key=f"{KEY}.{IDA}").id == first.id
    assert first.email == IDA
    assert chat.invited() == [IDA]


def test_an_invitation_that_policy_forbids_is_refused(chat: Bench[Chat]) -> None:
    channel = chat.port.open_channel("acme-example", topic="Example Oy", key=KEY)
    chat.forbid()
    if chat.stub is None:
        assert chat.port.invite(channel.id, IDA, key=KEY).email == IDA
        return
    with pytest.raises(SystemRefused) as refused:
        chat.port.invite(channel.id, IDA, key=KEY)
    assert refused.value.data["kind"] == "policy"
    assert chat.invited() == []


def test_a_channel_is_closed_however_often_and_a_missing_one_is_left(chat: Bench[Chat]) -> None:
    channel = chat.port.open_channel("acme-example", topic="Example Oy", key=KEY)
    chat.port.close_channel(channel.id)
    chat.port.close_channel(channel.id)
    chat.port.close_channel("CNEVER")


def test_a_wrong_credential_is_refused_without_being_repeated(tmp_path: Path) -> None:
    for name, make in [*CRMS.items(), *TICKETS.items(), *CHATS.items()]:
        with make(tmp_path / name) as bench:
            if bench.stub is None:
                continue
            bench.wrong()
            with pytest.raises(SystemRefused) as refused:
                bench.port.check()
            assert "wr0ng" not in f"{refused.value.message} {refused.value.data}"
