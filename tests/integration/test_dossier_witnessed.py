"""A dossier shows that witnesses saw its log, and an auditor checks that offline."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from control_plane.adapters.audit.keys import create_key_file, public_key_path
from control_plane.adapters.audit.trail import SqlTrail
from tests.integration.audit_world import ACME, HOST
from tests.integration.dossiers import rewritten, verified
from tests.integration.witness_scene import WitnessScene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def platform_entry(scene: WitnessScene) -> None:
    """Let the platform's log have an entry, as it has in every installation."""
    scene.world.record(1, "platform")
    scene.world.settle()


def exported(scene: WitnessScene, folder: Path, tree: str = ACME) -> Path:
    """Export a log as the API does."""
    key = folder / "audit.key"
    if not key.exists():
        create_key_file(key)
    trail = SqlTrail(
        lambda: scene.world.auditor, host=HOST, public_key=public_key_path(key),
        policy=lambda: scene.policy,
    )  # fmt: skip
    made = trail.dossier(tree, now=datetime.now(UTC), since=None, until=None)
    path = folder / "dossier.zip"
    with made.file as file:
        path.write_bytes(file.read())
    return path


def check(path: Path, *arguments: str) -> dict[str, Any]:
    return verified(path, "--controls", "none", *arguments)


def test_a_dossier_proves_its_log_under_a_head_that_the_quorum_cosigned(
    scene: WitnessScene, tmp_path: Path
) -> None:
    scene.grow(3)
    scene.round()
    path = exported(scene, tmp_path)
    with ZipFile(path) as archive:
        policy = archive.read("trust.policy").decode().splitlines()
        root = json.loads(archive.read("root.json"))
    assert [line for line in policy if not line.startswith("log ")] == scene.policy.lines()
    assert root["checkpoint"].count("— ") == 3
    report = check(path)
    assert report["verdict"] == "OK", report["findings"]
    assert report["facts"]["quorum"] == "both, which saw 3 of 3 entries"


def test_what_is_newer_than_the_cosigned_head_is_said(scene: WitnessScene, tmp_path: Path) -> None:
    scene.grow(3)
    scene.round()
    scene.grow(2)
    report = check(exported(scene, tmp_path))
    assert (report["verdict"], report["facts"]["quorum"]) == (
        "OK",
        "both, which saw 3 of 5 entries",
    )


def test_a_log_that_too_few_witnesses_saw_is_a_finding(scene: WitnessScene, tmp_path: Path) -> None:
    scene.grow(1)
    scene.witnesses[0].fault = lambda _, __: (503, {}, b"")
    scene.round()
    report = check(exported(scene, tmp_path))
    assert (report["verdict"], report["exit_code"]) == ("UNWITNESSED", 13)
    lax = tmp_path / "lax.policy"
    keys = [line for line in ZipFile(tmp_path / "dossier.zip").read("trust.policy").decode()
            .splitlines() if line.startswith("log ")]  # fmt: skip
    witness = scene.witnesses[1]
    lax.write_text("\n".join([*keys, f"witness w2 {witness.key}", "quorum w2", ""]))
    assert check(tmp_path / "dossier.zip", "--policy", str(lax))["verdict"] == "OK"


def test_what_nobody_saw_for_more_than_an_hour_is_a_finding(
    scene: WitnessScene, tmp_path: Path
) -> None:
    scene.grow(2)
    scene.round()
    later = timedelta(minutes=10)
    scene.world.clock = lambda: datetime.now(UTC) - timedelta(minutes=80) + later
    # the clock of the log was put back, so these have the time of the newest before
    scene.grow(1)
    path = exported(scene, tmp_path)
    report = verified(path)
    assert "UNWITNESSED" not in {each["verdict"] for each in report["findings"]}
    scene.world.clock = lambda: datetime.now(UTC) + timedelta(minutes=61)
    scene.grow(1)
    found = verified(exported(scene, tmp_path))["findings"]
    assert [each["idx"] for each in found if each["verdict"] == "UNWITNESSED"] == [2]


def another_size(root: dict[str, Any]) -> None:
    root["size"] += 1


def another_entry(root: dict[str, Any]) -> None:
    root["entry"] = root["entry"].replace('"size":3', '"size":2')


def of_another_log(root: dict[str, Any]) -> None:
    root["entry"] = root["entry"].replace(ACME, "platform")


def no_proof(root: dict[str, Any]) -> None:
    root["proof"] = []


def without_the_signature(root: dict[str, Any]) -> None:
    lines = root["checkpoint"].split("\n")
    root["checkpoint"] = "\n".join(line for line in lines if "/audit/root " not in line)


def changed_cosignature(root: dict[str, Any]) -> None:
    lines = root["checkpoint"].split("\n")
    lines[-2] = lines[-2][:-8] + ("A" if lines[-2][-8] != "A" else "B") + lines[-2][-7:]
    root["checkpoint"] = "\n".join(lines)


@pytest.mark.parametrize(
    "change",
    [another_size, another_entry, of_another_log, no_proof, without_the_signature,
     changed_cosignature],
)  # fmt: skip
def test_a_proof_that_was_changed_is_found(
    scene: WitnessScene, tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    scene.grow(3)
    scene.round()
    path = exported(scene, tmp_path)
    with ZipFile(path) as archive:
        root = json.loads(archive.read("root.json"))
    change(root)
    bad = rewritten(path, {"root.json": json.dumps(root).encode()})
    found = {each["verdict"] for each in check(bad)["findings"]}
    assert {"BADSIG", "UNWITNESSED"} <= found


def test_a_head_in_the_log_of_logs_that_is_another_one_is_a_fork(
    scene: WitnessScene, tmp_path: Path
) -> None:
    scene.grow(3)
    scene.round()
    kept = exported(scene, tmp_path).rename(tmp_path / "kept.zip")
    scene.world.database.empty()
    scene.world.journal.close()
    scene.world.journal_path.unlink()
    scene.world.open()
    scene.grow(3)
    path = exported(scene, tmp_path)
    with ZipFile(kept) as archive:
        other = archive.read("root.json")
    found = {each["verdict"] for each in check(rewritten(path, {"root.json": other}))["findings"]}
    assert "FORKED" in found
