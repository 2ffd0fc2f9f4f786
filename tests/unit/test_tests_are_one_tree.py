"""What tests import from ``tests`` comes from this tree, or is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tests

TREE = Path(__file__).resolve().parents[2]


def test_tests_are_a_package_of_this_tree_alone() -> None:
    assert [Path(folder) for folder in tests.__path__] == [TREE / "tests"]


def test_a_module_that_is_missing_here_is_not_taken_from_another_tree(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "only_elsewhere.py").write_text("")
    (tmp_path / "tests" / "unit").mkdir()
    (tmp_path / "tests" / "unit" / "only_elsewhere.py").write_text("")
    for module in ("tests.only_elsewhere", "tests.unit.only_elsewhere"):
        done = subprocess.run(
            [sys.executable, "-c", f"import {module}"],
            cwd=TREE, env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert f"No module named '{module}'" in done.stderr
