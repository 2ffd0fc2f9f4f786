"""``make crash-trials``: the writer, the signer or the database is killed at random points.

Prints the seed and a table of counts at the end; exit 1 when an acknowledged event was lost or
doubled, a head contradicts another, or the log does not verify. A call with the seed of an earlier
one continues after the blocks that are in the file.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
from pathlib import Path

from tests.crash_trials.trials import Trials


def main() -> int:
    """Try as many as the options say."""
    options = argparse.ArgumentParser(prog="python -m tests.crash_trials", description=__doc__)
    options.add_argument("--trials", type=int, default=10_000, help="(default: %(default)s)")
    options.add_argument("--seed", type=int, help="that of an earlier call; any by default")
    options.add_argument(
        "--file", type=Path, default=Path("var/crash-trials.jsonl"),
        help="results, a block a line (default: %(default)s)",
    )  # fmt: skip
    given = options.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is ended
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    again = f"make crash-trials N={given.trials} SEED={seed}"
    say(f"{given.trials} trials, SEED={seed}")
    trials = Trials(seed=seed, count=given.trials, file=given.file, say=say)
    try:
        trials.run()
    except KeyboardInterrupt:
        say(f"stopped; to continue: {again}")
    say(trials.counts.table())
    for what in trials.counts.wrong:
        say(f"WRONG: {what}")
    if not trials.counts.is_good:
        say(f"again: {again}")
    return 0 if trials.counts.is_good and trials.counts.trials >= given.trials else 1


def say(line: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
