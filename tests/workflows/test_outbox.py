"""The outbox: one row for each thing that is said to somebody, whatever happens meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from control_plane.domain.errors import InvalidInput
from control_plane.domain.message import MessageStatus, Reason, Recipient, SecretRef
from tests.workflows.sending import Sender
from tests.world import World

S = MessageStatus


@pytest.fixture
def sender(world: World) -> Sender:
    return Sender(world)


@pytest.mark.requirement("J-030")
def test_a_message_is_queued_once_for_a_key(sender: Sender) -> None:
    first = sender.post()
    again = sender.post(recipient=Recipient(name="Other", email="other@example.com"))
    assert again.id == first.id
    assert again.recipient_email == "ida@example.com"
    assert sender.world.actions().count("message.queued:completed") == 1


def test_ten_that_post_at_once_queue_one_message(sender: Sender) -> None:
    with ThreadPoolExecutor(10) as pool:
        found = {each.id for each in pool.map(lambda _: sender.post(), range(10))}
    assert len(found) == 1
    assert list(sender.world.rows("message")) == list(found)
    assert sender.world.actions().count("message.queued:completed") == 1


def test_who_gets_it_is_personal_in_the_log(sender: Sender) -> None:
    message = sender.post()
    (event,) = (each for each in sender.world.events() if each.action == "message.queued")
    assert event.personal["recipient.email"] == "ida@example.com"
    assert "ida" not in str(event.data).lower()
    assert ("message", message.id) in event.targets


def test_without_a_mail_system_a_message_is_suppressed(sender: Sender) -> None:
    message = sender.sent()
    assert (message.status, message.reason) == (S.SUPPRESSED, Reason.NO_SYSTEM)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"event": "step.bloked"}, "step.bloked"),
        ({"persona": "it_admim"}, "it_admim"),
        ({"data": {"step_title": "SSO"}}, "missing"),
        ({"data": {"step_title": "SSO", "missing": "it", "colour": "red"}}, "step_title"),
        ({"event": "portal.link_issued", "data": {"expires_at": "2026-11-23T14:03:00Z"}}, "link"),
        ({"secrets": {"link": SecretRef(kind="onboarding_link", id="lnk_1")}}, "takes"),
    ],
)
def test_what_no_message_can_be_about_is_refused(
    sender: Sender, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        sender.post(**given)
    assert not sender.world.rows("message")


def test_a_name_with_line_breaks_is_one_line(sender: Sender) -> None:
    name = "Ida\r\nBcc: all@example.com\tAdmin"
    message = sender.post(recipient=Recipient(name=name, email="ida@example.com"))
    assert sender.row(message).recipient_name == "Ida Bcc: all@example.com Admin"
