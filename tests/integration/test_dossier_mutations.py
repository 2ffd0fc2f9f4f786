"""Dossiers that somebody changed: never a yes unless every file is the same, never a traceback."""

from __future__ import annotations

import hashlib
import json
import random
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.integration.audit_world import ACME, Database, World
from tests.integration.dossiers import VERIFY, export, run_alone, verified

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

Files = dict[str, bytes]
MUTATIONS = 1000


@pytest.fixture(scope="module")
def good(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    database = Database(owner_url=postgres_url)
    database.create()
    world = World(database, tmp_path_factory.mktemp("signer"), has_root=True)
    world.grow(ACME, 300, 100)
    world.record(3, "platform", action="rules.loaded", targets=(), run=None, approval=None,
                 data={"document": "regions", "digest": "sha256:" + "0" * 64})  # fmt: skip
    world.settle()
    path = tmp_path_factory.mktemp("dossier") / "good.zip"
    export(world, path)
    yield path
    world.close()


def files_of(content: bytes) -> Files | None:
    """Return the files of an archive as any reader sees them, or None."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # noqa: BLE001 - whatever cannot be read is not the same
        return None


def packed(files: list[tuple[str, bytes]]) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return out.getvalue()


def with_manifest(files: Files) -> list[tuple[str, bytes]]:
    """Return files with a manifest that fits them: what an attacker does without a key."""
    manifest = json.loads(files["MANIFEST.json"])
    manifest["files"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items()
        if name != "MANIFEST.json"
    }
    manifest.pop("sha256")
    digest = hashlib.sha256(VERIFY.encode(manifest).encode()).hexdigest()
    content = VERIFY.encode({**manifest, "sha256": digest}).encode()
    return list({**files, "MANIFEST.json": content}.items())


def flip(random_: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    changed[random_.randrange(len(changed))] ^= 1 << random_.randrange(8)
    return bytes(changed)


def of_bytes(random_: random.Random, content: bytes) -> bytes:
    """Flip a bit of the archive, cut it, double a part, or exchange two parts."""
    way, at, to = random_.randrange(4), *sorted(random_.sample(range(len(content)), 2))
    if way == 0:
        return flip(random_, content)
    if way == 1:
        return content[:at]
    if way == 2:
        return content[:to] + content[at:]
    return content[:at] + content[to:] + content[at:to]


def of_files(random_: random.Random, content: bytes) -> bytes:
    """Change what is in the archive, with checksums that fit and the manifest as it was."""
    files = list((files_of(content) or {}).items())
    at, other = random_.sample(range(len(files)), 2)
    (name, old), (name_too, old_too) = files[at], files[other]
    way = random_.randrange(6)
    if way == 0:
        files[at] = name, flip(random_, old) if old else b"x"
    elif way == 1:
        del files[at]
    elif way == 2:
        files[at], files[other] = (name, old_too), (name_too, old)
    elif way == 3:
        files.append((random_.choice(["../x", "/x", "log/extra", "a\\b", "root.json "]), old))
    elif way == 4:
        files[at] = name, old[: len(old) // 2]
    else:
        files[at] = f"{name}x", old
    return packed(files)


# the files on which the proof rests; the others are for reading
PROVED = (
    "log/", "keys.json", "entries.ndjson", "platform", "root.json", "schemas.json", "trust.policy",
)  # fmt: skip


def with_a_fitting_manifest(random_: random.Random, content: bytes) -> bytes:
    """Change a file on which the proof rests, and make the manifest fit."""
    files = files_of(content) or {}
    name = random_.choice([each for each in sorted(files) if each.startswith(PROVED)])
    way = random_.randrange(3)
    if way == 0:
        files[name] = flip(random_, files[name])
    elif way == 1:
        del files[name]
    else:
        files[name] = files[name][: -random_.randrange(1, 40)]
    return packed(with_manifest(files))


Change = Callable[[random.Random, bytes], bytes]


def is_harmless(before: Files, after: Files | None) -> bool:
    """Tell whether what is proved has the same meaning.

    Older checkpoints may be missing, since an export holds those that are kept; a reason in the
    list of keys and a blank in the policy are not proved, and a log need not be in a root log.
    """
    if after is None:
        return False
    if after == before:
        return True
    proved = ("log/checkpoint", "log/tile", "platform", "entries.ndjson")
    return all(
        after.get(name) == content
        for name, content in before.items()
        if name.startswith(proved) and not name.startswith("log/checkpoints/")
    )


@pytest.mark.parametrize(
    ("change", "count"),
    [(of_bytes, 400), (of_files, 300), (with_a_fitting_manifest, 300)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_changed_dossier_is_never_a_yes(
    good: Path, tmp_path: Path, change: Change, count: int
) -> None:
    content = good.read_bytes()
    before = files_of(content) or {}
    assert before
    said: dict[str, int] = {}
    for seed in range(count):
        changed = change(random.Random(seed), content)  # noqa: S311 - repeatable
        path = tmp_path / "changed.zip"
        path.write_bytes(changed)
        report = verified(path)  # a traceback would fail here
        after = files_of(changed)
        said[report["verdict"]] = said.get(report["verdict"], 0) + 1
        if report["verdict"] == "OK":
            same = after == before if change is not with_a_fitting_manifest else None
            assert same or (same is None and is_harmless(before, after)), (change, seed)
            said["OK"] -= 1
        else:
            assert report["exit_code"] >= 10
            assert report["findings"]
    assert sum(said.values()) > count // 2


def test_the_three_kinds_are_a_thousand() -> None:
    assert MUTATIONS == 400 + 300 + 300


# --- what an archive should not be --------------------------------------------------------------
def bomb() -> bytes:
    return packed([("log/checkpoint", bytes(2**28))])


def twice(files: Files) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return packed([*files.items(), ("keys.json", b"{}")])


def test_archives_that_are_no_dossier_are_refused_with_a_sentence(
    good: Path, tmp_path: Path
) -> None:
    files = files_of(good.read_bytes()) or {}
    deep = {**files, "keys.json": b"[" * 100_000}
    huge = {**files, "keys.json": b'{"keys":[{"from_size":' + b"9" * 5000 + b"}]}"}
    latin = {**files, "trust.policy": b"log \xff\xfe"}
    cases: dict[str, bytes] = {
        "empty": b"", "text": b"hello", "bomb": bomb(), "twice": twice(files),
        "path": packed([*files.items(), ("../../etc/passwd", b"x")]),
        "deep": packed(with_manifest(deep)), "huge": packed(with_manifest(huge)),
        "latin": packed(with_manifest(latin)), "none": packed([]),
        "folder": packed([*files.items(), ("log/", b"")]),
    }  # fmt: skip
    for name, content in cases.items():
        path = tmp_path / f"{name}.zip"
        path.write_bytes(content)
        answer = run_alone(path)
        assert answer.stderr == "", name
        assert "Verdict: BADFILE" in answer.stdout, (name, answer.stdout)
        assert answer.returncode == 17, name
    missing = run_alone(tmp_path / "there-is-none.zip")
    assert (missing.returncode, missing.stderr) == (17, "")


def test_values_that_were_disclosed_open_their_commitments(
    good: Path, tmp_path: Path, postgres_url: str
) -> None:
    files = files_of(good.read_bytes()) or {}
    report: dict[str, Any] = verified(good)
    assert report["verdict"] == "OK"
    wrong = {
        "idx": 3, "event_id": "evt_01", "path": "reason", "value": '"x"', "salt": "00" * 32,
        "erased_at": None, "erasure_event": None,
    }  # fmt: skip
    erased = {**wrong, "value": None, "salt": None, "erased_at": "2026", "erasure_event": "evt_9"}
    for value in (wrong, erased):
        files["disclosures.json"] = VERIFY.encode({"values": [value]}).encode()
        (tmp_path / "a.zip").write_bytes(packed(with_manifest(files)))
        found = verified(tmp_path / "a.zip")
        assert (found["verdict"], found["exit_code"]) == ("BADDISCLOSURE", 14)
