"""What a process looks at again and again is found by an index, however much waits.

The looks are done on ten thousand rows of everything; PostgreSQL's own counters say which tables
were read from end to end, whatever driver asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import cast

import psycopg
import pytest

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.checkpoints import CheckpointPublisher
from control_plane.adapters.audit.sequencer import Sequencer
from control_plane.adapters.audit.signing import CheckpointSigner
from control_plane.adapters.db.engine import connect
from control_plane.adapters.db.unit_of_work import SqlUnitOfWork
from control_plane.adapters.dbos.claiming import Claims
from control_plane.adapters.dbos.liveness import Liveness
from control_plane.adapters.dbos.queue import DbosQueue
from control_plane.adapters.postgres import EmbeddedPostgres
from tests.databases import Database, drop_database, new_database

ROWS = 10_000
NOW = datetime.now(UTC)
pytestmark = pytest.mark.timeout(300)

# Nothing of it is due, ended long ago, or anybody's present work. Rows refer to rows that are not
# there: what is looked at is one table at a time.
FILL = """
    SET session_replication_role = replica;
    INSERT INTO timer SELECT 'bundle_expiry', 'bnd_' || n, now() + interval '1 day'
        FROM generate_series(1, 10000) n;
    INSERT INTO run (id, deployment_id, number, kind, status, spec_number, requested_by, requesters,
            requested_at, cancel_requested, states_written, turn, deaths, failures, is_working,
            updated_at, version)
        SELECT 'run_' || n, 'dep_' || n, 1, 'provision', 'applied', 1, 'somebody', '[]', now(),
            n % 2 = 0, '[]', 1, 0, 0, false, now(), 1 FROM generate_series(1, 10000) n;
    INSERT INTO engine_call (id, run_id, deployment_id, number, worker, host, begun_at,
            deadline_at, ended_at, outcome, version)
        SELECT 'call_' || n, 'run_' || n, 'dep_' || n, 1, 'one', 'host', now(), now(),
            now(), 'ended', 1 FROM generate_series(1, 10000) n;
    INSERT INTO idempotency_record (id, body_digest, response_headers, created_at, expires_at)
        SELECT 'key-' || n, 'digest', '{}', now(), now() + interval '1 day'
        FROM generate_series(1, 10000) n;
    INSERT INTO audit_tree (tenant_id, size, frontier)
        SELECT 'ten_' || lpad(n::text, 26, '0'), 1, decode(repeat('00', 32), 'hex')
        FROM generate_series(1, 10000) n;
    INSERT INTO audit_entry (tenant_id, idx, event_id, entry, leaf)
        SELECT tenant_id, 0, gen_random_uuid(), 'entry', frontier FROM audit_tree;
    INSERT INTO audit_checkpoint (tenant_id, size, note) SELECT tenant_id, 1, 'note'
        FROM audit_tree;
    INSERT INTO dbos.workflow_status (workflow_uuid, status, name, queue_name, queue_partition_key,
            authenticated_user, application_version, executor_id, started_at_epoch_ms)
        SELECT 'advance_run:run_' || n || ':1', 'SUCCESS', 'advance_run', 'runs', 'dep_' || n,
            'ten_' || n, '1', 'one', n FROM generate_series(1, 10000) n;
    ANALYZE;
"""


@pytest.fixture(scope="module")
def filled(postgres_server: EmbeddedPostgres, migrated_template: str) -> Iterator[Database]:
    """A database with ten thousand rows of everything that is looked at."""
    database = Database(
        server=postgres_server, name=new_database(postgres_server, template=migrated_template)
    )
    with psycopg.connect(database.admin, autocommit=True) as admin:
        admin.execute(FILL.encode())
    yield database
    drop_database(postgres_server, database.name)


def read_whole(database: Database, look: Callable[[], object]) -> set[str]:
    """Return the tables with many rows that were read from end to end by a look."""
    before = _scans(database)
    look()
    after = _scans(database)
    return {table for table in after if after[table] != before[table]}


def _scans(database: Database) -> dict[str, int]:
    """Return how often each table with many rows was read from end to end, by ended sessions."""
    query = """
        SELECT schemaname || '.' || relname, seq_scan FROM pg_stat_user_tables
        WHERE (SELECT reltuples FROM pg_class WHERE oid = relid) >= 10000
    """
    with psycopg.connect(database.admin) as admin:
        admin.execute("SELECT pg_stat_clear_snapshot()")
        return {str(table): int(scans) for table, scans in admin.execute(query)}


def with_rows(look: Callable[[SqlUnitOfWork], object]) -> Callable[[Database], None]:
    """Return a look in a transaction of the application's."""

    def looks(database: Database) -> None:
        engine = connect(database.app, name="look", connections=0)
        with SqlUnitOfWork(engine, queue=DbosQueue) as uow:
            look(uow)
            uow.commit()

    return looks


def with_claims(look: Callable[[Claims], object]) -> Callable[[Database], None]:
    """Return a look of a worker's at the queue."""
    return lambda database: (
        look(Claims(connect(database.app, name="look", connections=0), "one", globally=8)) and None
    )


def busy_workers(database: Database) -> None:
    """Be a worker that looks for dead ones."""
    with Liveness(database.app, "two") as liveness:
        assert liveness.busy_workers() == []


def with_sequencer(look: Callable[[Sequencer], object]) -> Callable[[Database], None]:
    """Return a look of the sequencer's."""

    def looks(database: Database) -> None:
        engine = connect(database.sequencer, name="look", connections=0)
        look(Sequencer(engine, clock=lambda: NOW))

    return looks


def with_publisher(look: Callable[[CheckpointPublisher], object]) -> Callable[[Database], None]:
    """Return a look of the signer's in which nothing is signed."""

    def looks(database: Database) -> None:
        engine = connect(database.sequencer, name="look", connections=0)
        nobody = cast("CheckpointSigner", None)
        look(CheckpointPublisher(engine, engine, nobody, host="localhost"))

    return looks


def freshness(database: Database) -> None:
    """Ask what every change asks first: whether the log is behind."""
    with connect(database.auditor, name="look", connections=0).connect() as connection:
        assert reading.freshness(connection).problem() is None


LOOKS: dict[str, Callable[[Database], None]] = {
    "timers": with_rows(lambda uow: uow.timers.claim(NOW, until=NOW, limit=20)),
    "stops": with_rows(lambda uow: uow.queries.calls_to_stop("one")),
    "ended phases": with_rows(lambda uow: uow.queue.forget(NOW - timedelta(days=7), limit=1000)),
    "answers": with_rows(lambda uow: uow.queries.forget_answers(NOW, limit=1000)),
    "place": with_rows(lambda uow: uow.queue.place("advance_run", "run_1", attempt=1)),
    "claim": with_claims(lambda claims: claims.claim()),
    "take back": with_claims(lambda claims: claims.take_back("nobody")),
    "busy workers": busy_workers,
    "pending events": with_sequencer(lambda sequencer: sequencer.sequence()),
    "held trees": with_publisher(lambda publisher: publisher.hold({}, release_others=True)),
    "old checkpoints": with_publisher(lambda publisher: publisher.thin()),
    "freshness": freshness,
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_reads_no_table_from_end_to_end(filled: Database, name: str) -> None:
    assert read_whole(filled, lambda: LOOKS[name](filled)) == set()


def test_the_counters_would_tell(filled: Database) -> None:
    def look() -> None:
        with psycopg.connect(filled.admin) as admin:
            admin.execute("SELECT count(note) FROM audit_checkpoint")

    assert read_whole(filled, look) == {"public.audit_checkpoint"}
