"""The matrix: which points are tried, in which order, and the table of what became of them."""

from __future__ import annotations

import json
import random
import tempfile
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from math import inf
from pathlib import Path
from typing import Any, Final

import psycopg

from tests.crash_matrix.checks import wrong_with_the_log
from tests.crash_matrix.points import Point, Result, reference, tried
from tests.crash_matrix.scenarios import SCENARIOS, Cell, cells
from tests.crash_matrix.site import Site
from tests.crash_matrix.victims import VICTIMS

Say = Callable[[str], object]
# of a sample: how many points of each cell for one of the dearest cells; thirty in one round
_SHARES: Final[Mapping[Cell, int]] = {
    ("provision", "A"): 6,
    ("update", "A"): 2,
    ("update", "B"): 2,
    ("refresh", "A"): 2,
    ("refresh", "B"): 2,
    ("plan", "B"): 2,
    ("destroy", "A"): 2,
}
_ENDS: Final = ("applied", "stopped", "missed", "wrong")
_MISSES: Final = 3  # in a row, before a victim counts as one that these runs do not have
# what comes of a request that is refused, or of rows that are not there
_UNTRIED: Final = (
    AssertionError, LookupError, OSError, RuntimeError, SystemExit, ValueError, psycopg.Error,
)  # fmt: skip
# made first where a cell needs it: slices a Hub, looks and changes a ready tenant
_HUB: Final[Cell] = ("provision", "hub")
_NEEDED: Final[Mapping[str, tuple[Cell, ...]]] = {
    "A": (_HUB, ("provision", "A")),
    "hub": (_HUB,),
    "B": (("provision", "B"),),
}


