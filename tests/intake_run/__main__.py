"""``make contracts``: many signed contracts come in badly while workers are killed.

A provider drops, repeats, merges, reorders and delays what it posts, and rotates its keys. Prints
what it does, and a table of counts at the end; exit 1 on anything wrong. What the provider does
depends on the seed and the number of contracts alone.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
from pathlib import Path

from tests.intake_run.run import Run


def main() -> int:
    """Run as the options say."""
    options = argparse.ArgumentParser(prog="python -m tests.intake_run", description=__doc__)
    options.add_argument("--contracts", type=int, default=10_000, help="(default: %(default)s)")
    options.add_argument("--seed", type=int, help="that of an earlier run; any by default")
    options.add_argument("--home", type=Path, help="folder of the installation, kept afterwards")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that everything is ended
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    say(f"{given.contracts} contracts, SEED={seed}")
    with tempfile.TemporaryDirectory(prefix="tenantplane-contracts-") as made:
        run = Run(seed=seed, count=given.contracts, folder=given.home or Path(made), say=say)
        wrong = run.do()
    say(run.table())
    for what in wrong:
        say(f"WRONG: {what}")
    if wrong:
        say(f"again: make contracts N={given.contracts} SEED={seed}")
    return 1 if wrong else 0


def say(line: str) -> None:
    """Print a line at once, also into a file."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
