"""The exposure clock: what witnesses have seen of each log, and for how long they have not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from control_plane.adapters.audit.keys import create_key_file, public_key_path
from control_plane.adapters.audit.note import VerifierKey, open_checkpoint
from control_plane.adapters.audit.trail import SqlTrail
from control_plane.adapters.audit.trustpolicy import TrustPolicy, parse_policy
from control_plane.domain.deployment import ROOT
from control_plane.ports.stores import Exposure
from tests.integration.audit_world import ACME, HOST, OTHER
from tests.integration.witness_scene import ORIGIN, WitnessScene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture
def trail(scene: WitnessScene, tmp_path: Path) -> SqlTrail:
    """What the API reads; its limit is ten minutes."""
    return reader(scene, tmp_path, scene.policy)


def reader(scene: WitnessScene, folder: Path, policy: TrustPolicy | None) -> SqlTrail:
    key = folder / "audit.key"
    if not key.exists():
        create_key_file(key)
    return SqlTrail(
        lambda: scene.world.auditor, host=HOST, public_key=public_key_path(key),
        policy=lambda: policy, exposed_limit=timedelta(minutes=10),
    )  # fmt: skip


def backdate(scene: WitnessScene, minutes: int, *, cosigned: bool = False) -> None:
    """Let everything have been signed, or also cosigned, so long ago."""
    columns = ["signed_at", *(["quorum_at"] if cosigned else [])]
    moved = ", ".join(f"{name} = {name} - interval '{minutes} minutes'" for name in columns)

    def act(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE audit_checkpoint DISABLE TRIGGER check_quorum"))
        connection.execute(text(f"UPDATE audit_checkpoint SET {moved}"))  # noqa: S608 - of this test
        connection.execute(text("ALTER TABLE audit_checkpoint ENABLE TRIGGER check_quorum"))

    scene.world.database.attack(act)


def clock(trail: SqlTrail) -> Exposure:
    found = trail.exposure()
    assert found is not None
    return found


def test_the_clock_stands_at_nothing_when_the_quorum_has_seen_everything(
    scene: WitnessScene, trail: SqlTrail
) -> None:
    scene.grow(2)
    scene.round()
    found = clock(trail)
    assert (found.size, found.newest, found.exposed, found.problem) == (4, 4, timedelta(0), "")
    assert found.age is not None
    assert found.age < timedelta(seconds=30)
    rows = {row["tree"]: row for row in trail.statuses(None, after="", limit=10)}
    assert sorted(rows) == sorted([ACME, OTHER, ROOT])
    assert rows[ACME] | {"signed_at": "", "witnessed_at": "", "age_seconds": 0} == {
        "tree": ACME, "size": 2, "signed": 2, "signed_at": "", "in_root": 2, "witnessed": 2,
        "witnessed_at": "", "age_seconds": 0, "exposed_seconds": 0, "held": None,
    }  # fmt: skip
    assert (rows[ROOT]["size"], rows[ROOT]["witnessed"], rows[ROOT]["in_root"]) == (4, 4, None)


def test_the_clock_runs_from_the_first_head_that_the_quorum_has_not_seen(
    scene: WitnessScene, trail: SqlTrail
) -> None:
    scene.grow(1)
    scene.round()
    scene.world.record(3, OTHER)
    scene.world.settle()
    backdate(scene, 5)
    scene.world.record(3, OTHER)
    scene.world.settle()
    assert timedelta(minutes=5) <= clock(trail).exposed < timedelta(minutes=6)
    assert clock(trail).problem == ""
    backdate(scene, 7)
    assert clock(trail).problem == "signed heads have waited 12 minutes for the quorum of witnesses"
    (acme,) = trail.statuses(ACME, after="", limit=1)
    (other,) = trail.statuses(OTHER, after="", limit=1)
    assert (acme["witnessed"], acme["exposed_seconds"]) == (1, 0)
    assert (other["size"], other["in_root"], other["witnessed"]) == (7, 7, 1)
    assert 720 <= other["exposed_seconds"] < 780
    scene.round()
    assert clock(trail).problem == ""


def test_a_head_that_nobody_was_shown_again_ages(scene: WitnessScene, trail: SqlTrail) -> None:
    scene.grow(1)
    scene.round()

    def older(connection: Connection) -> None:
        connection.execute(text("ALTER TABLE audit_checkpoint DISABLE TRIGGER check_quorum"))
        line = scene.witnesses[0].cosign
        note = connection.execute(
            text("SELECT note FROM audit_checkpoint WHERE tenant_id = 'root'")
        ).scalar_one()
        at = (datetime.now(UTC) - timedelta(minutes=71)).timestamp()
        cosigned = line(note.partition("\n\n")[0] + "\n", at).rstrip("\n")
        connection.execute(
            text(
                "UPDATE audit_checkpoint SET cosigs = jsonb_set(cosigs, '{0}', cosigs -> 0"
                " || jsonb_build_object('line', CAST(:line AS text))) WHERE tenant_id = 'root'"
            ),
            {"line": cosigned},
        )
        connection.execute(text("ALTER TABLE audit_checkpoint ENABLE TRIGGER check_quorum"))

    assert scene.head().cosigs[0]["name"] == "w1"
    scene.world.database.attack(older)
    found = clock(trail)
    assert found.problem == "the quorum of witnesses saw the newest head 71 minutes ago"


def forged_time(connection: Connection) -> None:
    connection.execute(
        text("UPDATE audit_checkpoint SET quorum_at = now() + interval '1 day' "
             "WHERE tenant_id = 'root'")
    )  # fmt: skip


def forged_line(connection: Connection) -> None:
    connection.execute(
        text("UPDATE audit_checkpoint SET cosigs = jsonb_set(cosigs, '{0,line}', cosigs #> "
             "'{1,line}') WHERE tenant_id = 'root'")
    )  # fmt: skip


def no_lines(connection: Connection) -> None:
    connection.execute(text("UPDATE audit_checkpoint SET cosigs = '[3]' WHERE tenant_id = 'root'"))


@pytest.mark.parametrize(
    ("forge", "is_seen"), [(forged_time, True), (forged_line, False), (no_lines, False)]
)
def test_the_clock_believes_cosignatures_and_not_the_row(
    scene: WitnessScene, trail: SqlTrail, forge: Callable[[Connection], None], is_seen: bool
) -> None:
    scene.grow(1)
    scene.round()
    scene.world.database.attack(forge)
    found = clock(trail)
    assert (found.witnessed_at is not None, found.size) == (is_seen, 2 if is_seen else 0)
    if found.witnessed_at is not None:
        assert found.witnessed_at < datetime.now(UTC) + timedelta(minutes=1)


def test_without_a_quorum_there_is_no_clock(scene: WitnessScene, tmp_path: Path) -> None:
    scene.grow(1)
    scene.round()
    for policy in (None, parse_policy(b"quorum none\n")):
        trail = reader(scene, tmp_path, policy)
        assert trail.exposure() is None
        assert trail.witnesses() == []
        (found,) = trail.statuses(ACME, after="", limit=1)
        assert (found["in_root"], found["witnessed"], found["exposed_seconds"]) == (1, None, None)


def test_an_installation_without_entries_is_not_exposed(trail: SqlTrail) -> None:
    assert clock(trail) == Exposure(
        size=0, newest=0, witnessed_at=None, age=None, exposed=timedelta(0)
    )
    assert trail.statuses(None, after="", limit=5) == []


def test_what_each_witness_did_is_shown(scene: WitnessScene, trail: SqlTrail) -> None:
    scene.grow(1)
    scene.round()
    scene.grow(1)
    scene.witnesses[1].fault = lambda _, __: (404, {}, b"")
    scene.round()
    first, second = trail.witnesses()
    assert (first["name"], first["size"], first["fault"]) == ("w1", 4, None)
    assert (second["size"], second["fault"]) == (2, "log_not_known")
    assert second["fault_since"] > second["cosigned_at"]
    assert first["key"] == str(scene.witnesses[0].key)


def test_a_witness_that_has_cosigned_another_history_is_a_problem_at_once(
    scene: WitnessScene, trail: SqlTrail
) -> None:
    scene.grow(3)
    scene.round()
    assert trail.witness_problem() == ""
    scene.put_back(2)
    scene.round()
    assert trail.witness_problem().startswith(
        "witness w1 has cosigned another history (has_seen_more, "
    )


def test_the_checkpoint_of_the_root_log_is_the_newest_that_a_quorum_cosigned(
    scene: WitnessScene, trail: SqlTrail
) -> None:
    key = VerifierKey(name=ORIGIN, public_key=scene.world.key.public_key)

    def served() -> tuple[int, list[str]]:
        note = trail.checkpoint(ROOT)
        assert note is not None
        assert trail.tile(ROOT, "checkpoint") == note.encode()
        names = [line.split(" ")[1] for line in note.split("\n") if line.startswith("— ")]
        return open_checkpoint(note, [key]).size, names

    scene.grow(1)
    assert served() == (2, [ORIGIN])
    scene.witnesses[0].fault = down = lambda _, __: (503, {}, b"")
    scene.round()
    scene.grow(1)
    assert served() == (2, [ORIGIN, "w2"])
    scene.witnesses[0].fault = None
    scene.round()
    assert served() == (4, [ORIGIN, "w1", "w2"])
    scene.grow(1)
    scene.witnesses[0].fault = down
    scene.round()
    assert served() == (4, [ORIGIN, "w1", "w2"])
    kept: Any = trail.checkpoint(ACME)
    assert kept.count("— ") == 1


def test_logs_are_listed_page_by_page(scene: WitnessScene, trail: SqlTrail) -> None:
    scene.grow(1)
    first = trail.statuses(None, after="", limit=2)
    rest = trail.statuses(None, after=first[-1]["tree"], limit=2)
    assert sorted(row["tree"] for row in [*first, *rest]) == sorted([ACME, OTHER, ROOT])
