"""The audit log: how fast it takes events, signs them, and is exported and verified.

Events are recorded as the application does, each with a decision in it; the installation's own
signer sequences and signs them meanwhile.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, create_engine, text

from benchmarks.figures import Figure
from benchmarks.site import Site
from control_plane.adapters.audit import reading
from control_plane.adapters.audit.recorder import SqlAuditLog
from control_plane.adapters.audit.trail import SqlTrail
from control_plane.adapters.db.engine import driver_url
from control_plane.bootstrap import read_settings
from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.audit import AuditEvent, Stage
from control_plane.domain.canonical import digest
from control_plane.domain.ids import make_id

_TREES: Final = 64
_AT_ONCE: Final = 500  # events of a transaction
_SMALL: Final = 2000  # trees with one event each
_VERIFIER: Final = Path(reading.__file__).parent / "offline" / "audit-verify.py"
# a process of its own between: the memory of a child counts from that of its parent
_WATCHING: Final = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""
_PEOPLE: Final = [Actor(id=f"u-{n}", kind=ActorKind.USER, roles=(Role.OPS_APPROVER,))
                  for n in range(20)]  # fmt: skip


def measure(site: Site, *, events: int) -> list[Figure]:
    """Fill many logs, then one with ``events``, and export and verify that one."""
    app = create_engine(driver_url(site.database_url))
    auditor = create_engine(driver_url(site.database_url_of("AUDITOR")))
    try:
        return [
            *_taken(app, auditor, events),
            *_exported(app, auditor, events),
        ]
    finally:
        app.dispose()
        auditor.dispose()


def _taken(app: Engine, auditor: Engine, events: int) -> list[Figure]:
    """Measure from the recording of events to the signature of the last."""
    trees = [_new("tenant") for _ in range(_TREES)]
    many = _timed(lambda: _filled(app, auditor, trees, events // _TREES + 1))
    count = _TREES * (events // _TREES + 1)
    small = _timed(lambda: _filled(app, auditor, [_new("tenant") for _ in range(_SMALL)], 1))
    waited = sorted(_timed(lambda: _filled(app, auditor, [_new("tenant")], 1)) for _ in range(50))
    return [
        Figure(
            name=f"durable events over {_TREES} trees, signed", value=count / many, unit="/s",
            target=3000, at_least=True, detail=f"{count} events, recorded in one session",
        ),
        Figure(
            name="trees with one event each, signed", value=_SMALL / small, unit="/s",
            target=2000, at_least=True, detail=f"{_SMALL} trees",
        ),
        Figure(
            name="from the event to its checkpoint, p98", value=waited[-2], unit="s", target=1.0,
            detail=f"median {waited[len(waited) // 2]:.2f} s, {len(waited)} samples",
        ),
    ]  # fmt: skip


def _exported(app: Engine, auditor: Engine, events: int) -> list[Figure]:
    """Measure the dossier of one log, and its verifier."""
    tree = _new("tenant")
    _filled(app, auditor, [tree], events)
    host = read_settings().audit_host
    trail = SqlTrail(lambda: auditor, host=host, public_key=Path("none"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "dossier.zip"
        cpu, started = time.process_time(), time.perf_counter()
        made = trail.dossier(tree, now=datetime.now(UTC), since=None, until=None)
        with made.file, path.open("wb") as file:
            while block := made.file.read(1 << 20):
                file.write(block)
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        hashes, _ = _verified(path, "--controls", "none")
        everything, memory = _verified(path)
    scale = events / 1_000_000
    return [
        Figure(
            name=f"dossier of {events} events", value=seconds, unit="s",
            target=events / 10_000, detail=f"{cpu:.1f} s of processor time",
        ),
        Figure(
            name=f"verifier, checks 1 to 5 of {events} events", value=hashes, unit="s",
            target=max(5 * scale, 0.5), detail="processor time; 5 s for a million",
        ),
        Figure(
            name=f"verifier, all checks of {events} events", value=everything, unit="s",
            target=max(60 * scale, 0.5), detail="processor time; 60 s for a million",
        ),
        Figure(name="verifier, memory", value=memory, unit="MB", target=500),
    ]  # fmt: skip


def _verified(path: Path, *arguments: str) -> tuple[float, float]:
    """Run the verifier alone; returns its processor time and the most memory it had, in MB."""
    command = [sys.executable, "-I", str(_VERIFIER), str(path), *arguments]
    ended = subprocess.run(
        [sys.executable, "-I", "-c", _WATCHING, *command], capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if ended.returncode != 0:
        raise SystemExit(f"the dossier does not verify: exit {ended.returncode}")
    seconds, kilobytes = ended.stdout.split()
    return float(seconds), float(kilobytes) / 1024


def _filled(app: Engine, auditor: Engine, trees: Sequence[str], each: int) -> None:
    """Record ``each`` events in every tree, and wait until all of them are signed."""
    wanted = [tree for _ in range(each) for tree in trees]
    for start in range(0, len(wanted), _AT_ONCE):
        with app.begin() as connection:
            log = SqlAuditLog(connection)
            for number, tree in enumerate(wanted[start : start + _AT_ONCE], start):
                log.keep(_event(number, tree))
            log.write()
    while not _are_signed(auditor, trees, each):
        time.sleep(0.02)


def _are_signed(auditor: Engine, trees: Sequence[str], size: int) -> bool:
    with auditor.connect() as connection:
        # named in the query: the policy of rows would read the list again for each row
        reading.limit_to(connection, reading.ALL_TREES)
        found = connection.execute(
            text(
                "SELECT count(*) FROM unnest(CAST(:trees AS text[])) AS given(tree)"
                " JOIN audit_checkpoint ON tenant_id = tree AND size = :size"
            ),
            {"trees": list(trees), "size": size},
        ).scalar_one()
    return bool(found == len(trees))


def _event(number: int, tree: str) -> AuditEvent:
    person, facts = _PEOPLE[number % len(_PEOPLE)], {"plan_digest": digest(number)}
    data: dict[str, Any] = {**facts, "approvals": 1}
    return AuditEvent(
        id=_new("event"), tree=tree, action="decision.given", stage=Stage.COMPLETED,
        time=datetime.now(UTC), actor=person, targets=(("approval", f"apr_{number}"),),
        run=make_id("run", 1_800_000_000_000 + number // 10, bytes(10)),
        approval={**facts, "approver": person.id}, data=data,
    )  # fmt: skip


def _new(kind: str) -> str:
    return make_id(kind, time.time_ns() // 1_000_000, secrets.token_bytes(10))


def _timed(do: Callable[[], None]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started
