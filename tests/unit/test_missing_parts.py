"""A part that cannot be had fails its tests, unless somebody chose to go without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.missing_parts import WITHOUT

ROOT = Path(__file__).parents[2]
OF_THE_ENGINE = (
    "tests/stacks/test_runner_sdk.py"
    "::test_sdk_and_command_are_of_the_version_that_the_code_was_written_for"
)


@pytest.mark.parametrize(
    ("without", "code", "said"),
    [
        ("", pytest.ExitCode.TESTS_FAILED, "1 error"),
        ("postgresql", pytest.ExitCode.TESTS_FAILED, "1 error"),
        ("postgresql,pulumi", pytest.ExitCode.OK, "1 skipped"),
    ],
)
def test_tests_without_the_engine_fail_unless_that_was_chosen(
    tmp_path: Path, without: str, code: int, said: str
) -> None:
    told = {WITHOUT: without, "TENANTPLANE_PULUMI": str(tmp_path / "pulumi")}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider",
         OF_THE_ENGINE],
        cwd=ROOT, env={**os.environ, **told}, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert ended.returncode == code, ended.stdout
    assert said in ended.stdout
    assert "no Pulumi CLI" in ended.stdout
