"""The attacks on the log, found by a stranger who has nothing but a dossier and the verifier."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from sqlalchemy import Connection, delete, insert, select

from control_plane.adapters.audit.note import VerifierKey, tree_origin
from control_plane.adapters.db.audit_tables import AUDIT_TABLES
from control_plane.cli.demo_dossier import export_and_verify
from tests.integration import test_audit_attacks as attacks
from tests.integration.audit_attacker import ORIGIN, given
from tests.integration.audit_world import ACME, HOST, OTHER, Database, World, verdicts
from tests.integration.dossiers import export, run_alone, verified
from tests.unit.cli.terminal import run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def world(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    database = Database(owner_url=postgres_url)
    database.create()
    world = World(database, tmp_path_factory.mktemp("signer"))
    world.grow(ACME, 100)
    world.grow(OTHER, 100)
    world.record(5, "platform", action="rules.loaded", targets=(), run=None, approval=None,
                 data={"document": "mode_rules.yaml", "digest": "sha256:" + "0" * 64})  # fmt: skip
    world.settle()
    yield world
    world.close()


@pytest.fixture
def log(world: World) -> Iterator[World]:
    rows: attacks.Rows = {}

    def read(connection: Connection) -> None:
        for table in AUDIT_TABLES:
            rows[table.name] = [
                dict(row._mapping) for row in connection.execute(select(*given(table)))
            ]

    def restore(connection: Connection) -> None:
        for table in AUDIT_TABLES:
            connection.execute(delete(table))
            if rows[table.name]:
                connection.execute(insert(table), rows[table.name])

    world.database.attack(read)
    yield world
    world.database.attack(restore)


def policy(world: World, folder: Path) -> Path:
    """Return an auditor's own trust policy: the key that they know."""
    path = folder / "mine.policy"
    keys = (
        VerifierKey(name=tree_origin(HOST, tree), public_key=world.key.public_key)
        for tree in (ACME, "platform")
    )
    path.write_text("".join(f"log {key}\n" for key in keys) + "quorum none\n")
    return path


def test_an_untouched_log_passes_alone_and_says_what_it_trusted(log: World, tmp_path: Path) -> None:
    export(log, tmp_path / "a.zip")
    answer = run_alone(tmp_path / "a.zip")
    assert (answer.returncode, answer.stderr) == (0, ""), answer.stdout
    assert answer.stdout.count("ok ") == 10
    assert "a key that is seen first" in answer.stdout
    mine = run_alone(tmp_path / "a.zip", "--policy", str(policy(log, tmp_path)))
    assert mine.returncode == 0
    assert "a key that is pinned" in mine.stdout


def test_the_same_log_gives_the_same_bytes(log: World, tmp_path: Path) -> None:
    first, second = (export(log, tmp_path / name) for name in ("a.zip", "b.zip"))
    assert first == second
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


# where the first bad entry is, as far as the checkpoints of every ten entries can say
FIRST_BAD = {
    "flip_a_bit": 42, "edit_an_entry": 42, "swap_two_entries": 42, "edit_without_a_key": 30,
    "delete_and_hash": 30, "insert_and_hash": 30, "cut_the_tail": 80,
    "rewrite_after_seventy_and_remove_checkpoints": 70,
    "rewrite_all_and_remove_checkpoints": 0, "remove_the_whole_log": 0,
    "delete_an_entry": 42,
}  # fmt: skip
# the tail waits for its signature for less than five minutes: a dossier leaves it out
NOT_IN_A_DOSSIER = {"move_the_tail_back_in_time", "date_the_tail_into_the_future"}


@pytest.mark.parametrize("row", attacks.MATRIX, ids=lambda row: row[0].__name__)
def test_each_attack_is_found_offline_by_exactly_those_who_can(
    log: World, row: tuple[attacks.Attack, set[str], set[str], set[str]], tmp_path: Path
) -> None:
    attack, *expected = row
    notes, name = log.notes(), attack.__name__
    for number, size in ((5, 60), (9, 100)):
        (tmp_path / f"{size}.checkpoint").write_text(notes[number])
    mine = str(policy(log, tmp_path))
    log.database.attack(lambda connection: attack(connection, log))
    export(log, tmp_path / "a.zip")
    held: list[list[str]] = [
        [], ["--pin", str(tmp_path / "60.checkpoint")], ["--pin", str(tmp_path / "100.checkpoint")],
    ]  # fmt: skip
    for pins, found_by in zip(held, expected, strict=True):
        wanted = set(found_by)
        report = verified(tmp_path / "a.zip", "--policy", mine, *pins)
        if name in NOT_IN_A_DOSSIER:
            wanted &= {"REWRITTEN"}
        assert (report["verdict"] == "OK") is not bool(wanted), report["findings"]
        assert (report["exit_code"] == 0) is not bool(wanted)
        if wanted and not pins and FIRST_BAD.get(name) is not None:
            assert report["first_bad_index"] == FIRST_BAD[name], report["findings"]
    here = verdicts(log.verify([ACME]))
    if name not in NOT_IN_A_DOSSIER:  # both implementations say the same of a log
        assert bool(here) is bool(expected[0])


def test_a_sample_of_a_file_says_first_whether_the_log_is_good(log: World, tmp_path: Path) -> None:
    export(log, tmp_path / "a.zip")
    answer = run("audit", "sample", str(tmp_path / "a.zip"), "--seed", "7", "-n", "3")
    assert (answer.code, answer.err) == (0, "")
    assert "Verdict: OK" in answer.out
    log.database.attack(lambda connection: attacks.edit_an_entry(connection, log))
    export(log, tmp_path / "b.zip")
    assert run("audit", "sample", str(tmp_path / "b.zip"), "--seed", "7").code == 10
    assert run("audit", "sample", str(tmp_path / "none.zip"), "--seed", "7").code == 2


class Exporting:
    """Saves a dossier as the API's client does, from the log itself."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.path = world, folder / "saved.zip"

    def save(self, path: str, file: IO[bytes], _report: object) -> dict[str, str]:
        assert path == f"/v1/audit/{ACME}/dossier"
        written = export(self.world, self.path)
        file.write(self.path.read_bytes())
        return {"X-Manifest-Digest": written.manifest_digest}


def test_the_end_of_the_demo_names_a_log_that_does_not_verify(
    log: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api: Any = Exporting(log, tmp_path)
    assert export_and_verify(api, ACME) == []
    shown = capsys.readouterr().out
    assert "Verdict: OK" in shown
    assert "the network is" in shown
    log.database.attack(lambda connection: attacks.edit_an_entry(connection, log))
    assert export_and_verify(api, ACME) == [f"the dossier of {ACME} does not verify"]
    assert "Verdict: TAMPERED" in capsys.readouterr().out


def test_an_auditor_without_a_key_of_theirs_is_told_so(log: World, tmp_path: Path) -> None:
    log.database.attack(lambda c: attacks.edit_and_sign_with_an_own_key(c, log))
    export(log, tmp_path / "a.zip")
    assert verified(tmp_path / "a.zip")["facts"]["key"] == "seen first"
    found = verified(tmp_path / "a.zip", "--policy", str(policy(log, tmp_path)))
    assert (found["verdict"], found["exit_code"], found["facts"]["key"]) == (
        "BADSIG", 10, "unknown",
    )  # fmt: skip
    assert ORIGIN.endswith(ACME)
