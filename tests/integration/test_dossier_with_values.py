"""Dossiers with granted values and with the log of logs, verified by a stranger."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from control_plane.adapters.audit.note import VerifierKey, tree_origin
from control_plane.adapters.audit.trail import SqlTrail
from control_plane.adapters.db.audit_tables import audit_checkpoint
from control_plane.domain.deployment import ROOT
from control_plane.domain.disclosure_errors import GrantNotValid
from tests.integration.audit_world import HOST, Database, World
from tests.integration.dossiers import VERIFY, verified
from tests.integration.test_dossier_mutations import files_of, packed, with_manifest
from tests.integration.test_personal_values_in_sql import EMAIL, OTHER, Desk, given
from tests.storage import Storage
from tests.unit.test_offline_verifier import cosigned, witness

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def desk(storage: Storage) -> Desk:
    return Desk(storage)


@pytest.fixture
def world(desk: Desk, tmp_path: Path) -> Iterator[World]:
    """The signer of the desk's database, with a root log."""
    database = Database(owner_url=desk.storage.database.owner)
    world = World(database, tmp_path, has_root=True)
    with desk.storage.unit_of_work() as uow:
        desk.recorded(uow, "log.started", "platform", data={"key_id": "00"})
        uow.commit()
    world.settle()
    yield world
    world.close()


def dossier(world: World, desk: Desk, grant: str | None = None, **bounds: Any) -> Path:
    """Write the dossier of the desk's log as the API does."""
    trail = SqlTrail(lambda: world.auditor, host=HOST, public_key=Path("none"))
    asked = {"since": None, "until": None, **bounds}
    made = trail.dossier(desk.tenant.id, now=datetime.now(UTC), grant=grant, **asked)
    path = world.journal_path.with_name("made.zip")
    with made.file:
        path.write_bytes(made.file.read())
    return path


def changed(path: Path, name: str, content: bytes) -> Path:
    """Change a file of a dossier, with a manifest that fits."""
    files = {**(files_of(path.read_bytes()) or {}), name: content}
    other = path.with_name("changed.zip")
    other.write_bytes(packed(with_manifest(files)))
    return other


def values_of(path: Path) -> dict[str, Any]:
    return dict(json.loads((files_of(path.read_bytes()) or {})["disclosures.json"]))


# --- granted values ----------------------------------------------------------------------------
def test_granted_values_open_their_commitments_and_are_on_the_page(
    world: World, desk: Desk
) -> None:
    grant = given(desk, desk.grant(paths=("contacts",)))
    assert values_of(dossier(world, desk)) == {"values": []}
    path = dossier(world, desk, grant)
    report = verified(path)
    assert (report["verdict"], report["facts"]["opened"]) == ("OK", 2), report["findings"]
    files = files_of(path.read_bytes()) or {}
    assert EMAIL in files["page.html"].decode()
    assert "as agreed" not in files["page.html"].decode()
    said = values_of(path)
    said["values"][0]["value"] = '"eva@example.com"'
    other = changed(path, "disclosures.json", VERIFY.encode(said).encode())
    report = verified(other)
    assert (report["verdict"], report["first_bad_index"]) == ("BADDISCLOSURE", 0)


def test_erased_values_are_shown_as_erased_and_name_their_event(world: World, desk: Desk) -> None:
    grant = given(desk, desk.grant(paths=("contacts",)))
    desk.confirm(desk.erasure())
    world.settle()
    path = dossier(world, desk, grant)
    report = verified(path)
    assert (report["verdict"], report["facts"]["opened"], report["facts"]["erased"]) == (
        "OK", 0, 2,
    ), report["findings"]  # fmt: skip
    page = (files_of(path.read_bytes()) or {})["page.html"].decode()
    assert EMAIL not in page
    assert page.count("<td>erased 20") == 2
    said = values_of(path)
    said["values"][1]["erasure_event"] = desk.event
    report = verified(changed(path, "disclosures.json", VERIFY.encode(said).encode()))
    assert report["verdict"] == "BADDISCLOSURE"


def test_the_database_gives_nothing_for_a_grant_that_is_not_valid(world: World, desk: Desk) -> None:
    asked = desk.grant()
    with desk.storage.unit_of_work() as uow:
        uow.grants.add(asked)
        uow.commit()
    past = {"requested_at": desk.now - timedelta(days=2), "expires_at": desk.now}
    for grant in (asked.id, "dsg_x", given(desk, desk.grant(**past), OTHER)):
        with pytest.raises(GrantNotValid):
            dossier(world, desk, grant)


