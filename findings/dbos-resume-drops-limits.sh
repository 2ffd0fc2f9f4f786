#!/bin/sh
# DBOS Transact 3.4.0 (Python) with its SQLite system database.
#
# Surprise: `resume_workflow` on work that still waits in a queue does more than start it.
# 1. Without a queue name it moves the work to a queue of the library's own, so that the queue's
#    limits no longer hold: two jobs run at once where one is allowed.
# 2. With the name of its own queue it stays there, but its deduplication id is released: the same
#    id is accepted a second time while the first job has not even started.
# Nothing is reported in either case, and neither is in the method's docstring.
#
# What follows: resume always with the queue's name, and keep "one at a time per key" also in a
# constraint of one's own.
#
# Seen: 1: at most 2 at once on a queue of 1. 2: the duplicate is refused before and accepted after.

set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
if ! { python3 -m venv "$work/venv" &&
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check dbos==3.4.0; }; then
    echo "missing: Python 3.11 with venv, or the package dbos 3.4.0 cannot be installed." >&2
    exit 2
fi

cd "$work"
"$work/venv/bin/python" - <<'PY'
import sys
import threading

from dbos import DBOS, SetEnqueueOptions, error


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: expected {expected}")


DBOS(config={"name": "demo", "system_database_url": "sqlite:///demo.sqlite", "log_level": "ERROR"})
gate, started = threading.Event(), threading.Semaphore(0)


@DBOS.workflow()
def job(name):
    started.release()
    gate.wait(60)
    return name


def enqueue(name, key):
    with SetEnqueueOptions(deduplication_id=key):
        return DBOS.enqueue_workflow("narrow", job, name)


def where(handle):
    status = handle.get_status()
    return status.status, status.queue_name


DBOS.launch()
DBOS.register_queue("narrow", global_concurrency=1, polling_interval_sec=0.1)
first = enqueue("first", "tenant-1")
started.acquire(timeout=30)
second, third = enqueue("second", "tenant-2"), enqueue("third", "tenant-3")
check("the queue holds its limit of 1", started.acquire(timeout=2), False)

DBOS.resume_workflow(second.get_workflow_id())
check("1: the second starts beside the first", started.acquire(timeout=30), True)
check("1: first", where(first), ("PENDING", "narrow"))
check("1: second", where(second), ("PENDING", "_dbos_internal_queue"))

try:
    enqueue("a duplicate", "tenant-3")
    sys.exit("changed: a taken deduplication id is accepted")
except error.DBOSQueueDeduplicatedError:
    print("2: a duplicate of the third is refused")
DBOS.resume_workflow(third.get_workflow_id(), queue_name="narrow")
check("2: the third still waits", where(third), ("ENQUEUED", "narrow"))
duplicate = enqueue("a duplicate", "tenant-3")
check("2: its duplicate waits too", where(duplicate), ("ENQUEUED", "narrow"))

gate.set()
results = [handle.get_result() for handle in (first, second, third, duplicate)]
check("all of them ran", results, ["first", "second", "third", "a duplicate"])
DBOS.destroy()
print("as described")
PY
