"""``tenantctl message`` and ``tenantctl suppression``, over the API in memory."""

from __future__ import annotations

import pytest

from control_plane.cli.errors import HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from control_plane.domain.message import Message
from control_plane.domain.system_errors import SystemRefused
from tests.scripted_mailer import ScriptedMailer
from tests.unit.cli.helped import flags_of
from tests.unit.cli.terminal import Terminal
from tests.workflows.sending import Sender

OPS, ADMIN, AUDITOR = Role.OPS_APPROVER, Role.PLATFORM_ADMIN, Role.AUDITOR


@pytest.fixture
def sender(tenantctl: Terminal) -> Sender:
    return Sender(tenantctl.world)


@pytest.fixture
def dead(sender: Sender) -> Message:
    """A message that the mail system refused for good."""
    mailer = ScriptedMailer()
    mailer.before = [SystemRefused("refused: 550 5.1.1", system="scripted", reason="recipient")]
    sender.with_mail(mailer)
    message = sender.post()
    sender.world.work()
    return sender.row(message)


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("message list", {"--tenant", "--status", "--event", "--limit", "--json"}),
        ("message show", {"--json"}),
        ("message preview", {"--html", "--json"}),
        ("message send-again", {"--reason", "--json"}),
        ("message cancel", {"--reason", "--json"}),
        ("suppression list", {"--email", "--kind", "--limit", "--json"}),
        ("suppression add", {"--reason", "--kind", "--json"}),
        ("suppression lift", {"--reason", "--json"}),
    ],
)
def test_each_command_says_what_it_takes(command: str, flags: set[str]) -> None:
    assert flags_of(*command.split()) == flags


def test_messages_are_listed_by_tenant_status_and_event(
    tenantctl: Terminal, sender: Sender
) -> None:
    message = sender.post()
    listed = tenantctl("message", "list", who=OPS).out
    assert message.id in listed
    assert "queued" in listed
    assert tenantctl("message", "list", "--status", "sent", who=OPS).out == "no messages\n"
    assert tenantctl("message", "list", "--event", "tenant.ready", who=OPS).out == "no messages\n"
    by_tenant = tenantctl(
        "message", "list", "--tenant", sender.tenant_id, "--event", "step.blocked", "--limit", "1",
        "--json", who=AUDITOR,
    ).json  # fmt: skip
    assert [each["id"] for each in by_tenant] == [message.id]
    assert "ida@example.com" not in str(by_tenant)
    refused = tenantctl("message", "list", "--status", "lost", who=OPS, code=USAGE)
    assert "status" in refused.err
    tenantctl("message", "list", "--limit", "0", who=OPS, code=USAGE)


def test_a_message_is_shown_and_read(tenantctl: Terminal, sender: Sender) -> None:
    message = sender.post()
    shown = tenantctl("message", "show", message.id, who=OPS).out
    assert f"tenantctl message cancel {message.id}" in shown
    assert tenantctl("message", "show", message.id, "--json", who=OPS).json["status"] == "queued"
    read = tenantctl("message", "preview", message.id, who=OPS).out
    assert read.startswith("To: Ida Admin <ida@example.com>\nSubject: ")
    assert "the metadata" in read
    assert "<html" in tenantctl("message", "preview", message.id, "--html", who=OPS).out.lower()
    found = tenantctl("message", "preview", message.id, "--json", who=OPS).json
    assert found["recipient_email"] == "ida@example.com"
    assert tenantctl.world.actions().count("message.read:completed") == 3
    for command in ("show", "preview"):
        tenantctl("message", command, "msg_none", who=OPS, code=HIDDEN)
    tenantctl("message", "preview", message.id, who=AUDITOR, code=HIDDEN)


def test_a_dead_message_is_named_and_sent_again(
    tenantctl: Terminal, sender: Sender, dead: Message
) -> None:
    listed = tenantctl("message", "list", "--status", "dead", who=OPS).out
    assert "tenantctl message show ID" in listed
    assert "550 5.1.1" in tenantctl("message", "show", dead.id, who=OPS).out
    (bounced,) = tenantctl("suppression", "list", "--kind", "bounced", "--json", who=OPS).json
    tenantctl("suppression", "lift", bounced["id"], "--reason", "it exists now", who=OPS)
    sender.with_mail(ScriptedMailer())
    again = tenantctl(
        "message", "send-again", dead.id, "--reason", "it exists now", "--json", who=OPS
    ).json
    assert again["status"] == "queued"
    tenantctl.world.work()
    assert tenantctl("message", "show", dead.id, "--json", who=OPS).json["status"] == "sent"
    refused = tenantctl(
        "message", "send-again", dead.id, "--reason", "once more", who=OPS, code=REFUSED
    )
    assert "sent" in refused.err
    tenantctl("message", "send-again", dead.id, who=OPS, code=USAGE)  # without a reason
    tenantctl("message", "send-again", "msg_none", "--reason", "x", who=OPS, code=HIDDEN)


def test_a_message_that_did_not_go_out_is_canceled(tenantctl: Terminal, sender: Sender) -> None:
    message = sender.post()
    tenantctl("message", "cancel", message.id, "--reason", "x", who=AUDITOR, code=HIDDEN)
    tenantctl("message", "cancel", message.id, "--reason", " ", who=OPS, code=USAGE)
    assert "canceled" in tenantctl("message", "cancel", message.id, "--reason", "x", who=OPS).out
    again = tenantctl("message", "cancel", message.id, "--reason", "x", who=OPS, code=REFUSED)
    assert "canceled" in again.err


def test_an_address_gets_nothing_until_that_is_lifted(tenantctl: Terminal) -> None:
    assert tenantctl("suppression", "list", who=OPS).out == "no suppressions\n"
    added = tenantctl(
        "suppression", "add", "ida@example.com", "--reason", "asked", "--kind", "bounced",
        "--json", who=OPS,
    ).json  # fmt: skip
    assert (added["domain"], added["kind"]) == ("example.com", "bounced")
    assert "ida" not in str(added)
    by_address = tenantctl("suppression", "list", "--email", "IDA@example.com", who=OPS).out
    assert added["id"] in by_address
    assert tenantctl("suppression", "list", "--kind", "opted_out", who=OPS).out == (
        "no suppressions\n"
    )  # fmt: skip
    lifted = tenantctl("suppression", "lift", added["id"], "--reason", "asked again", who=OPS)
    assert "lifted_at" in lifted.out
    tenantctl("suppression", "lift", added["id"], "--reason", "x", who=OPS, code=REFUSED)
    tenantctl("suppression", "lift", "sup_none", "--reason", "x", who=OPS, code=HIDDEN)
    tenantctl("suppression", "add", "ida@example.com", who=OPS, code=USAGE)
    tenantctl("suppression", "add", "nobody", "--reason", "x", who=OPS, code=USAGE)
    tenantctl(
        "suppression", "add", "a@example.com", "--reason", "x", "--kind", "no", who=OPS, code=USAGE
    )
    tenantctl("suppression", "add", "a@example.com", "--reason", "x", who=AUDITOR, code=HIDDEN)
