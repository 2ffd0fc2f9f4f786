"""Systems that only write down: what people find in the folder, each effect once."""

from __future__ import annotations

import email
import json
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email import policy
from pathlib import Path

import pytest

from control_plane.adapters.systems.recording import (
    RecordingChat,
    RecordingCrm,
    RecordingMailer,
    RecordingTickets,
)
from control_plane.domain.system_errors import SystemRefused
from control_plane.ports.systems import Company
from tests.systems.mails import INVITATION, a_mail, noon

COMPANY = Company(
    key="ten_01", name="Example Oy", domain="example.fi", country="FI", slug="example",
    contract_id="C-1", facts={"plan": "lite"},
)  # fmt: skip


def test_a_mail_is_three_readable_files_and_the_mail_itself(tmp_path: Path) -> None:
    sent = RecordingMailer(tmp_path, now=noon).send(a_mail())
    assert "ida" not in sent  # it goes into rows and events
    (written,) = (tmp_path / "mail").glob("*.eml")
    assert written.stem == f"20261201T120000.000000Z ida@example.fi Willkommen-your-tenant {sent}"
    files = {file.suffix: file for file in (tmp_path / "mail").glob("2*")}
    assert set(files) == {".eml", ".txt", ".html", ".ics"}
    assert files[".txt"].read_text() == a_mail().text
    assert files[".ics"].read_bytes() == INVITATION.encode()
    message = email.message_from_bytes(files[".eml"].read_bytes(), policy=policy.default)
    assert message["To"] == "Ida Kivelä <ida@example.fi>"
    assert {stat.S_IMODE(file.stat().st_mode) for file in files.values()} == {0o600}


def test_a_mail_is_written_once_however_often_and_by_however_many(tmp_path: Path) -> None:
    times = iter(noon() + timedelta(seconds=number) for number in range(40))
    mailer = RecordingMailer(tmp_path, now=lambda: next(times))
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: mailer.send(a_mail()), range(20)))
    assert len(names) == 1
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 1
    mailer.send(a_mail(2))
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 2


def test_an_interrupted_mail_is_completed(tmp_path: Path) -> None:
    mailer = RecordingMailer(tmp_path, now=noon)
    sent = mailer.send(a_mail())
    (written,) = (tmp_path / "mail").glob(f"*{sent}.eml")
    written.unlink()
    assert mailer.send(a_mail()) == sent
    assert written.is_file()


def test_long_names_and_those_of_other_scripts_fit_into_a_file_name(tmp_path: Path) -> None:
    mail = a_mail(subject="请" * 300, recipient=f"{'a' * 60}@{'b' * 60}.example")
    RecordingMailer(tmp_path, now=noon).send(mail)
    assert len(list((tmp_path / "mail").glob("*.eml"))) == 1


@pytest.mark.parametrize("folder", ["crm", "tickets"])
def test_a_customer_is_one_file_with_what_is_known_now(tmp_path: Path, folder: str) -> None:
    crm, tickets = RecordingCrm(tmp_path), RecordingTickets(tmp_path)
    upsert = crm.upsert_company if folder == "crm" else tickets.upsert_organisation
    assert upsert(COMPANY).created
    changed = Company(**{**COMPANY.__dict__, "name": "Example Oyj"})
    again = upsert(changed)
    assert not again.created
    (file,) = (tmp_path / folder).glob("*.json")
    assert file.name == "example ten_01.json"
    assert json.loads(file.read_text())["name"] == "Example Oyj"
    assert again.url == file.as_uri()


def test_deals_are_read_from_a_folder_oldest_first(tmp_path: Path) -> None:
    won = tmp_path / "crm" / "won"
    won.mkdir(parents=True)
    for number in (3, 1, 2):
        deal = {"id": number, "company": "Example", "won_at": f"2026-12-0{number}T10:00:00+01:00"}
        (won / f"{number}.json").write_text(json.dumps(deal))
    since = datetime(2026, 12, 2, tzinfo=UTC)
    assert [deal.id for deal in RecordingCrm(tmp_path).won_since(since)] == ["2", "3"]
    (won / "4.json").write_text('{"id": 4, "company": "x", "won_at": "2026-12-04T10:00:00"}')
    with pytest.raises(SystemRefused, match=r"4\.json"):
        list(RecordingCrm(tmp_path).won_since(since))


def test_a_channel_has_one_name_and_one_key(tmp_path: Path) -> None:
    chat = RecordingChat(tmp_path, like="slack", longest_name=80)
    first = chat.open_channel("acme-example", topic="t", key="k1")
    assert (first.created, chat.open_channel("other", topic="t", key="k1")) == (
        True, type(first)(id=first.id, url=first.url, created=False),
    )  # fmt: skip
    with pytest.raises(SystemRefused) as taken:
        chat.open_channel("acme-example", topic="t", key="k2")
    assert taken.value.data["reason"] == "name_taken"
    invited = [chat.invite(first.id, "ida@example.fi", key="k1.ida") for _ in range(2)]
    assert invited[0] == invited[1]
    assert len(list((tmp_path / "chat" / "slack" / first.id).glob("invitation*"))) == 1
    chat.close_channel(first.id)
    chat.close_channel(first.id)
    chat.close_channel("gone")
    with pytest.raises(SystemRefused):
        chat.invite("gone", "ida@example.fi", key="k")


def test_a_channel_is_found_without_reading_any_other(tmp_path: Path) -> None:
    """A folder with thousands of channels would be read as a whole for each of them."""
    chat = RecordingChat(tmp_path, like="slack", longest_name=80)
    chat.open_channel("first", topic="t", key="k1")
    second = chat.open_channel("second", topic="t", key="k2")
    (tmp_path / "chat" / "slack" / "first" / "channel.json").write_text("half of someth")
    found = chat.find_channel("k2")
    assert found is not None
    assert (found.id, found.created) == (second.id, False)
    assert chat.find_channel("k3") is None
    assert chat.open_channel("third", topic="t", key="k3").created


def test_a_name_that_was_taken_leaves_the_key_free_for_another(tmp_path: Path) -> None:
    chat = RecordingChat(tmp_path, like="slack", longest_name=80)
    chat.open_channel("acme", topic="t", key="k1")
    with pytest.raises(SystemRefused):
        chat.open_channel("acme", topic="t", key="k2")
    assert chat.find_channel("k2") is None
    assert chat.open_channel("acme-2", topic="t", key="k2").created
    found = [chat.find_channel(key) for key in ("k1", "k2")]
    assert [each and each.id for each in found] == ["acme", "acme-2"]


def test_channels_of_before_there_was_an_index_are_found(tmp_path: Path) -> None:
    chat = RecordingChat(tmp_path, like="slack", longest_name=80)
    opened = chat.open_channel("acme", topic="t", key="k1")
    shutil.rmtree(tmp_path / "chat" / "slack" / ".keys")
    assert chat.open_channel("other", topic="t", key="k1").id == opened.id
    found = chat.find_channel("k1")
    assert found is not None
    assert found.id == opened.id
