"""The layers of the tree hold, and each of their contracts is seen to fail on a violation."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("api", "control_plane", "policies", "stacks")
# contract -> a module that breaks it, and what that module says
VIOLATIONS = {
    "api sits on control_plane; stacks and policies know neither": (
        "stacks/breaks_order.py", "import control_plane.domain.slug",
    ),
    "control_plane points inward to the domain": (
        "control_plane/domain/breaks_direction.py", "import control_plane.services.runs",
    ),
    "the core imports no framework and does no I/O": (
        "control_plane/services/breaks_core.py", "import subprocess",
    ),
    "the domain is standard library alone": (
        "control_plane/domain/breaks_domain.py", "import yaml",
    ),
    "only api imports FastAPI": ("control_plane/adapters/breaks_web.py", "import fastapi"),
    "only adapters.dbos imports dbos": ("control_plane/cli/breaks_queue.py", "import dbos"),
    "only stacks import pulumi": ("policies/breaks_engine.py", "import pulumi"),
    "api never reaches past services into adapters": (
        "api/breaks_services.py", "import control_plane.adapters.system",
    ),
    "stacks are driven by path, never imported": (
        "control_plane/adapters/breaks_path.py", "import stacks.contract",
    ),
    "stacks read the catalogue of types and no rule": (
        "stacks/breaks_catalogue.py", "import policies.evaluation",
    ),
    "modes do not know each other": ("stacks/mode_a/breaks_modes.py", "import stacks.mode_b"),
    "only the composition root and the command line read settings": (
        "control_plane/adapters/breaks_settings.py", "import control_plane.config",
    ),
}  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the packages and their contracts."""
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package,
            tmp_path / package,
            ignore=shutil.ignore_patterns("__pycache__", "*.json", "mode_c_modules"),
        )
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def _lint(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter on the copy, and on nothing else."""
    program = Path(sys.executable).with_name("lint-imports")
    if not program.exists():
        pytest.skip("import-linter is not installed beside this Python")
    environment = {**os.environ, "PYTHONPATH": str(tree), "COLUMNS": "200"}
    return subprocess.run(
        [program, "--no-cache"],
        cwd=tree, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def _contracts() -> set[str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["name"] for contract in settings["tool"]["importlinter"]["contracts"]}


def test_every_contract_has_a_violation_here() -> None:
    assert set(VIOLATIONS) == _contracts()


def test_every_contract_is_kept_by_the_tree_and_broken_by_its_violation(tree: Path) -> None:
    clean = _lint(tree)
    assert clean.returncode == 0, clean.stdout
    for file, line in VIOLATIONS.values():
        (tree / file).write_text(f"{line}\n", encoding="utf-8")
    broken = _lint(tree)
    assert broken.returncode == 1, broken.stdout
    reports = broken.stdout.partition("Broken contracts")[2]
    for name, (file, _) in VIOLATIONS.items():
        assert re.search(rf"^{re.escape(name)} BROKEN$", broken.stdout, re.MULTILINE), name
        _, _, report = reports.partition(f"\n{name}\n")
        report = re.split(r"\n\n\n(?=[^\n]+\n-+\n)", report)[0]
        module = file.removesuffix(".py").replace("/", ".")
        assert module in report, f"{name} is broken, but not by {module}:\n{report}"
