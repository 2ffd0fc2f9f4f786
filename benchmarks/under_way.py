"""What an installation has not done yet, so that who measures something else can wait for it."""

from __future__ import annotations

import time
from collections import Counter
from typing import Final

import psycopg

from benchmarks.site import Site
from control_plane.domain.timers import TimerKind

_DONE_WITHIN: Final = 600.0  # seconds
_LOOK_SECONDS: Final = 0.5
# Timers of retention do not count: they fall due again and again, whatever happens.
_OF_WORKER: Final = f"""
    SELECT 'phases', count(*) FROM dbos.workflow_status WHERE status IN ('ENQUEUED', 'PENDING')
    UNION ALL
    SELECT 'timers', count(*) FROM timer
        WHERE kind <> '{TimerKind.RETENTION}' AND due_at < now() + make_interval(secs => %s)
"""  # noqa: S608 - made of a constant
_OF_SIGNER: Final = """
    SELECT 'events', count(*) FROM audit_pending
    UNION ALL
    SELECT 'heads', count(*) FROM audit_tree WHERE unsigned_since IS NOT NULL
"""
_STARTED: Final = "SELECT count(started_at_epoch_ms) FROM dbos.workflow_status"
_RECORDED: Final = "SELECT coalesce(sum(size), 0) FROM audit_tree"


def under_way(site: Site, *, timers_within: float) -> Counter[str]:
    """Count phases that wait or run, timers that are due within so many seconds, events without
    a place in the log, and heads without a signature.
    """
    counts: Counter[str] = Counter()
    with psycopg.connect(site.database_url) as connection:
        counts.update(dict(connection.execute(_OF_WORKER, [timers_within]).fetchall()))
    with psycopg.connect(site.database_url_of("SEQUENCER")) as connection:
        counts.update(dict(connection.execute(_OF_SIGNER).fetchall()))
    return +counts


def wait_until_idle(site: Site, *, timers_within: float = 0.0) -> str:
    """Wait until nothing is under way; returns how long, and for how much at a time, in words."""
    started, most = time.monotonic(), Counter[str]()
    while found := under_way(site, timers_within=timers_within):
        most |= found
        if time.monotonic() - started > _DONE_WITHIN:
            raise SystemExit(f"still under way: {_in_words(found)}")
        time.sleep(_LOOK_SECONDS)
    return f"{time.monotonic() - started:.0f} s for up to {_in_words(most) or 'nothing'}"


def done_so_far(site: Site) -> tuple[int, int]:
    """Return how many phases were started and how many events have their place."""
    with psycopg.connect(site.database_url) as connection:
        (phases,) = connection.execute(_STARTED).fetchall()
    with psycopg.connect(site.database_url_of("SEQUENCER")) as connection:
        (events,) = connection.execute(_RECORDED).fetchall()
    return int(phases[0]), int(events[0])


def _in_words(counts: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
