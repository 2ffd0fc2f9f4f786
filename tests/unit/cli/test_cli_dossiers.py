"""Dossiers at a terminal: what is written, what is kept, what is refused."""

from __future__ import annotations

import zipfile

from control_plane.cli.errors import HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from tests.unit.cli.terminal import Terminal


def test_an_auditor_exports_a_log_to_a_file(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    out = tenantctl.folder / "a.zip"
    answer = tenantctl("audit", "export", slug, "--out", str(out), "--json", who=Role.AUDITOR)
    with zipfile.ZipFile(out) as archive:
        assert b"request.accepted" in archive.read("entries.ndjson")
    event = tenantctl.world.events()[-1]
    assert event.action == "log.exported"
    assert answer.json == {"file": str(out), "manifest_digest": event.data["digest"]}
    assert out.stat().st_mode & 0o077 == 0
    assert [path.name for path in tenantctl.folder.glob(".*.part")] == []


def test_one_file_of_it_is_written_alone(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    for wanted in ("ndjson", "csv", "html"):
        out = tenantctl.folder / f"a.{wanted}"
        bounds = ("--from", "2026-01-01", "--to", "2027-01-01T00:00:00")
        tenantctl("audit", "export", slug, "--out", str(out), "--format", wanted, *bounds,
                  who=Role.AUDITOR)  # fmt: skip
        assert b"request.accepted" in out.read_bytes()
    assert tenantctl.world.events()[-1].data["until"] == "2027-01-01T00:00:00.000000Z"


def test_a_file_that_exists_is_kept(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    out = tenantctl.folder / "a.zip"
    out.write_text("mine")
    export = ("audit", "export", slug, "--out")
    assert "exists" in tenantctl(*export, str(out), who=Role.AUDITOR, code=USAGE).err
    assert out.read_text() == "mine"
    nowhere = tenantctl.folder / "nowhere" / "a.zip"
    tenantctl(*export, str(nowhere), who=Role.AUDITOR, code=USAGE)


def test_who_may_not_read_the_log_gets_no_file(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    out = tenantctl.folder / "a.zip"
    answer = tenantctl(
        "audit", "export", slug, "--out", str(out), who=Role.OPS_APPROVER, code=HIDDEN
    )
    assert "auditor" in answer.err
    assert list(tenantctl.folder.glob("*a.zip*")) == []


def test_values_are_in_an_export_when_two_people_granted_them(tenantctl: Terminal) -> None:
    slug = tenantctl.submit("B")["tenant"]["slug"]
    why = ("--reason", "the yearly audit")
    grant = tenantctl(
        "audit", "grant", slug, "--path", "contacts", *why, "--json", who=Role.AUDITOR
    ).json["id"]
    out = tenantctl.folder / "a.zip"
    export = ("audit", "export", slug, "--out", str(out), "--grant", grant)
    waits = tenantctl(*export, who=Role.AUDITOR, code=REFUSED).err
    assert "waits for a second person" in waits
    tenantctl("audit", "confirm-grant", slug, grant, *why, who=Role.PLATFORM_ADMIN)
    tenantctl(*export, who=Role.AUDITOR)
    event = tenantctl.world.events()[-1]
    assert (event.action, event.data["grant"], event.data["values"]) == ("log.exported", grant, 0)
    out.unlink()
    foreign = ("audit", "export", "platform", "--out", str(out), "--grant", grant)
    refused = tenantctl(*foreign, who=Role.PLATFORM_AUDITOR, code=REFUSED).err
    assert "no grant for exports of this log" in refused
    tenantctl.world.clock.advance(days=8)
    assert "has expired" in tenantctl(*export, who=Role.AUDITOR, code=REFUSED).err
    assert list(tenantctl.folder.glob("*a.zip*")) == []
