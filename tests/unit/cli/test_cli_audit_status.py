"""How far the logs are, and those that were set aside, at a terminal; the next signing key."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control_plane.adapters.audit.keys import create_key_file, load_public_key
from control_plane.adapters.audit.note import VerifierKey
from control_plane.cli.app import invoke
from control_plane.cli.errors import DONE, HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from control_plane.ports.stores import Exposure
from tests.unit.cli.terminal import Terminal

AUDITOR, PLATFORM, ADMIN = Role.AUDITOR, Role.PLATFORM_AUDITOR, Role.PLATFORM_ADMIN
CLOCK = Exposure(
    size=40, newest=42, witnessed_at=datetime(2026, 5, 1, 12, tzinfo=UTC),
    age=timedelta(minutes=50), exposed=timedelta(minutes=21),
)  # fmt: skip


def test_without_a_policy_the_status_says_which_setting_names_one(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    shown = tenantctl("audit", "status", who=PLATFORM).out
    assert "no quorum of witnesses is asked for: set TENANTPLANE_WITNESS_POLICY" in shown
    assert "no witness is asked" in shown
    assert re.search(r"^ten_\w+ +[1-9]", shown, re.MULTILINE)
    assert re.search(r"^platform +[1-9]", shown, re.MULTILINE)
    own = tenantctl("audit", "status", slug, "--json", who=AUDITOR).json
    assert own["tree"].startswith("ten_")
    assert own["size"] > 0
    tenantctl("audit", "status", who=AUDITOR, code=HIDDEN)
    tenantctl("audit", "status", "platform", who=AUDITOR, code=HIDDEN)
    assert tenantctl("audit", "status", "platform", who=PLATFORM).out


def test_the_exposure_clock_is_shown_with_its_warning(tenantctl: Terminal) -> None:
    tenantctl.submit("B")
    limit, hour = timedelta(minutes=15), timedelta(hours=1)
    tenantctl.world.trail.clock = CLOCK.judged(limit, refresh=hour)
    shown = " ".join(tenantctl("audit", "status", who=PLATFORM).out.split())
    assert "warning: signed heads have waited 21 minutes for the quorum of witnesses" in shown
    assert "the quorum has seen 40 of 42 entries of the root log, 50 min ago" in shown
    assert "exposed for 21 min" in shown
    found = tenantctl("audit", "status", "--json", who=PLATFORM).json
    assert found["clock"] == {
        "size": 40, "newest": 42, "witnessed_at": "2026-05-01T12:00:00.000000Z",
        "age_seconds": 3000, "exposed_seconds": 1260,
        "problem": "signed heads have waited 21 minutes for the quorum of witnesses",
    }  # fmt: skip
    assert {row["tree"] for row in found["trees"]} >= {"platform"}


def test_logs_are_listed_page_by_page(tenantctl: Terminal) -> None:
    tenantctl.submit("B", 1)
    tenantctl.submit("B", 2)
    first = tenantctl("audit", "status", "--limit", "1", "--json", who=PLATFORM).json
    again = tenantctl("audit", "status", "--limit", "1", who=PLATFORM).out
    assert f"more: --after {first['next_page_token']}" in again
    rest = tenantctl("audit", "status", "--after", first["next_page_token"], "--json",
                     who=PLATFORM).json  # fmt: skip
    names = [row["tree"] for row in [*first["trees"], *rest["trees"]]]
    assert names == sorted(set(names))
    assert len(names) == 3


def test_a_log_that_was_set_aside_is_listed_and_released_when_it_is_in_order(
    tenantctl: Terminal,
) -> None:
    tenant = tenantctl.submit("B")["tenant"]
    assert tenantctl("audit", "quarantine", "list", who=ADMIN).out == "no log was set aside\n"
    release = ("audit", "quarantine", "release", tenant["slug"], "--reason", "restored")
    tenantctl(*release, who=ADMIN, code=HIDDEN)  # there is nothing to release
    tenantctl.world.storage.set_aside(tenant["id"], ended=False)
    (found,) = tenantctl("audit", "quarantine", "list", "--json", who=PLATFORM).json
    assert (found["tree"], found["why"]) == (tenant["id"], "row and entries differ")
    assert "still set aside" in tenantctl(*release, who=ADMIN, code=REFUSED).err
    tenantctl.world.storage.in_order(tenant["id"])
    tenantctl(*release, who=PLATFORM, code=HIDDEN)
    assert tenantctl(*release, "--json", who=ADMIN).json["released_by"]
    (after,) = tenantctl("audit", "quarantine", "list", tenant["slug"], "--json", who=ADMIN).json
    assert after["released_at"] is not None


def test_the_next_key_is_made_once_and_shown_for_the_witnesses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TENANTPLANE_HOME", str(tmp_path))
    (tmp_path / "keys").mkdir()
    assert invoke(["audit", "rotate-key"]) == USAGE
    assert "there is no key file audit.key" in capsys.readouterr().err
    create_key_file(tmp_path / "keys" / "audit.key")
    assert invoke(["audit", "rotate-key", "--json"]) == DONE
    shown = json.loads(capsys.readouterr().out)
    key = VerifierKey.parse(shown["vkey"])
    assert key.name == "localhost/audit/root"
    assert load_public_key(Path(shown["file"])) == key.public_key
    assert invoke(["audit", "rotate-key", "--compromised"]) == USAGE
    assert "waits already" in capsys.readouterr().err
