"""``make crash-matrix``: processes are killed at every engine event of every kind of run.

Prints a table of counts; exit 1 on any violation.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from math import inf
from pathlib import Path

from control_plane.adapters.cache import cache_folder
from control_plane.adapters.pulumi.install import ensure_cli
from tests.crash_matrix.matrix import Matrix, installed
from tests.end_to_end.two_hosts import cannot_isolate


def main() -> int:
    """Try the points that the options name."""
    options = argparse.ArgumentParser(prog="python -m tests.crash_matrix", description=__doc__)
    options.add_argument("--points", type=int, help="how many points; all of them by default")
    options.add_argument(
        "--minutes", type=float, default=inf, help="no point begins later than this"
    )  # fmt: skip
    options.add_argument("--seed", type=int, default=0, help="which points come first")
    options.add_argument("--only", default="*/*/*", help="KIND/MODE/VICTIM/EVENT, * for any")
    options.add_argument(
        "--slice", type=sliced, default=(1, 1), metavar="I/N", dest="part",
        help="the I-th of N parts of all points: two calls with one file try two points at a time",
    )  # fmt: skip
    options.add_argument(
        "--every", action="store_true",
        help="each event, also where an earlier point struck at the same moment",
    )  # fmt: skip
    options.add_argument(
        "--file", type=Path, default=Path("var/crash-matrix.jsonl"),
        help="results, one a line; a later call continues after those that are there",
    )  # fmt: skip
    options.add_argument(
        "--hosts", action="store_true",
        help="each worker on a host of its own, which is killed as a whole",
    )  # fmt: skip
    options.add_argument("--json", type=Path, help="write everything as one JSON document")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is ended
    if given.hosts and (reason := cannot_isolate()):
        options.error(reason)
    matrix = Matrix(
        points=given.points, minutes=given.minutes, seed=given.seed, only=given.only,
        part=given.part, every=given.every, file=given.file, say=say,
    )  # fmt: skip
    try:
        with installed(ensure_cli(cache=cache_folder(), report=say), hosts=given.hosts) as site:
            matrix.run(site)
    finally:
        say(matrix.table())
        if given.json is not None:
            given.json.write_text(json.dumps(matrix.document(), indent=2) + "\n")
    for what in matrix.violations:
        say(f"WRONG: {what}")
    return 1 if matrix.violations else 0


def sliced(text: str) -> tuple[int, int]:
    """Read ``2/8``, the second of eight parts."""
    part, _, parts = text.partition("/")
    if not (part.isdecimal() and parts.isdecimal() and 1 <= int(part) <= int(parts)):
        raise argparse.ArgumentTypeError(f"{text} is not I/N with 1 <= I <= N, such as 2/8")
    return int(part), int(parts)


def say(line: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
