"""What a command imports: what it needs, since every import is a wait before it does anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
DATABASE = frozenset({"sqlalchemy", "psycopg", "cryptography"})
# of the engine, the rules, tokens, bundles, objects and the queue
OTHERS = frozenset(
    {"boto3", "dbos", "jsonschema", "joserfc", "python_terraform", "yaml", "grpc", "alembic"}
)


def imported(*arguments: str) -> set[str]:
    """Return the top-level packages that a command imports, and modules of ours by their names."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "TENANTPLANE_DATABASE_URL": NOWHERE,
        "TENANTPLANE_DATABASE_AUDITOR_URL": NOWHERE,
    }
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "control_plane.cli", *arguments],
        env=environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    names = {
        line.rpartition("|")[2].strip()
        for line in done.stderr.splitlines()
        if line.startswith("import time:")
    }
    assert "typer" in names, done.stderr
    return {n if n.startswith("control_plane.") else n.partition(".")[0] for n in names}


@pytest.mark.parametrize("arguments", [(), ("audit", "verify"), ("bundle", "build"), ("serve",)])
def test_help_imports_nothing_heavy(arguments: tuple[str, ...]) -> None:
    assert imported(*arguments, "--help") & (DATABASE | OTHERS) == set()


def test_the_version_needs_no_more() -> None:
    assert imported("--version") & (DATABASE | OTHERS) == set()


def test_audit_verify_imports_the_database_and_no_other_part() -> None:
    found = imported("audit", "verify", "platform")
    assert found >= DATABASE
    assert found & OTHERS == set()
    assert not {name for name in found if name.startswith("control_plane.workflows")}
    assert not {name for name in found if name.startswith("control_plane.adapters.pulumi")}
