"""What every object store does."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from control_plane.adapters.objects import FileObjectStore, open_store
from control_plane.domain.errors import Conflict, NotFound, SettingInvalid, Unavailable
from control_plane.ports.stores import ObjectStore

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """An S3 of moto on loopback, which knows conditional writes."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_url(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket; what else the machine has for AWS is not used."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    bucket = f"objects-{secrets.token_hex(6)}"
    client = boto3.client("s3", region_name="eu-west-1", endpoint_url=s3_endpoint)
    place = {"LocationConstraint": "eu-west-1"}
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration=place)  # type: ignore[arg-type]  # a literal in the stubs
    return f"s3://{bucket}/deep/prefix?region=eu-west-1&endpoint={s3_endpoint}"


@pytest.fixture(params=["files", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "files":
        (tmp_path / "deep" / "objects").mkdir(parents=True)
        return open_store(f"file://{tmp_path / 'deep' / 'objects'}", folder=tmp_path)
    return open_store(request.getfixturevalue("s3_url"), folder=tmp_path)


def test_what_was_put_is_got(objects: ObjectStore) -> None:
    objects.put("plans/pln_1", b"\x00\xffplan")
    objects.put("bundles/bnd_1/2-X/hub-acme-1.0.0.tar.gz", b"")
    assert objects.get("plans/pln_1") == b"\x00\xffplan"
    assert objects.get("bundles/bnd_1/2-X/hub-acme-1.0.0.tar.gz") == b""


def test_what_is_not_there_is_not_found(objects: ObjectStore) -> None:
    objects.put("plans/pln_1", b"x")
    for key in ("plans/pln_2", "other/pln_1", "plans", "plans/pln_1/below"):
        with pytest.raises(NotFound):
            objects.get(key)


def test_what_was_removed_is_not_there_and_its_key_is_free(objects: ObjectStore) -> None:
    objects.put("plans/pln_1", b"x")
    objects.put("plans/pln_2", b"y")
    objects.remove("plans/pln_1")
    objects.remove("plans/pln_1")  # as after a transaction that was not committed
    objects.remove("never/there")
    with pytest.raises(NotFound):
        objects.get("plans/pln_1")
    assert objects.get("plans/pln_2") == b"y"
    objects.put("plans/pln_1", b"z")
    assert objects.get("plans/pln_1") == b"z"


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
    (tmp_path / "objects").mkdir(mode=0o700)
    FileObjectStore(tmp_path / "objects").put("bundles/bnd_1/archive", b"x")
    for path in (tmp_path / "objects").rglob("*"):
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_a_volume_that_is_gone_is_an_outage_and_is_not_made_anew(tmp_path: Path) -> None:
    folder, gone = tmp_path / "objects", tmp_path / "gone"
    folder.mkdir()
    store = FileObjectStore(folder)
    store.put("plans/pln_1", b"x")
    folder.rename(gone)
    for ask in (lambda: store.get("plans/pln_1"), lambda: store.put("plans/pln_2", b"y")):
        with pytest.raises(Unavailable, match="object store is unavailable"):
            ask()
    assert not folder.exists()
    gone.rename(folder)
    assert store.get("plans/pln_1") == b"x"


def test_a_killed_writer_leaves_whole_objects_or_none(tmp_path: Path) -> None:
    """The process is killed between writing and naming: its last word is a line on stdout."""
    folder = tmp_path / "objects"
    folder.mkdir()
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


def test_objects_lie_below_the_prefix_of_the_url(s3_url: str, tmp_path: Path) -> None:
    open_store(s3_url, folder=tmp_path).put("plans/pln_1", b"x")
    bucket, endpoint = s3_url.split("/")[2], s3_url.partition("endpoint=")[2]
    client = boto3.client("s3", region_name="eu-west-1", endpoint_url=endpoint)
    listed = client.list_objects_v2(Bucket=bucket)["Contents"]
    assert [item["Key"] for item in listed] == ["deep/prefix/plans/pln_1"]


def test_a_proxy_is_not_asked_for_a_store_on_this_machine(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    store = open_store(s3_url, folder=tmp_path)
    store.put("plans/pln_1", b"x")
    assert store.get("plans/pln_1") == b"x"


def test_a_bucket_that_is_not_there_is_unavailable(s3_url: str, tmp_path: Path) -> None:
    bucket = s3_url.split("/")[2]
    store = open_store(s3_url.replace(bucket, "another-bucket"), folder=tmp_path)
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        store.put("plans/pln_1", b"x")
    with pytest.raises(Unavailable, match="NoSuchBucket"):
        store.get("plans/pln_1")


def test_a_store_that_does_not_answer_is_unavailable(s3_url: str, tmp_path: Path) -> None:
    endpoint = s3_url.partition("endpoint=")[2]
    store = open_store(s3_url.replace(endpoint, "http://127.0.0.1:9"), folder=tmp_path)
    with pytest.raises(Unavailable, match="is unreachable"):
        store.get("plans/pln_1")


@pytest.mark.parametrize("url", ["s3://", "s3:///prefix", "s3://bucket?regoin=eu-west-1"])
def test_a_url_of_no_bucket_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match="OBJECTS_URL"):
        open_store(url, folder=tmp_path)
