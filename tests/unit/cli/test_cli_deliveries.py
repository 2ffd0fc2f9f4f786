"""Deliveries at a terminal: why one waits, what may be done, and what came of it."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from control_plane.adapters.home import Home, Key
from control_plane.cli.errors import HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from control_plane.services import deliveries
from tests.signed import allowing_account, as_bytes, docusign, docusign_headers, install_keys
from tests.unit.cli.terminal import Terminal, run
from tests.world import machine

ADMIN, OPS = Role.PLATFORM_ADMIN, Role.OPS_APPROVER
REASON = ("--reason", "the customer asked for it")


def deliver(tenantctl: Terminal, number: int = 1, **changes: str) -> str:
    world = tenantctl.world
    body = as_bytes(docusign(number, **changes))
    found = deliveries.receive_delivery(
        world.core, machine("unknown"), "docusign", headers=docusign_headers(body), body=body
    )
    world.work()
    return found


@pytest.fixture
def taking(tenantctl: Terminal) -> Terminal:
    world = tenantctl.world
    install_keys(world.core)
    world.core = allowing_account(world.core)
    return tenantctl


def test_what_waits_says_why_and_what_to_type(taking: Terminal) -> None:
    refused = deliver(taking, Plan="Gold")
    listed = taking("delivery", "list", "--status", "refused", who=OPS).out
    assert refused in listed
    assert "tenantctl delivery show ID" in listed
    shown = taking("delivery", "show", refused, who=OPS).out
    parts = (
        "mapping_failed", "contract.subscription", "listCustomFields[name=Plan]", "'Gold'",
        f"tenantctl delivery replay {refused}", f"tenantctl delivery dismiss {refused}",
    )  # fmt: skip
    for part in parts:
        assert part in shown, part
    assert "delivery accept" not in shown
    taking("delivery", "accept", refused, *REASON, who=OPS, code=REFUSED)
    assert "received" in taking("delivery", "replay", refused, *REASON, who=OPS).out
    taking.world.work()
    dismissed = taking("delivery", "dismiss", refused, *REASON, "--json", who=OPS).json
    assert (dismissed["status"], dismissed["decision_reason"]) == ("dismissed", REASON[1])
    taking("delivery", "dismiss", refused, *REASON, who=OPS, code=REFUSED)


def test_a_second_contract_of_a_company_is_accepted_at_a_terminal(taking: Terminal) -> None:
    first = deliver(taking)
    held = deliver(taking, 2, Domain="c1.example.com")
    shown = taking("delivery", "show", held, who=OPS).out
    assert f"tenantctl delivery accept {held}" in shown
    assert "tenantctl tenant show ten_" in shown
    assert "a worker takes it" in taking("delivery", "accept", held, *REASON, who=OPS).out
    taking.world.work()
    found = taking("delivery", "show", held, "--json", who=OPS).json
    other = taking("delivery", "show", first, "--json", who=OPS).json
    assert (found["status"], found["allowed_actions"]) == ("accepted", [])
    assert found["tenant_id"] != other["tenant_id"]


def test_the_content_is_shown_to_few(taking: Terminal) -> None:
    found = deliver(taking)
    assert "ida@dainese.com" in taking("delivery", "show", found, "--content", who=ADMIN).out
    assert taking("delivery", "show", found, "--content", "--json", who=ADMIN).json["size"] > 0
    taking("delivery", "show", found, "--content", who=OPS, code=HIDDEN)


def test_an_envelope_is_found_and_an_empty_list_says_so(taking: Terminal) -> None:
    assert taking("delivery", "list", who=OPS).out == "no deliveries\n"
    found = deliver(taking)
    envelope = taking("delivery", "show", found, "--json", who=OPS).json["envelope_id"]
    listed = taking("delivery", "list", "--envelope", envelope.upper(), "--json", who=OPS).json
    assert [each["id"] for each in listed] == [found]


def test_a_key_of_a_provider_is_installed_once_from_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    Home(home).create_keys([Key.PAGE])
    monkeypatch.setenv("TENANTPLANE_HOME", str(home))

    def install(name: str, text: bytes, code: int = 0) -> str:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text)))
        answer = run("keys", "intake", name)
        assert answer.code == code, answer.err
        return answer.out + answer.err

    said = install("docusign-1", b"the key of docusign\n")
    file = home / "keys" / "intake" / "docusign-1.key"
    assert file.read_text() == "the key of docusign\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "the key of" not in said
    assert "already" in install("docusign-1", b"another key", USAGE)
    assert "one line" in install("docusign-2", b"two\nlines", USAGE)
    assert "one line" in install("docusign-2", b"", USAGE)
    assert "lower-case" in install("../docusign", b"key", USAGE)
