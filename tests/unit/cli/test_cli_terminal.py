"""How it looks and ends: help, tables, Ctrl-C, a reader that goes away."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.cli.app import COMMANDS
from control_plane.cli.tables import lines
from control_plane.domain.actor import Role
from tests.unit.cli.terminal import SECONDS, Terminal, run

COMMAND = [sys.executable, "-m", "control_plane.cli"]
TENANT = "ten_01JF3Q4ZK8N2W7V5X9Y1A2B3C4"
RUN = "run_01JF3Q4ZK8N2W7V5X9Y1A2B3C4"
DIGEST = "sha256:" + "0123456789abcdef" * 4


def _commands(group: str) -> list[str]:
    """Return the names of a group's commands."""
    return list(COMMANDS[group].load(group).commands)


GROUPS = [name for name, named in COMMANDS.items() if hasattr(named.load(name), "commands")]


def test_help_names_every_command_and_every_group_explains_its_own() -> None:
    whole = run("--help")
    assert whole.code == 0
    assert run().out.strip() == whole.out.strip()
    for name in COMMANDS:
        assert f" {name} " in whole.out
        shown = run(name, "--help")
        assert shown.code == 0
        assert "--install-completion" not in shown.out
        for command in _commands(name) if name in GROUPS else ():
            assert f" {command} " in shown.out
            one = run(name, command, "--help")
            assert one.code == 0
            assert "--help" in one.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_of_each_what_it_says_itself(name: str) -> None:
    itself = " ".join((COMMANDS[name].load(name).help or "").partition("\n\n")[0].split())
    assert COMMANDS[name].help == itself


def test_every_command_of_the_api_has_json() -> None:
    for group in ("request", "tenant", "hub", "run", "approval", "bundle", "audit"):
        for command in _commands(group):
            if (group, command) == ("bundle", "inputs"):
                continue  # what it prints is a JSON document in any case
            below = getattr(COMMANDS[group].load(group).commands[command], "commands", None)
            for names in [(command, each) for each in below] if below else [(command,)]:
                assert "--json" in run(group, *names, "--help").out, (group, names)


def test_the_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert run("--version").out == f"tenantctl {version('tenantplane')}\n"


def test_a_table_fits_the_terminal_and_keeps_its_first_column_whole() -> None:
    names = ["id", "kind", "status", "tenant_id", "requested_at"]
    row = [RUN, "provision", "applied", TENANT, "2026-11-20 14:03:00Z"]
    drawn = lines(names, [row], 80)
    assert all(len(line) <= 80 for line in drawn)
    assert drawn[1].split() == [RUN, "provision", "applied", f"…{TENANT[-8:]}", "11-20", "14:03"]


def test_a_last_column_that_cannot_fit_is_left_out_and_not_broken() -> None:
    names = ["id", "kind", "status", "tenant_id", "requested_at"]
    row = [RUN, "provision", "awaiting_approval", TENANT, "2026-11-20 14:03:00Z"]
    drawn = lines(names, [row], 80)
    assert all(len(line) <= 80 for line in drawn)
    assert drawn[1].split() == [RUN, "provision", "awaiting_approval", f"…{TENANT[-8:]}"]


def test_a_long_text_in_the_last_column_is_folded_below_itself() -> None:
    drawn = lines(["name", "detail"], [["policies", "word " * 30]], 40)
    assert all(len(line) <= 40 for line in drawn)
    assert {line.index("word") for line in drawn[1:]} == {len("policies  ")}


def test_without_a_terminal_a_row_is_one_line_and_whole() -> None:
    drawn = lines(["id", "digest", "tenant"], [[RUN, DIGEST, TENANT], [RUN, "-", TENANT]])
    assert len(drawn) == 3
    assert drawn[1].split() == [RUN, DIGEST, TENANT]


def test_wide_letters_keep_columns_straight() -> None:
    drawn = lines(["slug", "n"], [["東京", "1"], ["acme-x", "2"]])
    assert drawn[1] == "東京    1"
    assert drawn[2] == "acme-x  2"


def test_piped_lists_hold_whole_ids(tenantctl: Terminal) -> None:
    found = tenantctl.submit("C")
    listed = tenantctl("tenant", "list").out
    assert found["tenant"]["id"] in listed
    assert len(listed.splitlines()) == 2


@pytest.fixture
def ctrl_c_counts() -> Iterator[None]:
    """Child processes listen to Ctrl-C, also when these tests are run in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c_counts")
def test_ctrl_c_ends_a_watch_with_130_and_no_stack(tenantctl: Terminal) -> None:
    tenantctl.world.ready_hub()
    found = tenantctl.submit("B")
    watch = subprocess.Popen(
        [*COMMAND, "run", "watch", found["run_id"]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert watch.stdout is not None
        while "tenantctl approval show" not in watch.stdout.readline():
            assert watch.poll() is None
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=SECONDS)
    finally:
        watch.kill()
        watch.communicate()
    # ended by the signal itself, which a shell shows as 130
    assert (watch.returncode, err) == (-signal.SIGINT, "")


def test_a_reader_that_goes_away_leaves_no_stack(tmp_path: Path) -> None:
    listing = subprocess.Popen(
        [*COMMAND, "settings"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert listing.stdout is not None
    listing.stdout.close()
    try:
        assert listing.stderr is not None
        err = listing.stderr.read()
        code = listing.wait(SECONDS)
    finally:
        listing.kill()
        listing.stderr.close()
    assert (code, err) == (1, "")


def test_the_command_line_starts_without_the_rest_of_the_product() -> None:
    """A command that asks the API loads no engine, no database driver and no web framework."""
    heavy = "('sqlalchemy', 'psycopg', 'pulumi', 'dbos', 'fastapi', 'alembic', 'boto3')"
    code = f"import sys, control_plane.cli.app; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout == "[]\n"


def test_making_a_token_loads_no_database_and_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scripts make a token per command, so that it has to be quick."""
    monkeypatch.delenv("TENANTPLANE_URL")
    monkeypatch.delenv("TENANTPLANE_TOKEN")
    monkeypatch.setenv("TENANTPLANE_HOME", str(tmp_path))
    assert run("keys", "create", "--only", "issuer").code == 0
    heavy = "('control_plane.bootstrap', 'sqlalchemy', 'psycopg', 'dbos', 'boto3', 'jsonschema')"
    code = (
        "import sys; from control_plane.cli.app import invoke\n"
        "assert invoke(['token', '--role', 'auditor']) == 0\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.splitlines()[-1] == "[]"


def test_a_token_of_the_embedded_issuer_is_three_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TENANTPLANE_URL")
    monkeypatch.setenv("TENANTPLANE_HOME", str(tmp_path))
    assert run("keys", "create", "--only", "issuer").code == 0
    answer = run("token", "--role", Role.AUDITOR, "--subject", "audrey", "--json")
    assert answer.json["token"].count(".") == 2
    assert "no installation is running in" in answer.err
