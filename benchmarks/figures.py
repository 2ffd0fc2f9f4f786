"""Figures of one run of ``make bench``: each with its target, as a table and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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


def write(path: Path, figures: Sequence[Figure]) -> None:
    """Write the figures with what they were measured on; nothing names the machine."""
    content = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "figures": [{**asdict(figure), "missed": figure.is_missed} for figure in figures],
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def median_and_range(values: Sequence[float]) -> str:
    """Say how far values lie apart, and how many they are."""
    return f"{min(values):.2f} to {max(values):.2f}, {len(values)} samples"
