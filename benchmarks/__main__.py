"""``make bench``: every figure that the product is held to, on one embedded installation.

Each area is a module with its own measurements. The figures go into a file, where those of areas
that were not measured stay; a table of them is printed.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from benchmarks import (
    api,
    audit,
    day0,
    drift,
    mode_a,
    pages,
    queue,
    resting,
    state,
    sweep,
    upgrade,
)
from benchmarks.figures import Figure, write
from benchmarks.site import Site
from control_plane.bootstrap import read_settings
from control_plane.cli.serving import EmbeddedInstallation

HOME = Path("var/bench")
FIGURES = Path("var/figures.json")


def main() -> int:
    """Measure and print; exit 1 when a figure misses its target."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument(
        "--pairs", type=int, default=10,
        help=f"pairs of Mode A and bare script; of the area state rounds, at most {state.ROUNDS}",
    )  # fmt: skip
    options.add_argument(
        "--stacks", type=int, default=200, help="stacks of the sweep (default: %(default)s)"
    )
    options.add_argument(
        "--journeys", type=int, default=50,
        help="journeys beside which webhooks are answered (default: %(default)s)",
    )  # fmt: skip
    options.add_argument(
        "--tenants", type=int, default=pages.TENANTS,
        help="tenants beside which pages are measured (default: %(default)s)",
    )  # fmt: skip
    options.add_argument(
        "--events", type=int, default=100_000,
        help="events of the area audit (default: %(default)s)",
    )  # fmt: skip
    # In this order: what fills the database comes last.
    areas: Mapping[str, Callable[[Site], list[Figure]]] = {
        "mode_a": lambda site: mode_a.measure(site, pairs=given.pairs),
        "many": mode_a.measure_many,
        "upgrade": upgrade.measure,
        "state": lambda site: state.measure(site, rounds=min(given.pairs, state.ROUNDS)),
        "drift": lambda site: drift.measure(site, pairs=given.pairs),
        "sweep": lambda site: sweep.measure(site, stacks=given.stacks),
        "day0": lambda site: day0.measure(site, pairs=given.pairs, journeys=given.journeys),
        "queue": queue.measure,
        "rest": resting.measure,
        "api": api.measure,
        "pages": lambda site: pages.measure(site, tenants=given.tenants),
        "audit": lambda site: audit.measure(site, events=given.events),
    }
    options.add_argument(
        "--into", type=Path, default=FIGURES,
        help="file of the figures (default: %(default)s; a release has docs/figures.json)",
    )  # fmt: skip
    options.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(areas)}; all")
    given = options.parse_args()
    unknown = set(given.areas) - set(areas)
    if unknown:
        options.error(f"unknown area {', '.join(sorted(unknown))}: use {', '.join(areas)}")
    shutil.rmtree(HOME, ignore_errors=True)
    settings = read_settings(home=HOME, port=0, log_level="warning")
    measured: dict[str, list[Figure]] = {}
    with EmbeddedInstallation(settings, partial(print, " ")) as running:
        site = Site(running)
        for name, measure in areas.items():
            if name in given.areas or not given.areas:
                print(f"\n{name}")
                measured[name] = measure(site)
    write(given.into, measured)
    figures = [figure for found in measured.values() for figure in found]
    print("\n" + "\n".join(figure.row for figure in figures))
    return 1 if any(figure.is_missed for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
