"""Hearing of a run's new lines on a real PostgreSQL, also after the connection was cut."""

from __future__ import annotations

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest

from control_plane.adapters.db.listening import RUN_EVENTS
from tests.databases import Database

SOURCE: Final = Path(__file__).resolve().parents[2]
SECONDS: Final = 60.0  # for what should take one or two
pytestmark = pytest.mark.slow
# a process of its own, since a listener lives as long as its process does
LISTENER: Final = """
import sys
from control_plane.adapters.db.listening import RunNews
news = RunNews(sys.argv[1])
ends = {name: news.subscribe(name, lambda name=name: print(name, flush=True)) for name in "ab"}
for line in sys.stdin:
    ends[line.strip()]()
    print("ended", flush=True)
"""


class Listener:
    """A process that has subscribed to the runs ``a`` and ``b``, and prints what it is told."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heard: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-c", LISTENER, database.app], cwd=SOURCE, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.startswith(("{", "20")):  # its own log
                self._heard.put(line.strip())

    def hears(self) -> str:
        return self._heard.get(timeout=SECONDS)

    def heard_nothing_else(self) -> bool:
        return self._heard.empty()

    def end(self, run_id: str) -> None:
        """End a subscription."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{run_id}\n")
        self.process.stdin.flush()
        assert self.hears() == "ended"

    def tell(self, *run_ids: str) -> None:
        """Tell as the trigger of new lines does."""
        with psycopg.connect(self._database.admin, autocommit=True) as admin:
            for run_id in run_ids:
                admin.execute("SELECT pg_notify(%s, %s)", [RUN_EVENTS, run_id])

    def cut(self) -> None:
        """End its connection, as a fail-over of the database does."""
        with psycopg.connect(self._database.admin, autocommit=True) as admin:
            ended = admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE application_name = 'tenantplane news' AND datname = current_database()"
            ).fetchall()
        assert ended == [(True,)]

    def connections(self) -> int:
        with psycopg.connect(self._database.admin) as admin:
            return len(
                admin.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name = 'tenantplane news'"
                ).fetchall()
            )


@pytest.fixture
def listener(database: Database) -> Iterator[Listener]:
    """A listener that is connected."""
    found = Listener(database)
    try:
        assert {found.hears(), found.hears()} == {"a", "b"}  # at first everybody looks
        yield found
    finally:
        found.process.kill()
        found.process.communicate()


def test_who_subscribed_to_a_run_hears_of_it_alone(listener: Listener) -> None:
    listener.tell("b", "unknown", "a", "b")
    assert [listener.hears() for _ in range(3)] == ["b", "a", "b"]
    assert listener.connections() == 1  # however many subscribe


def test_who_ended_a_subscription_hears_nothing_more(listener: Listener) -> None:
    listener.end("a")
    listener.tell("a", "b")
    assert listener.hears() == "b"
    assert listener.heard_nothing_else()


def test_after_a_cut_everybody_looks_and_hears_again(listener: Listener) -> None:
    listener.cut()
    listener.tell("a")  # nobody hears it
    assert {listener.hears(), listener.hears()} == {"a", "b"}  # so everybody looks afterwards
    deadline = time.monotonic() + SECONDS
    while listener.connections() != 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    listener.tell("b")
    assert listener.hears() == "b"
