"""The sequencer and signer as a process of its own, with its own key and database role.

``run_signer`` is the whole life of that process: it starts, ticks until it is asked to stop, and
returns an exit code. It ends on SIGTERM, SIGINT and when its parent is gone. It waits for a
database that is unavailable; the API refuses all changes meanwhile (``reading.freshness``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from control_plane.adapters.audit import addcheckpoint
from control_plane.adapters.audit.checkpoints import (
    THINNED_AT_ONCE,
    CheckpointPublisher,
    ReadBackFailed,
)
from control_plane.adapters.audit.keys import (
    KeyFileUnusable,
    load_key_file,
    load_public_keys,
    public_key_path,
)
from control_plane.adapters.audit.note import tree_origin
from control_plane.adapters.audit.quarantine import HeldTrees
from control_plane.adapters.audit.rootlog import RootLog
from control_plane.adapters.audit.rootstep import RootStep
from control_plane.adapters.audit.rotation import Rotation, finish_swap, waiting_rotation
from control_plane.adapters.audit.sequencer import (
    Growth,
    Sequencer,
    TreeDamaged,
    TreeMoved,
    joined,
)
from control_plane.adapters.audit.signer_events import SignerEvents
from control_plane.adapters.audit.signing import CheckpointSigner, JournalUnusable, SigningJournal
from control_plane.adapters.audit.trustpolicy import TrustPolicy
from control_plane.adapters.audit.witnessing import Witnessing, WitnessLoop
from control_plane.adapters.db.engine import connect
from control_plane.adapters.ending import EndRequest
from control_plane.adapters.http_guard import GuardedHttp
from control_plane.domain.deployment import PLATFORM, ROOT
from control_plane.logging import get_logger

EXIT_STOPPED: Final = 0
EXIT_UNUSABLE: Final = 1
_THIN_SECONDS: Final = 3600.0  # a checkpoint of each hour is kept
# times its processor time: many events at once cost less than few, and a machine that is busy with
# something else lets no event wait
_PAUSE_PER_TICK: Final = 8.0
_MANY: Final = 250  # events of a tick that more at once would make hardly cheaper
_SEQUENCE_SECONDS: Final = 0.4  # then comes a signature, whatever waits: nobody waits for long
_REFUSED: Final = "signing_refused"
_DAMAGED: Final = "row and entries differ"
_log = get_logger("control_plane.audit.signer")


@dataclass(frozen=True, kw_only=True)
class SignerConfig:
    """What the process needs. Intervals are in seconds.

    ``database_url`` is the libpq URL of the role ``tenantplane_sequencer``; it may hold a
    password and never appears in a log. ``parent_pid`` is the process whose end ends this one.
    """

    database_url: str = field(repr=False)
    key_path: Path
    journal_path: Path
    host: str
    parent_pid: int | None = None
    busy_interval: float = 0.1  # longer where ticks with few events would take much of a core
    idle_interval: float = 0.5
    stay_busy: float = 3.0  # events come in bursts: look often for a while after one
    sweep_interval: float = 30.0  # how often all trees are looked at, not only those that grew
    root_interval: float = 1.0  # how often heads go into the root log
    policy: TrustPolicy | None = None  # witnesses that the root log's heads are shown to
    witness_interval: float = 5.0  # how often, while it grows
    witnesses_on_loopback: bool = False


@dataclass(frozen=True, kw_only=True)
class TickReport:
    """What one tick did.

    ``has_more`` says that more events may wait than it had time for; ``refused`` are trees that
    get no signature, with the reason; ``error`` is the code of what is wrong, None when nothing is.
    """

    sequenced: int = 0
    has_more: bool = False
    trees: int = 0
    signed: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    cpu_seconds: float = 0.0

    @property
    def is_working(self) -> bool:
        """Whether it read and wrote the database; a tree that is refused stops no other."""
        return self.error in {None, _REFUSED}


class SignerLoop:
    """One tick after the other; each is reported to ``on_tick``."""

    def __init__(
        self,
        sequencer: Sequencer,
        publisher: CheckpointPublisher,
        *,
        sweep_interval: float,
        root: RootLog | None = None,
        root_interval: float = 0.0,
        on_tick: Callable[[TickReport], None] | None = None,
        findings: HeldTrees | None = None,
    ) -> None:
        self._findings = findings
        self._root = None if root is None else RootStep(root, publisher, interval=root_interval)
        self._sequencer = sequencer
        self._publisher = publisher
        self._sweep_interval = sweep_interval
        self._swept_at: float | None = None
        self._unsigned: set[str] = set()  # grew, and got no checkpoint yet
        self._thin_at = 0.0
        self._refused: dict[str, str] = {}  # by origin
        self._held: dict[str, str] = {}  # by tree, as the database was told
        self._on_tick = on_tick

    def tick(self, *, is_last: bool = False) -> TickReport:
        """Sequence a batch, sign what grew, read both back. Raises nothing but bugs.

        What the root log lacks is added now and then, and by the last tick in any case.
        """
        started = time.monotonic()
        try:
            report = self._tick(started, is_last=is_last)
        except TreeMoved:
            report = TickReport(error="tree_moved")
        except ReadBackFailed as exc:
            report = TickReport(error="read_back_failed", refused={str(exc): "not as written"})
        except SQLAlchemyError as exc:
            # the text of a driver's error may name hosts and users: its class is enough
            report = TickReport(error=f"database_{type(exc).__name__.lower()}")
        if self._on_tick is not None:
            self._on_tick(report)
        return report

    def _tick(self, started: float, *, is_last: bool) -> TickReport:
        cpu = time.thread_time()
        is_sweep = self._swept_at is None or started - self._swept_at >= self._sweep_interval
        if is_sweep:
            self._sequencer.retry_damaged()
        growth, has_more = self._sequence_all(started)
        notes: Mapping[str, str] = {}
        if self._unsigned or is_sweep:
            signed = self._publisher.sign(None if is_sweep else sorted(self._unsigned))
            notes = signed.notes
            if is_sweep:
                self._swept_at = started
                self._refused.clear()
            self._refused |= {item.origin: item.why for item in signed.refused}
            self._unsigned.clear()  # what was refused is tried again by the next sweep
        self._publisher.read_back(growth, notes)
        damaged = dict.fromkeys(self._sequencer.damaged, _DAMAGED)
        if self._root is not None:
            damaged |= self._root.take(notes, is_sweep=is_sweep, is_last=is_last)
        refused = self._refused | damaged
        of_trees = {origin.rpartition("/")[2]: why for origin, why in self._refused.items()}
        if of_trees | damaged != self._held or is_sweep:
            self._held = of_trees | damaged
            self._publisher.hold(self._held, release_others=is_sweep)
            if self._findings is not None:
                self._findings.note(self._held, is_sweep=is_sweep)
        if is_sweep and started >= self._thin_at and self._publisher.thin() < THINNED_AT_ONCE:
            self._thin_at = started + _THIN_SECONDS
        return TickReport(
            sequenced=_events(growth),
            has_more=has_more,
            trees=len(growth),
            signed=len(notes.keys() - {ROOT}),
            refused=refused,
            error=_REFUSED if refused else None,
            cpu_seconds=time.thread_time() - cpu,
        )

    def _sequence_all(self, started: float) -> tuple[Sequence[Growth], bool]:
        """Sequence full batches for a while; tell whether another may wait.

        A head signs them all: a signature for each batch would cost more than the batch. Whatever a
        later batch raises, the trees that grew by an earlier one are signed by the next tick.
        """
        steps: list[Growth] = []
        while True:
            step = self._sequence()
            steps += step
            self._unsigned |= {item.tree for item in step}
            if _events(step) < self._sequencer.batch:
                return joined(steps), False
            if time.monotonic() - started >= _SEQUENCE_SECONDS:
                return joined(steps), True

    def _sequence(self) -> Sequence[Growth]:
        """Sequence a batch without the trees that turn out to be damaged."""
        while True:
            try:
                return self._sequencer.sequence()
            except TreeDamaged:
                continue  # it is left alone from now on: one tree less each time


def _events(growth: Sequence[Growth]) -> int:
    return sum(item.new_size - item.old_size for item in growth)


def run_signer(
    config: SignerConfig,
    *,
    on_tick: Callable[[TickReport], None] | None = None,
) -> int:
    """Run until asked to stop and return the exit code: 0 stopped, 1 cannot work.

    Must be called from the main thread, since it takes SIGTERM and SIGINT.
    """
    end = EndRequest()
    end.take_signals()
    try:
        while _run_with_key(config, end, on_tick):
            _log.info("signer.key_rotated")
    except (KeyFileUnusable, JournalUnusable) as exc:
        _log.error("signer.unusable", why=str(exc))
        return EXIT_UNUSABLE
    return EXIT_STOPPED


def _run_with_key(
    config: SignerConfig, end: EndRequest, on_tick: Callable[[TickReport], None] | None
) -> bool:
    """Run with the key that is there; tell whether another one took its place.

    Raises ``KeyFileUnusable`` and ``JournalUnusable``.
    """
    finish_swap(config.key_path)
    key = load_key_file(config.key_path)
    earlier = load_public_keys(public_key_path(config.key_path))
    with SigningJournal(config.journal_path) as journal:
        engine = connect(config.database_url, name="tenantplane signer", connections=1, overflow=1)
        fresh = connect(config.database_url, name="tenantplane signer", connections=0)
        signer = CheckpointSigner(key, journal, earlier=earlier)
        loop = SignerLoop(
            Sequencer(engine, clock=_now),
            CheckpointPublisher(engine, fresh, signer, host=config.host),
            sweep_interval=config.sweep_interval,
            root=RootLog(engine, signer, host=config.host, clock=_now),
            root_interval=config.root_interval,
            on_tick=on_tick,
            findings=HeldTrees(engine),
        )
        platform_key = signer.key(tree_origin(config.host, PLATFORM))
        events = SignerEvents(engine, platform_key.id.hex(), key.public_key)
        try:
            rotation = waiting_rotation(engine, config.key_path, key, config.host)
            with _asked_witnesses(config):
                return _loop(config, loop, events, end, rotation)
        finally:
            engine.dispose()
            fresh.dispose()


@contextmanager
def _asked_witnesses(config: SignerConfig) -> Iterator[None]:
    """Ask witnesses while the block runs, where a policy names any."""
    if config.policy is None or not any(item.url for item in config.policy.witnesses):
        yield
        return
    engine = connect(config.database_url, name="tenantplane witnesses", connections=1, overflow=0)
    http = GuardedHttp(
        loopback=config.witnesses_on_loopback, most_of_answer=addcheckpoint.MOST_OF_ANSWER
    )
    try:
        with WitnessLoop(Witnessing(engine, http, config.policy), config.witness_interval):
            yield
    finally:
        engine.dispose()


def _loop(
    config: SignerConfig,
    loop: SignerLoop,
    events: SignerEvents,
    end: EndRequest,
    rotation: Rotation | None,
) -> bool:
    """Tick until the end; tell whether that was for another key."""
    last_work = time.monotonic()
    reported: str | None = None
    while not end.is_made and not _is_orphan(config.parent_pid):
        if rotation is not None and rotation.step():
            return True
        events.started()
        report = loop.tick()
        if report.error is not None and report.error != reported:
            _log.error("signer.tick_failed", code=report.error, trees=dict(report.refused))
        elif report.error is None and reported is not None:
            _log.info("signer.recovered", after=reported)
        reported = report.error
        if report.sequenced or report.signed:
            last_work = time.monotonic()
        end.wait(
            pause_after(config, report, is_busy=time.monotonic() - last_work < config.stay_busy)
        )
    if events.stopped():
        loop.tick(is_last=True)  # everything written before the end is signed before the end
    return False


def pause_after(config: SignerConfig, report: TickReport, *, is_busy: bool) -> float:
    """Return for how many seconds nothing is done after a tick."""
    if report.has_more:
        return 0.0
    interval = config.busy_interval if is_busy else config.idle_interval
    if report.sequenced >= _MANY:
        return interval
    return max(interval, min(_PAUSE_PER_TICK * report.cpu_seconds, config.idle_interval))


def _now() -> datetime:
    return datetime.now(UTC)


def _is_orphan(parent_pid: int | None) -> bool:
    return parent_pid is not None and os.getppid() != parent_pid
