"""`tenantctl audit verify` against a real database, by slug and by id."""

from __future__ import annotations

import pytest

from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.unit_of_work import SqlUnitOfWork
from control_plane.adapters.memory import MemoryStore, MemoryUnitOfWork
from control_plane.cli.app import invoke
from control_plane.domain.tenant import Tenant
from tests.databases import Database
from tests.entities import Entities


def _stored_tenant(database: Database) -> Tenant:
    tenant = Entities().tenant()
    engine = connect(database.app, name="tests", connections=1)
    with SqlUnitOfWork(engine, queue=lambda _: MemoryUnitOfWork(MemoryStore()).queue) as uow:
        uow.tenants.add(tenant)
        uow.commit()
    engine.dispose()
    return tenant


@pytest.fixture
def settings(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTPLANE_DATABASE_URL", database.app)
    monkeypatch.setenv("TENANTPLANE_DATABASE_AUDITOR_URL", database.auditor)


@pytest.mark.usefixtures("settings")
def test_a_slug_is_looked_up_and_its_tree_is_verified(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    tenant = _stored_tenant(database)
    for key in (tenant.slug, tenant.id):
        # the tenant was stored without an event, so what is found is that its log is missing
        assert invoke(["audit", "verify", key]) == 5
        out = capsys.readouterr().out
        assert f"localhost/audit/{tenant.id}: NOT OK" in out
        assert "GAP: there is no such log" in out


@pytest.mark.usefixtures("settings", "database")
def test_a_slug_that_nobody_has_is_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["audit", "verify", "nobody-here"]) == 4
    assert capsys.readouterr().err.startswith("no tenant has the slug nobody-here\n")


@pytest.mark.usefixtures("settings", "database")
def test_no_log_at_all_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["audit", "verify"]) == 0
    assert "There is no log to verify." in capsys.readouterr().out
