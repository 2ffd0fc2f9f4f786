"""What the demo prints: lines at once, and chapters with the seconds they took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer


def say(line: str) -> None:
    """Print a line at once."""
    typer.echo(line)
    sys.stdout.flush()


@contextmanager
def chapter(title: str) -> Iterator[None]:
    """Print a chapter with the seconds it took."""
    say(f"\n== {title}")
    started = time.monotonic()
    yield
    say(f"   ({time.monotonic() - started:.1f} s)")
