"""A page is found by an index that holds its rows in the order of the page: no row more is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Self

import pytest
from sqlalchemy import Connection, event, text

from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.mapping import (
    APPROVAL,
    BUNDLE,
    FINDING,
    REQUEST,
    RUN,
    TENANT,
    Mapped,
)
from control_plane.adapters.db.queries import SqlQueries
from control_plane.adapters.db.repositories import Known, SqlRepository
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.bundle import BundleStatus
from control_plane.domain.run import RunStatus
from control_plane.domain.tenant import TenantStatus
from tests.storage import Storage

TENANTS = ("ten_1", "ten_2")
PAGES: list[tuple[Mapped[Any], dict[str, Any]]] = [
    (TENANT, {"status": TenantStatus.PENDING}),
    (TENANT, {"domain": "acme.example.com"}),
    (TENANT, {"drifted": True}),
    (REQUEST, {"tenant_id": "ten_1"}),
    (RUN, {"status": RunStatus.BLOCKED}),
    (RUN, {"tenant_id": "ten_1"}),
    (APPROVAL, {"status": ApprovalStatus.WAITING}),
    (APPROVAL, {"tenant_id": "ten_1"}),
    (BUNDLE, {"status": BundleStatus.BUILT}),
    (BUNDLE, {"tenant_id": "ten_1"}),
    (FINDING, {"tenant_id": "ten_1"}),
    (FINDING, {"tenant_id": "ten_1", "closed_at": None}),
]
OF_SEVERAL = [REQUEST, RUN, APPROVAL, BUNDLE]


@pytest.fixture
def connection(storage: Storage) -> Iterator[Connection]:
    """A connection that takes an index wherever there is one, however few the rows are."""
    engine = connect(storage.database.app, name="tests", connections=0)
    with engine.connect() as opened:
        opened.execute(text("SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"))
        yield opened


class Asked:
    """The nodes of the plan of what is asked on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.nodes: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        event.listen(self._connection, "before_cursor_execute", self._note)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self._connection, "before_cursor_execute", self._note)

    def _note(self, _: object, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
        found = cursor.fetchone()[0]
        self._walk((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])

    def _walk(self, node: dict[str, Any]) -> None:
        self.nodes.append(node)
        for each in node.get("Plans", ()):
            self._walk(each)

    def scans(self, table: str) -> list[dict[str, Any]]:
        return [node for node in self.nodes if node.get("Relation Name") == table]


def is_exact(scan: dict[str, Any]) -> bool:
    """Tell whether a scan reads what it looks for and nothing else."""
    return "Index Cond" in scan and "Filter" not in scan


@pytest.mark.parametrize("before", [None, "zzz"])
@pytest.mark.parametrize(
    ("mapped", "equals"),
    [pytest.param(*page, id="-".join((page[0].table.name, *page[1]))) for page in PAGES],
)
def test_a_page_of_a_filter_is_read_in_order(
    connection: Connection, mapped: Mapped[Any], equals: dict[str, Any], before: str | None
) -> None:
    with Asked(connection) as asked:
        SqlRepository(connection, mapped, Known()).page(limit=5, before=before, **equals)
    assert [is_exact(scan) for scan in asked.scans(mapped.table.name)] == [True]
    assert "Sort" not in {node["Node Type"] for node in asked.nodes}


@pytest.mark.parametrize("tenants", [TENANTS, (*TENANTS, None)])
@pytest.mark.parametrize("mapped", OF_SEVERAL, ids=lambda mapped: mapped.table.name)
def test_a_page_of_several_tenants_takes_the_newest_of_each(
    connection: Connection, mapped: Mapped[Any], tenants: tuple[str | None, ...]
) -> None:
    with Asked(connection) as asked:
        SqlRepository(connection, mapped, Known()).page(limit=5, tenant_id=tenants)
    scans = asked.scans(mapped.table.name)
    # one of those that belong to tenants, one of those that belong to none, and one for the rows
    assert len(scans) == (3 if None in tenants and mapped.table.c.tenant_id.nullable else 2)
    assert all(map(is_exact, scans))


def test_where_tenants_stand_is_one_step_down_an_index_each(connection: Connection) -> None:
    with Asked(connection) as asked:
        SqlQueries(connection).newest_of_tenants(TENANTS)
    assert [is_exact(scan) for table in ("run", "bundle") for scan in asked.scans(table)] == [
        True, True,
    ]  # fmt: skip
    assert "Sort" not in {node["Node Type"] for node in asked.nodes}


def test_the_newest_run_an_open_look_and_open_findings_of_a_tenant_are_found_by_an_index(
    connection: Connection,
) -> None:
    queries = SqlQueries(connection)
    asks: list[Callable[[], object]] = [
        lambda: queries.newest_run("dep_1"),
        lambda: queries.newest_runs(["dep_1", "dep_2"]),
        lambda: queries.open_look("dep_1"),
        lambda: queries.last_number("dep_1"),
        lambda: SqlRepository(connection, FINDING, Known()).count(
            tenant_id="ten_1", closed_at=None
        ),
    ]
    for ask in asks:
        with Asked(connection) as asked:
            ask()
        scans = [*asked.scans("run"), *asked.scans("finding")]
        assert scans
        assert all(map(is_exact, scans)), scans
