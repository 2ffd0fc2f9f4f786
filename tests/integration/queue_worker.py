"""A worker process for the tests of the queue: phases that write down when they run.

``python -m tests.integration.queue_worker URL NAME LOG GLOBALLY`` says ``ready`` and works until
it is killed. What a phase does is in its subject: ``<seconds>-<anything>`` sleeps,
``hold-<anything>`` waits for the file ``LOG.go``.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path

from control_plane.adapters.dbos.executor import Executor
from control_plane.adapters.dbos.liveness import Liveness
from control_plane.domain.errors import Unavailable
from control_plane.workflows import PHASES

SWEEP_SECONDS = 0.2
GRACE_SECONDS = 1.0  # long enough to be seen, short enough to wait for
AT_A_TIME = 4
ALREADY_RUNS = 3  # exit code


def write_down(log: Path, what: str, phase: str, subject: str) -> None:
    """Append one line that survives whatever happens next; the clock is the machine's."""
    line = f"{what} {phase} {subject} {os.getpid()} {time.monotonic()}\n"
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.fsync(descriptor)
    os.close(descriptor)


def do(log: Path, phase: str, subject: str) -> None:
    """Be a phase."""
    write_down(log, "start", phase, subject)
    how = subject.partition("-")[0]
    if how == "hold":
        while not log.with_suffix(".go").exists():
            time.sleep(0.02)
    else:
        time.sleep(float(how))
    write_down(log, "end", phase, subject)


def main(url: str, name: str, log: Path, globally: int) -> int:
    """Work until killed."""
    try:
        liveness = Liveness(url, name).__enter__()
    except Unavailable as error:
        sys.stderr.write(f"{error.message}\n")
        return ALREADY_RUNS
    executor = Executor(
        url,
        liveness=liveness,
        phases={phase: partial(do, log, phase) for phase in PHASES},
        at_a_time=AT_A_TIME,
        globally=globally,
        grace_seconds=GRACE_SECONDS,
        rest_seconds=3600.0,  # whatever it does at rest it was told of
    )
    executor.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        time.sleep(SWEEP_SECONDS)
        if liveness.is_held() or liveness.take():
            executor.requeue_orphans()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4])))
