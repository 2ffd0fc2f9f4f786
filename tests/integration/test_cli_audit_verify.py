"""`tenantctl audit verify` against a real database, by slug and by id."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text

from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.audit.note import Checkpoint, VerifierKey, open_checkpoint
from control_plane.adapters.audit.report import EXIT_CODES
from control_plane.adapters.db.roles import AUDITOR
from control_plane.cli.app import invoke
from control_plane.cli.errors import DONE, FAILED, HIDDEN, REFUSED, UNAVAILABLE, USAGE
from control_plane.domain.ids import make_id
from control_plane.domain.tenant import Tenant
from tests.entities import Entities
from tests.integration.audit_world import ACME, World
from tests.storage import Storage


def _stored_tenant(storage: Storage) -> Tenant:
    tenant = Entities().tenant()
    with storage.unit_of_work() as uow:
        uow.tenants.add(tenant)
        uow.commit()
    return tenant


@pytest.fixture
def settings(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTPLANE_DATABASE_URL", storage.database.app)
    monkeypatch.setenv("TENANTPLANE_DATABASE_AUDITOR_URL", storage.database.auditor)


@pytest.mark.usefixtures("settings")
def test_a_slug_is_looked_up_and_its_tree_is_verified(
    storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    tenant = _stored_tenant(storage)
    for key in (tenant.slug, tenant.id):
        # the tenant was stored without an event, so what is found is that its log is missing
        assert invoke(["audit", "verify", key]) == 12
        out = capsys.readouterr().out
        assert f"localhost/audit/{tenant.id}: NOT OK" in out
        assert "GAP: the log does not exist" in out


@pytest.mark.usefixtures("settings")
def test_a_verification_stands_in_the_platforms_log_and_in_no_other(
    storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    tenant = _stored_tenant(storage)
    assert invoke(["audit", "verify", tenant.id, "platform"]) == 12
    (event,) = storage.events()  # a log that is missing is not made by looking for it
    assert (event.tree, event.action, event.stage) == ("platform", "log.verified", "failed")
    assert event.data == {
        "count": 2, "verdict": "GAP", "findings": 2, "logs": [tenant.id, "platform"]
    }  # fmt: skip
    assert event.body["actor"]["id"].startswith("local:")
    with storage.without_log():
        assert invoke(["audit", "verify", tenant.id]) == 12
    told = capsys.readouterr()
    assert "GAP: the log does not exist" in told.out
    assert "could not be recorded" in told.err


def test_the_auditors_login_alone_verifies_and_writes_nothing(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTPLANE_DATABASE_AUDITOR_URL", storage.database.auditor)
    assert invoke(["audit", "verify", _stored_tenant(storage).id]) == 12
    assert storage.events() == []


@pytest.mark.usefixtures("settings")
def test_a_slug_that_nobody_has_is_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["audit", "verify", "nobody-here"]) == 4
    assert capsys.readouterr().err.startswith("no tenant has the slug nobody-here\n")


@pytest.mark.usefixtures("settings")
def test_a_platform_without_a_log_is_found_when_all_are_verified(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert invoke(["audit", "verify"]) == 12
    out = capsys.readouterr().out
    assert "localhost/audit/platform: NOT OK" in out
    assert "GAP: the log does not exist" in out


def test_what_is_found_is_told_from_what_went_wrong() -> None:
    others = {DONE, FAILED, USAGE, REFUSED, HIDDEN, UNAVAILABLE}
    assert not others & set(EXIT_CODES.values())


@pytest.mark.usefixtures("settings")
def test_a_tenant_without_a_log_is_found_when_all_are_verified(
    storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    tenant = _stored_tenant(storage)
    with psycopg.connect(storage.database.admin) as connection:
        connection.execute("UPDATE tenant SET created_at = now() - interval '10 minutes'")
    assert invoke(["audit", "verify"]) == 12
    out = capsys.readouterr().out
    assert f"localhost/audit/{tenant.id}: NOT OK" in out
    assert "GAP: the log does not exist" in out


def test_a_host_that_is_not_set_is_not_called_tampering(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = world.database.url(AUDITOR).replace("postgresql+psycopg://", "postgresql://")
    monkeypatch.setenv("TENANTPLANE_DATABASE_AUDITOR_URL", url)
    world.record(3)
    world.settle()
    assert invoke(["audit", "verify", ACME]) == 0
    kept = world.notes()[-1]
    monkeypatch.setenv("TENANTPLANE_AUDIT_HOST", "audit.example")
    capsys.readouterr()
    assert invoke(["audit", "verify", ACME]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "these are logs of localhost, not of audit.example" in said.err
    assert "set TENANTPLANE_AUDIT_HOST=localhost" in said.err
    # one checkpoint among others that names another host is what somebody put there
    monkeypatch.setenv("TENANTPLANE_AUDIT_HOST", "localhost")
    world.record(1)
    world.settle()
    other = {"kept": kept, "note": kept.replace("localhost", "audit.example", 1)}
    change = text("UPDATE audit_checkpoint SET note = :note WHERE note = :kept")
    world.database.attack(lambda connection: connection.execute(change, other))
    assert invoke(["audit", "verify", ACME]) == 10


def test_the_key_is_printed_as_other_tools_take_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TENANTPLANE_HOME", str(tmp_path))
    assert invoke(["audit", "key"]) == 2
    assert "--public-key" in capsys.readouterr().err
    file = tmp_path / "from-the-vendor.pub"
    signer = KeyFileSigner.from_seed(bytes(32))
    file.write_bytes(signer.public_pem())
    assert invoke(["audit", "key", "--public-key", str(file)]) == 0
    vkey, _, pem = capsys.readouterr().out.partition("\n")
    assert pem.encode() == signer.public_pem()
    name, number, content = vkey.split("+", 2)
    assert name == "localhost/audit/platform"
    assert base64.b64decode(content) == b"\x01" + signer.public_key
    hashed = hashlib.sha256(name.encode() + b"\n\x01" + signer.public_key).hexdigest()
    assert number == hashed[:8]
    note = Checkpoint(origin=name, size=1, root=bytes(32)).signed(signer)
    assert open_checkpoint(note, [VerifierKey.parse(vkey)]).size == 1
    tenant = make_id("tenant", 1, bytes(10))
    assert invoke(["audit", "key", tenant, "--public-key", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["vkey"].startswith(f"localhost/audit/{tenant}+")
