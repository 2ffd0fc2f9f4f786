"""Figures of ``make bench``: each with its target, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure and what it should be: at most ``target``, or at least it.

    ``detail`` says what a reader needs beside the value: spread, number of samples, where it goes.
    ``state_backend`` is where the engine kept its states: file, s3 or postgres.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    at_least: bool = False
    detail: str = ""
    state_backend: str = "file"

    @property
    def is_missed(self) -> bool:
        """Whether the figure has a target and does not reach it."""
        if self.target is None:
            return False
        return self.value < self.target if self.at_least else self.value > self.target

    @property
    def row(self) -> str:
        """The figure as a line of the table."""
        value = f"{self.value:.3g}" if abs(self.value) < 100 else f"{self.value:.0f}"
        target = ""
        if self.target is not None:
            target = f"{'at least' if self.at_least else 'at most'} {self.target:g}"
        verdict = "missed" if self.is_missed else ""
        return f"{self.name:58}{value:>8} {self.unit:8}{target:16}{verdict:8}{self.detail}".rstrip()


def write(path: Path, measured: Mapping[str, Sequence[Figure]]) -> None:
    """Write the figures of areas with what they were measured on; other areas stay as they are.

    Nothing names the machine.
    """
    areas = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for area, figures in measured.items():
        areas[area] = {
            "date": datetime.now(UTC).date().isoformat(),
            "commit": _commit(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "figures": [{**asdict(figure), "missed": figure.is_missed} for figure in figures],
        }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(areas, indent=1) + "\n", encoding="utf-8")


def _commit() -> str:
    """Return the commit that was measured, marked when the tree has other changes."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip()


def median_and_range(values: Sequence[float]) -> str:
    """Say how far values lie apart, and how many they are."""
    return f"{min(values):.2f} to {max(values):.2f}, {len(values)} samples"
