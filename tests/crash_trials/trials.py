"""Trials in blocks: each block has a log of its own, and a line in the file of results."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select

from control_plane.adapters.audit.note import parse_checkpoint, parse_note
from control_plane.adapters.audit.reading import ALL_TREES, limit_to
from control_plane.adapters.db.audit_tables import audit_checkpoint
from control_plane.adapters.postgres import EmbeddedPostgres
from tests import databases
from tests.crash_trials.victims import PHASES, Blow, Trigger, forked, record, sign
from tests.integration.audit_world import Database, World, verdicts

PER_BLOCK: Final = 50


@dataclass(kw_only=True)
class Counts:
    """What was found; ``struck`` by phase and by what was struck."""

    struck: Counter[tuple[str, str]] = field(default_factory=Counter)
    not_reached: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    forks: int = 0
    heads: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def trials(self) -> int:
        """Those that struck."""
        return sum(self.struck.values())

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, doubled, forked or wrong."""
        return not (self.lost or self.doubled or self.forks or self.wrong)

    def add(self, other: Counts) -> None:
        """Count another block too."""
        self.struck += other.struck
        for name in ("not_reached", "acknowledged", "lost", "doubled", "forks", "heads"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.wrong += other.wrong

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        facts = {name: value for name, value in vars(self).items() if name != "struck"}
        return {**facts, "struck": [[*row, count] for row, count in sorted(self.struck.items())]}

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Counts:
        """Read what ``to_json`` wrote."""
        struck = Counter({(phase, what): count for phase, what, count in facts["struck"]})
        return cls(**{**facts, "struck": struck})

    def table(self) -> str:
        """Return the counts as a table."""
        lines = [f"{'killed in':12}{'process':>10}{'database':>10}"]
        lines += [
            f"{phase:12}{self.struck[phase, 'process']:>10}{self.struck[phase, 'database']:>10}"
            for phase in PHASES
        ]
        return "\n".join([
            *lines, "",
            f"{self.trials} trials struck; {self.not_reached} more ended before their point",
            f"{self.acknowledged} events acknowledged, {self.lost} lost, {self.doubled} doubled",
            f"{self.heads} signed heads, {self.forks} forks",
        ])  # fmt: skip


class Block:
    """Trials one after the other over one log, which grows with all that happens to it."""

    def __init__(self, server: EmbeddedPostgres, world: World, rng: random.Random) -> None:
        self._server = server
        self._world = world
        self._rng = rng
        self._told: set[str] = set()
        self._acknowledged: set[str] = set()
        self._roots: dict[tuple[str, int], bytes] = {}
        self._notes: dict[str, None] = {}
        self.counts = Counts()

    def run(self, trials: int) -> Counts:
        """Try until so many struck, or something is wrong."""
        while self.counts.trials < trials and self.counts.is_good:
            blow = Blow.drawn(self._rng)
            if self._tried(blow):
                self.counts.struck[blow.row] += 1
            else:
                self.counts.not_reached += 1
            self._check(blow)
        self.counts.acknowledged = len(self._acknowledged)
        self.counts.heads = len(self._roots)
        return self.counts

    def _tried(self, blow: Blow) -> bool:
        """Let both processes work while one is struck; tell whether the point was reached."""
        world = self._world
        struck, told = os.pipe(), os.pipe()
        trigger = Trigger(blow, self._server.pid, struck[1])
        seed = self._rng.randrange(2**32)
        world.journal.close()
        children = [
            forked(lambda: record(world, seed, trigger, told[1])),
            forked(lambda: sign(world, trigger, world.journal_path)),
        ]
        os.close(struck[1])
        os.close(told[1])
        with os.fdopen(told[0], "rb") as ids, os.fdopen(struck[0], "rb") as marks:
            for line in ids.read().decode().splitlines():
                (self._told if line[0] == "?" else self._acknowledged).add(line[1:])
            was_struck = bool(marks.read())
        for pid in children:
            os.waitpid(pid, 0)
        if was_struck and blow.is_database:
            self._server.stop()
            self._server.start()
            world.forget_connections()
        world.open()
        return was_struck

    def _check(self, blow: Blow) -> None:
        """Look at the log as the kill left it, let the signer go on, and look again."""
        world, counts = self._world, self.counts
        self._look(blow, "at once")
        reports = world.settle()
        errors = {report.error for report in reports} - {None}
        if errors or world.pending():
            counts.wrong.append(f"{blow}: the signer does not go on: {sorted(map(str, errors))}")
        self._look(blow, "afterwards")
        logged = Counter(item[2] for item in world.logged())
        counts.lost += len(self._acknowledged - logged.keys())
        counts.doubled += sum(count - 1 for count in logged.values())
        if strange := logged.keys() - self._told:
            counts.wrong.append(f"{blow}: {len(strange)} events that nobody recorded")

    def _look(self, blow: Blow, when: str) -> None:
        """Verify the log against all heads that were ever seen, and count contradictions."""
        for note in self._stored():
            self._notes[note] = None
            head = parse_checkpoint(parse_note(note).text)
            root = self._roots.setdefault((head.origin, head.size), head.root)
            self.counts.forks += root != head.root
        report = self._world.verify(pins=list(self._notes))
        if report.exit_code:
            found = verdicts(report)
            self.counts.forks += bool(found & {"FORKED", "REWRITTEN"})
            self.counts.wrong.append(f"{blow}, {when}: {', '.join(sorted(found))}")

    def _stored(self) -> list[str]:
        with self._world.auditor.connect() as connection:
            limit_to(connection, ALL_TREES)
            return list(connection.execute(select(audit_checkpoint.c.note)).scalars())


class Trials:
    """Blocks until there are ``count`` trials; those in ``file`` with the same seed are kept."""

    def __init__(self, *, seed: int, count: int, file: Path, say: Callable[[str], None]) -> None:
        self._seed = seed
        self._count = count
        self._file = file
        self._say = say
        self.counts = Counts()

    def run(self) -> Counts:
        """Do what is missing."""
        done = self._done()
        with installed() as (server, database):
            for number in range(-(-self._count // PER_BLOCK)):
                size = min(PER_BLOCK, self._count - number * PER_BLOCK)
                key = f"{self._seed}/{number}/{size}"
                if key in done:
                    self.counts.add(done[key])
                    continue
                counts = self._block(server, database, key, size)
                self.counts.add(counts)
                with self._file.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"block": key, **counts.to_json()}) + "\n")
                self._say(
                    f"block {key}: {counts.trials} trials{'' if counts.is_good else ', WRONG'}"
                )
        return self.counts

    def _block(self, server: EmbeddedPostgres, database: Database, key: str, size: int) -> Counts:
        with tempfile.TemporaryDirectory() as folder:
            world = World(database, Path(folder), batch=5, has_root=True)
            try:
                return Block(server, world, random.Random(key)).run(size)  # noqa: S311 - no secret
            finally:
                world.close()
                database.empty()

    def _done(self) -> dict[str, Counts]:
        """Return the good blocks in the file; a line that was cut off counts as none."""
        found: dict[str, Counts] = {}
        self._file.parent.mkdir(parents=True, exist_ok=True)
        lines = self._file.read_text(encoding="utf-8") if self._file.exists() else ""
        if lines and not lines.endswith("\n"):
            lines = lines[: lines.rfind("\n") + 1]
            self._file.write_text(lines, encoding="utf-8")
        for line in lines.splitlines():
            facts = json.loads(line)
            counts = Counts.from_json({k: v for k, v in facts.items() if k != "block"})
            if counts.is_good:
                found[facts["block"]] = counts
        return found


@contextmanager
def installed() -> Iterator[tuple[EmbeddedPostgres, Database]]:
    """A server of its own that keeps what it acknowledged, and a database with the log's tables."""
    with tempfile.TemporaryDirectory(prefix="tenantplane-trials-") as made:
        folder = Path(made)
        server = EmbeddedPostgres(folder / "postgres", short_folder=folder, durable=True)
        with server:
            name = databases.new_database(server)
            owner = databases.Database(server=server, name=name).owner
            database = Database(owner_url=owner)
            database.create()
            yield server, database