@dataclass
class Matrix:
    """All points that are wanted, and what became of those that were tried.

    ``only`` are parts of names, KIND/MODE/VICTIM/EVENT, of which any may be ``*`` or left out;
    ``part`` the I-th of N parts of them, ``points`` how many are tried, all without it, and none
    begins after ``minutes``. Results go to ``file``; a later matrix continues from there, and
    several may write into it, each with a part and an installation of its own. ``events`` says
    about how many events the runs of a cell have; a run to which nothing happens counts those of
    the others, and is itself a check. With ``every`` points are tried also where an earlier one
    struck at the same moment.
    """

    points: int | None = None
    minutes: float = inf
    seed: int = 0
    only: str = "*/*/*"
    part: tuple[int, int] = (1, 1)
    every: bool = False
    file: Path | None = None
    say: Say = print
    events: dict[str, int] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def run(self, site: Site) -> None:
        """Make a reference run of each cell, then try the points."""
        self._resume()
        until = time.monotonic() + self.minutes * 60
        foreign = site.hold_foreign()
        self._refer(site, foreign)
        self.say(self.extent())
        tried_ = {result.point for result in self.results}
        missed: Counter[str] = Counter()
        for point in self._wanted():
            stratum = point.name.rpartition("/")[0]
            if point.name in tried_ or missed[stratum] >= _MISSES or self._was_reached(point):
                continue
            if self.points is not None and self.counted >= self.points:
                break
            if time.monotonic() > until:
                break
            result = _tried(site, point, foreign)
            missed[stratum] = missed[stratum] + 1 if result.end == "missed" else 0
            self._keep(result)
        self.wrong += wrong_with_the_log(site)

    @property
    def counted(self) -> int:
        """How many points had a victim."""
        return sum(result.end != "missed" for result in self.results)

    @property
    def violations(self) -> list[str]:
        """What must not be, with its point."""
        return self.wrong + [
            f"{each.point}: {what}" for each in self.results for what in each.wrong
        ]

    # --- which points --------------------------------------------------------------------------
    def _refer(self, site: Site, foreign: str) -> None:
        wanted = [
            cell
            for cell, reason in cells().items()
            if not reason and any(self._is_wanted(*cell, victim) for victim in VICTIMS)
        ]
        needed = dict.fromkeys(each for one in wanted for each in _NEEDED[one[1]])
        counted = [one for one in wanted if "/".join(one) not in self.events]
        for cell in dict.fromkeys((*needed, *counted)):
            began = time.monotonic()
            count, wrong = reference(site, cell[0], cell[1], foreign)
            name = "/".join(cell)
            self.events[name] = count
            self.wrong += [f"{name}, to which nothing happened: {what}" for what in wrong]
            self.say(f"{name}: {count} events, {time.monotonic() - began:.1f} s undisturbed")
        for (kind, mode), reason in cells().items():
            if reason:
                self.say(f"{kind}/{mode} is skipped: {reason}")

    def _wanted(self) -> Iterator[Point]:
        """Yield points, those of cheap cells more often, of each victim in turn.

        After one that was missed another one of its cell comes at once, so that none is left out.
        """
        order = random.Random(self.seed)  # noqa: S311 - a sample that repeats
        strata: dict[Cell, list[Iterator[Point]]] = {}
        for cell, reason in cells().items():
            possible = () if reason else SCENARIOS[cell].victims
            victims = [victim for victim in possible if self._is_wanted(*cell, victim)]
            order.shuffle(victims)
            if victims:
                strata[cell] = [self._of(cell, victim, order) for victim in victims]
        while strata:
            for cell in list(strata):
                for _ in range(_SHARES.get(cell, 1)):
                    while strata.get(cell):
                        stratum = strata[cell].pop(0)
                        point = next(stratum, None)
                        if point is not None:
                            strata[cell].append(stratum)
                            yield point
                            if not self._is_missed(point):
                                break
                if not strata[cell]:
                    del strata[cell]

    def _of(self, cell: Cell, victim: str, order: random.Random) -> Iterator[Point]:
        events = list(range(1, self.events["/".join(cell)]))
        order.shuffle(events)
        events = [each for each in events if self._is_wanted(*cell, victim, str(each))]
        points = [
            Point(kind=cell[0], mode=cell[1], victim=victim, event=each) for each in events
        ]  # fmt: skip
        return (each for each in points if self._is_in_part(each))

    def _is_in_part(self, point: Point) -> bool:
        """By the name alone, so that the parts are disjoint however many events are counted."""
        which, parts = self.part
        return zlib.crc32(point.name.encode()) % parts == which - 1

    def extent(self) -> str:
        """Say how many points there are of each cell, and how many of them have no result yet."""
        whole = Matrix(only=self.only, part=self.part, events=self.events)
        wanted = Counter(f"{each.kind}/{each.mode}" for each in whole._wanted())
        tried_ = Counter("/".join(each.point.split("/")[:2]) for each in self.results)
        lines = [
            f"{cell}: {number} points, {tried_[cell]} tried before"
            for cell, number in wanted.items()
        ]
        less = "" if self.every else ", fewer where several events come at once"
        return "\n".join([*lines, f"all: {wanted.total()} points{less}"])

    def _was_reached(self, point: Point) -> bool:
        """Tell whether an earlier point of the same row struck at the moment of this one.

        Events come in lots: one that was to strike at the event 10, and struck at the lot that ends
        with 16, would have struck there as well if it had waited for any event up to 16.
        """
        row = point.name.rpartition("/")[0]
        return not self.every and any(
            int(each.point.rpartition("/")[2]) < point.event <= each.struck_at
            for each in self.results
            if each.point.rpartition("/")[0] == row
        )

    def _is_missed(self, point: Point) -> bool:
        last = self.results[-1] if self.results else None
        return last is not None and (last.point, last.end) == (point.name, "missed")

    def _is_wanted(self, *names: str) -> bool:
        wanted = self.only.split("/") + ["*"] * 4
        return all(want in ("*", name) for want, name in zip(wanted, names, strict=False))

    # --- results -------------------------------------------------------------------------------
    def _keep(self, result: Result) -> None:
        self.results.append(result)
        stops = f" after {', '.join(result.stops)}" if result.stops else ""
        taken = ", taken over" if result.was_taken_over else ""
        self.say(f"{result.point}: {result.end}{stops}{taken}, struck at event"
                 f" {result.struck_at}, {result.seconds} s")  # fmt: skip
        for what in result.wrong:
            self.say(f"    WRONG: {what}")
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a") as stream:
                stream.write(json.dumps(asdict(result)) + "\n")

    def _resume(self) -> None:
        if self.file is not None and self.file.exists():
            lines = self.file.read_text().splitlines()
            self.results = [Result(**json.loads(line)) for line in lines]
            self.say(f"{len(self.results)} points were tried before")

    def table(self) -> str:
        """Return the counts by kind, mode and victim."""
        counts: dict[tuple[str, ...], Counter[str]] = {}
        for each in self.results:
            counter = counts.setdefault(tuple(each.point.split("/")[:3]), Counter())
            counter[each.end] += 1
            counter["taken over"] += each.was_taken_over
        heads = (*_ENDS, "taken over")
        lines = [f"{'kind':<10} {'mode':<4} {'victim':<9}" + "".join(f"{h:>11}" for h in heads)]
        for name, counter in sorted(counts.items()):
            lines.append(f"{name[0]:<10} {name[1]:<4} {name[2]:<9}"
                         + "".join(f"{counter[h]:>11}" for h in heads))  # fmt: skip
        total: Counter[str] = sum(counts.values(), Counter())
        lines.append(f"{'all':<25}" + "".join(f"{total[h]:>11}" for h in heads))
        stops = Counter(code for each in self.results for code in each.stops)
        lines += [f"stopped with {code}: {number}" for code, number in sorted(stops.items())]
        return "\n".join(lines)

    def document(self) -> dict[str, Any]:
        """Return everything as plain JSON."""
        return {
            "seed": self.seed,
            "events": self.events,
            "points": [asdict(result) for result in self.results],
            "violations": self.violations,
        }


def _tried(site: Site, point: Point, foreign: str) -> Result:
    """Try a point; one that could not be tried is wrong, and the others are tried all the same."""
    try:
        return tried(site, point, foreign)
    except _UNTRIED as error:
        said = "".join(traceback.format_exception(error)[-2:]).strip()
        return Result(point=point.name, end="wrong", wrong=[f"it could not be tried: {said}"])


@contextmanager
def installed(cli: Path, *, hosts: bool = False) -> Iterator[Site]:
    """Have an installation, with ``hosts`` on several; nothing of it is left at the end."""
    with tempfile.TemporaryDirectory(prefix="crash-matrix-") as folder, ExitStack() as stack:
        site = Site(folder=Path(folder), cli=cli, stack=stack, hosts=hosts)
        site.install()
        site.start()
        yield site