# --- the range ---------------------------------------------------------------------------------
def test_lines_to_read_are_of_the_time_that_was_asked_for_on_both_sides(
    world: World, desk: Desk
) -> None:
    then = datetime.now(UTC)
    with desk.storage.unit_of_work() as uow:
        desk.recorded(uow, "hold.placed", data={"kind": "legal"}, targets=(("hold", "hld_1"),))
        uow.commit()
    world.settle()
    for bounds, wanted in (({"since": then}, [1]), ({"until": then}, [0]), ({}, [0, 1])):
        path = dossier(world, desk, **bounds)
        assert verified(path)["verdict"] == "OK"
        files = files_of(path.read_bytes()) or {}
        lines = files["entries.ndjson"].splitlines()
        assert [json.loads(line)["idx"] for line in lines] == wanted
        assert files["entries.csv"].count(b"\r\n") == len(wanted) + 1
        page = files["page.html"].decode()
        assert ("hold.placed" in page) is (1 in wanted)
        assert ("request.accepted" in page) is (0 in wanted)
        assert files["log/tile/entries/000.p/2"]  # the log is there from its start
    short = dossier(world, desk, since=then)
    assert verified(short, "--from", "2020-01-01")["verdict"] == "PARTIAL"
    assert verified(short, "--to", "2999-01-01")["verdict"] == "PARTIAL"
    assert verified(dossier(world, desk), "--from", "2020-01-01")["verdict"] == "OK"
    without = changed(dossier(world, desk), "entries.ndjson", lines[0] + b"\n")
    assert verified(without)["verdict"] == "PARTIAL"


# --- the log of logs ---------------------------------------------------------------------------
def own_policy(world: World, desk: Desk, more: str = "quorum none\n") -> str:
    path = world.journal_path.with_name("mine.policy")
    key = VerifierKey(name=tree_origin(HOST, desk.tenant.id), public_key=world.key.public_key)
    path.write_text(f"log {key}\n{more}")
    return str(path)


def test_the_head_of_a_log_is_proved_in_the_log_of_logs(world: World, desk: Desk) -> None:
    path = dossier(world, desk)
    files = files_of(path.read_bytes()) or {}
    found = json.loads(files["root.json"])
    assert verified(path, "--policy", own_policy(world, desk))["verdict"] == "OK"
    entry = found["entry"]
    body = json.loads(entry.split("\n")[1])
    assert (body["tree"], body["size"]) == (desk.tenant.id, 1)
    for name, value in (
        ("checkpoint", found["checkpoint"].replace("\n2\n", "\n3\n")),
        ("entry", entry.replace(desk.tenant.id, "ten_other")),
        ("entry", entry.replace('"size":1', '"size":2')),
        ("idx", found["idx"] ^ 1),
        ("proof", [*found["proof"], base64.b64encode(bytes(32)).decode()]),
        ("checkpoint", files["log/checkpoint"].decode()),
    ):
        other = changed(path, "root.json", VERIFY.encode({**found, name: value}).encode())
        report = verified(other)
        assert report["verdict"] == "BADSIG", (name, report["findings"])
        assert "root.json" in report["findings"][0]["why"]


def test_witnesses_of_the_log_of_logs_vouch_for_each_log(world: World, desk: Desk) -> None:
    (one, key_one), (two, _) = map(witness, ("w.one", "w.two"))
    witnesses = f"witness one {one}\nwitness two {two}\n"
    any_of = own_policy(world, desk, f"{witnesses}group some any one two\nquorum some\n")
    report = verified(dossier(world, desk), "--policy", any_of)
    assert (report["verdict"], report["exit_code"]) == ("UNWITNESSED", 13)
    found = (files_of(dossier(world, desk).read_bytes()) or {})["root.json"]
    line = cosigned(json.loads(found)["checkpoint"], one, key_one).splitlines()[-1]
    seen = {"name": "w.one", "key_id": "00", "time": 1, "line": line}
    world.database.attack(
        lambda connection: connection.execute(
            update(audit_checkpoint)
            .where(audit_checkpoint.c.tenant_id == ROOT)
            .values(cosigs=[seen], quorum_at=datetime.now(UTC))
        )
    )
    report = verified(dossier(world, desk), "--policy", any_of)
    assert report["verdict"] == "OK", report["findings"]
    assert report["facts"]["quorum"] == "some, which saw 1 of 1 entries"
    both = own_policy(world, desk, f"{witnesses}group every all one two\nquorum every\n")
    assert verified(dossier(world, desk), "--policy", both)["verdict"] == "UNWITNESSED"
