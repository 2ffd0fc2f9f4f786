"""What every object store does."""

from __future__ import annotations

import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from control_plane.adapters.memory import MemoryObjectStore
from control_plane.adapters.objects import FileObjectStore
from control_plane.domain.errors import Conflict, NotFound
from control_plane.ports import ObjectStore

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=["memory", "files"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryObjectStore()
    return FileObjectStore(tmp_path / "deep" / "objects")


def test_what_was_put_is_got(objects: ObjectStore) -> None:
    objects.put("plans/pln_1", b"\x00\xffplan")
    objects.put("bundles/bnd_1/2-X/hub-acme-1.0.0.tar.gz", b"")
    assert objects.get("plans/pln_1") == b"\x00\xffplan"
    assert objects.get("bundles/bnd_1/2-X/hub-acme-1.0.0.tar.gz") == b""
    assert objects.exists("plans/pln_1")


def test_what_is_not_there_is_not_found(objects: ObjectStore) -> None:
    objects.put("plans/pln_1", b"x")
    for key in ("plans/pln_2", "other/pln_1", "plans", "plans/pln_1/below"):
        assert not objects.exists(key)
        with pytest.raises(NotFound):
            objects.get(key)


def test_the_same_content_again_is_fine_and_another_refused(objects: ObjectStore) -> None:
    objects.put("plans/pln_1", b"first")
    objects.put("plans/pln_1", b"first")
    with pytest.raises(Conflict):
        objects.put("plans/pln_1", b"second")
    assert objects.get("plans/pln_1") == b"first"


@pytest.mark.parametrize(
    "key",
    [
        "", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", "a//b", "a/", "./a", ".lock",
        "a/.hidden", "a\\b", "a\0b", "a b", "é", "a\n", "x" * 201, "/".join("abcdefghijklmnopq"),
    ],
)  # fmt: skip
def test_a_key_that_is_no_plain_path_is_refused(objects: ObjectStore, key: str) -> None:
    calls: list[Callable[[], object]] = [
        lambda: objects.put(key, b"x"),
        lambda: objects.get(key),
        lambda: objects.exists(key),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="object key"):
            call()


def test_of_many_writers_of_one_key_one_content_wins(objects: ObjectStore) -> None:
    contents = [bytes([number]) * 50_000 for number in range(8)]

    def put(content: bytes) -> str:
        try:
            objects.put("plans/pln_1", content)
        except Conflict:
            return "conflict"
        return "put"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(put, contents))
    assert sorted(outcomes) == ["conflict"] * 7 + ["put"]
    assert objects.get("plans/pln_1") == contents[outcomes.index("put")]


def test_files_are_for_this_user_alone(tmp_path: Path) -> None:
    FileObjectStore(tmp_path / "objects").put("bundles/bnd_1/archive", b"x")
    for path in (tmp_path / "objects").rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_a_killed_writer_leaves_whole_objects_or_none(tmp_path: Path) -> None:
    """The process is killed between writing and naming: its last word is a line on stdout."""
    folder = tmp_path / "objects"
    script = (
        "import os, signal, sys, pathlib\n"
        "from control_plane.adapters.objects import FileObjectStore\n"
        "store = FileObjectStore(pathlib.Path(sys.argv[1]))\n"
        "for n in range(100000):\n"
        "    store.put(f'plans/{n}', b'x' * 20000)\n"
        "    print(n, flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(20):
        assert process.stdout.readline()
    process.kill()
    told = 20 + len(process.stdout.read().split())
    process.wait(20)
    process.stdout.close()
    store = FileObjectStore(folder)
    names = [path.name for path in (folder / "plans").iterdir() if not path.name.startswith(".")]
    assert len(names) in {told, told + 1}
    assert all(store.get(f"plans/{name}") == b"x" * 20000 for name in names)
