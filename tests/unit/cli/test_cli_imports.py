"""What a command imports: what it needs, since every import is a wait before it does anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NOWHERE = "postgresql://nobody@127.0.0.1:1/none"
DATABASE = frozenset({"sqlalchemy", "psycopg", "cryptography"})
SETTINGS = frozenset({"pydantic_settings"})
CLIENT = frozenset({"httpx"})
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


@pytest.mark.parametrize("arguments", [("--help",), (), ("--version",), ("reqest",)])
def test_what_names_no_command_imports_none(arguments: tuple[str, ...]) -> None:
    found = imported(*arguments)
    assert found & (DATABASE | OTHERS | SETTINGS | CLIENT) == set()
    modules = {name for name in found if name.startswith("control_plane.cli.")}
    assert modules <= {
        f"control_plane.cli.{name}"
        for name in ("app", "errors", "output", "refusing", "tables", "__main__")
    }


def test_a_command_of_the_api_imports_neither_settings_nor_other_commands() -> None:
    found = imported("tenant", "list")
    assert found >= CLIENT
    assert found & (DATABASE | OTHERS | SETTINGS) == set()
    assert not found & {f"control_plane.cli.{name}" for name in ("bundles", "local", "audit")}


def test_a_token_is_made_without_what_asks_the_api() -> None:
    assert imported("token", "--role", "auditor") & (DATABASE | CLIENT) <= {"cryptography"}


def test_audit_verify_imports_the_database_and_no_other_part() -> None:
    found = imported("audit", "verify", "platform")
    assert found >= DATABASE
    assert found & OTHERS == set()
    assert not {name for name in found if name.startswith("control_plane.workflows")}
    assert not {name for name in found if name.startswith("control_plane.adapters.pulumi")}
