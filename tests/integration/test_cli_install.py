"""The pinned Pulumi CLI is found, fetched or built, and nothing else is ever used in its place.

The download is tested against a server on loopback with an archive made here, the build with a
tiny module and the real Go.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from control_plane.adapters.pulumi.build import PULUMI, GoProgram
from control_plane.adapters.pulumi.install import CliSources, cli_version, ensure_cli
from control_plane.adapters.pulumi.pins import Pins, this_platform
from control_plane.domain.errors import EngineUnavailable, SettingInvalid

pytestmark = pytest.mark.timeout(400)

VERSION = "3.259.0"


def script(version: str) -> str:
    return f'#!/bin/sh\n[ "$1" = version ] && echo {version}\n'


def put_script(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(script(version))
    path.chmod(0o755)
    return path


def official_archive(version: str = f"v{VERSION}") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in (
            ("pulumi/pulumi-language-python", "#!/bin/sh\n"),
            ("pulumi/pulumi", script(version)),
        ):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content.encode()))
    return buffer.getvalue()


@dataclass
class Archives:
    """A server on loopback that has one file."""

    content: bytes = field(default_factory=official_archive)
    cut_to: int | None = None
    status: int = 200
    seconds: float = 0.0
    asked_for: list[str] = field(default_factory=list)
    url: str = ""


@pytest.fixture
def archives() -> Iterator[Archives]:
    served = Archives()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked_for.append(self.path)
            time.sleep(served.seconds)
            self.send_response(served.status)
            self.send_header("Content-Length", str(len(served.content)))
            self.end_headers()
            self.wfile.write(served.content[: served.cut_to])

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}/releases/"
    yield served
    server.shutdown()
    server.server_close()
    thread.join(timeout=10)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def sources(tmp_path: Path, archives: Archives) -> CliSources:
    """Nothing on PATH, the right digest pinned, and a source that cannot be built."""
    (tmp_path / "empty").mkdir()
    digest = hashlib.sha256(archives.content).hexdigest()
    return CliSources(
        environ={**os.environ, "PATH": str(tmp_path / "empty")},
        archive_base=archives.url,
        pins=Pins(
            version=VERSION, archive_base="https://unused", archive_sha256={this_platform(): digest}
        ),
        source=replace(PULUMI, module=tmp_path / "empty"),
    )


def with_digest(sources: CliSources, digest: str | None) -> CliSources:
    return replace(sources, pins=replace(sources.pins, archive_sha256={this_platform(): digest}))


def everything_below(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}


# --- given, cached, on PATH -------------------------------------------------------------------
def test_a_chosen_program_of_the_right_version_is_used(
    sources: CliSources, cache: Path, tmp_path: Path
) -> None:
    program = put_script(tmp_path / "mine", f"v{VERSION}")
    assert ensure_cli(cache=cache, report=print, sources=replace(sources, program=program)) == (
        program
    )


@pytest.mark.parametrize(
    ("version", "says"),
    [("v3.258.0", "of version v3.258.0, but v3.259.0 is needed"), ("", "not a working Pulumi CLI")],
)
def test_a_chosen_program_of_another_version_is_refused_and_not_replaced(
    sources: CliSources, cache: Path, tmp_path: Path, archives: Archives, version: str, says: str
) -> None:
    program = put_script(tmp_path / "mine", version)
    with pytest.raises(SettingInvalid, match="TENANTPLANE_PULUMI names") as refused:
        ensure_cli(cache=cache, report=print, sources=replace(sources, program=program))
    assert says in refused.value.message
    assert archives.asked_for == []


def test_a_chosen_program_that_does_not_exist_is_refused(
    sources: CliSources, cache: Path, tmp_path: Path
) -> None:
    missing = replace(sources, program=tmp_path / "missing")
    with pytest.raises(SettingInvalid, match="unset it"):
        ensure_cli(cache=cache, report=print, sources=missing)


def test_the_cached_program_is_used_before_the_one_on_path(
    sources: CliSources, cache: Path, tmp_path: Path
) -> None:
    cached = put_script(cache / "pulumi" / VERSION / "pulumi", f"v{VERSION}")
    put_script(tmp_path / "empty" / "pulumi", f"v{VERSION}")
    assert ensure_cli(cache=cache, report=print, sources=sources) == cached


def test_a_program_on_path_is_used_when_its_version_is_exactly_the_pinned_one(
    sources: CliSources, cache: Path, tmp_path: Path, archives: Archives
) -> None:
    on_path = put_script(tmp_path / "empty" / "pulumi", f"v{VERSION}")
    assert ensure_cli(cache=cache, report=print, sources=sources) == on_path
    assert archives.asked_for == []


def test_a_program_on_path_of_another_version_is_passed_over_and_named(
    sources: CliSources, cache: Path, tmp_path: Path
) -> None:
    put_script(tmp_path / "empty" / "pulumi", "v3.272.0")
    said: list[str] = []
    found = ensure_cli(cache=cache, report=said.append, sources=sources)
    assert found == cache / "pulumi" / VERSION / "pulumi"
    assert any("on PATH is v3.272.0, not v3.259.0" in line for line in said)


def test_a_broken_cached_program_is_replaced(
    sources: CliSources, cache: Path, archives: Archives
) -> None:
    cached = put_script(cache / "pulumi" / VERSION / "pulumi", "v0.0.1")
    said: list[str] = []
    assert ensure_cli(cache=cache, report=said.append, sources=sources) == cached
    assert cli_version(cached) == f"v{VERSION}"
    assert "v0.0.1" in said[0]


# --- downloaded -------------------------------------------------------------------------------
def test_the_archive_with_the_pinned_digest_is_installed_once(
    sources: CliSources, cache: Path, archives: Archives
) -> None:
    first = ensure_cli(cache=cache, report=print, sources=sources)
    assert cli_version(first) == f"v{VERSION}"
    assert ensure_cli(cache=cache, report=print, sources=sources) == first
    assert archives.asked_for == [f"/releases/pulumi-v{VERSION}-{this_platform()}.tar.gz"]
    assert everything_below(cache) == {f"pulumi/{VERSION}/pulumi", f"pulumi/{VERSION}.lock"}


def test_an_archive_with_another_digest_is_refused_and_deleted(
    sources: CliSources, cache: Path, archives: Archives
) -> None:
    expected = "0" * 64
    got = hashlib.sha256(archives.content).hexdigest()
    said: list[str] = []
    with pytest.raises(EngineUnavailable) as refused:
        ensure_cli(cache=cache, report=said.append, sources=with_digest(sources, expected))
    for text in (refused.value.message, said[-1]):
        assert f"its SHA-256 should be {expected}, but is {got}" in text
    assert everything_below(cache) == {f"pulumi/{VERSION}.lock"}


def test_a_download_that_breaks_off_is_refused_and_deleted(
    sources: CliSources, cache: Path, archives: Archives
) -> None:
    archives.cut_to = 100
    with pytest.raises(EngineUnavailable, match="was interrupted after 100 bytes"):
        ensure_cli(cache=cache, report=print, sources=sources)
    assert everything_below(cache) == {f"pulumi/{VERSION}.lock"}


def test_an_archive_that_the_server_does_not_have_is_named(
    sources: CliSources, cache: Path, archives: Archives
) -> None:
    archives.status = 404
    with pytest.raises(EngineUnavailable, match="the server answered 404"):
        ensure_cli(cache=cache, report=print, sources=sources)


def test_an_unreachable_server_is_named(sources: CliSources, cache: Path) -> None:
    unreachable = replace(sources, archive_base="http://127.0.0.1:1")
    with pytest.raises(EngineUnavailable, match=r"the download failed \(ConnectError\)"):
        ensure_cli(cache=cache, report=print, sources=unreachable)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no archive at all", "not a valid tar.gz"),
        (official_archive()[:-30], "not a valid tar.gz"),
        (official_archive("v3.0.0"), "reports version v3.0.0"),
    ],
)
def test_an_archive_pinned_by_mistake_is_refused(
    sources: CliSources, cache: Path, archives: Archives, content: bytes, says: str
) -> None:
    archives.content = content
    pinned_so = with_digest(sources, hashlib.sha256(content).hexdigest())
    with pytest.raises(EngineUnavailable, match=says):
        ensure_cli(cache=cache, report=print, sources=pinned_so)
    assert everything_below(cache) == {f"pulumi/{VERSION}.lock"}


def test_without_a_pinned_digest_nothing_is_downloaded_and_the_reason_is_said(
    sources: CliSources, cache: Path, archives: Archives
) -> None:
    said: list[str] = []
    with pytest.raises(EngineUnavailable) as refused:
        ensure_cli(cache=cache, report=said.append, sources=with_digest(sources, None))
    assert archives.asked_for == []
    assert f"no digest of the official archive is pinned for {this_platform()}" in said[0]
    for remedy in ("Install the Go version", "TENANTPLANE_PULUMI"):
        assert remedy in refused.value.message


def test_a_cache_that_cannot_be_written_is_named(sources: CliSources, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineUnavailable, match="TENANTPLANE_CACHE"):
        ensure_cli(cache=tmp_path / "file", report=print, sources=sources)


def test_what_a_killed_process_left_is_removed(sources: CliSources, cache: Path) -> None:
    left_over = cache / "pulumi" / "install-abc" / "pulumi"
    put_script(left_over, "v1")
    ensure_cli(cache=cache, report=print, sources=sources)
    assert not left_over.parent.exists()


TWO_AT_ONCE = """
import json, sys
from pathlib import Path
from control_plane.adapters.pulumi.install import CliSources, ensure_cli
from control_plane.adapters.pulumi.pins import Pins, this_platform
digest, base, cache, empty = sys.argv[1:]
sources = CliSources(
    environ={"PATH": empty},
    archive_base=base,
    pins=Pins(version="3.259.0", archive_base=base, archive_sha256={this_platform(): digest}),
)
said = []
path = ensure_cli(cache=Path(cache), report=said.append, sources=sources)
print(json.dumps({"path": str(path), "said": said}))
"""


def test_two_processes_at_once_make_it_once(
    sources: CliSources, cache: Path, archives: Archives, tmp_path: Path
) -> None:
    archives.seconds = 4.0
    digest = sources.pins.archive_sha256[this_platform()] or ""
    command = [
        sys.executable, "-c", TWO_AT_ONCE, digest, archives.url, str(cache), str(tmp_path / "empty")
    ]  # fmt: skip
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    answers = [json.loads(each.communicate(timeout=60)[0]) for each in both]
    assert {each["path"] for each in answers} == {str(cache / "pulumi" / VERSION / "pulumi")}
    assert len(archives.asked_for) == 1
    waiting = [line for each in answers for line in each["said"] if "another process" in line]
    assert waiting


# --- built ------------------------------------------------------------------------------------
@pytest.fixture
def buildable(sources: CliSources, tmp_path: Path) -> CliSources:
    """No digest is pinned; the source is a module of one file."""
    go = shutil.which("go") or "/usr/local/go/bin/go"
    if not os.access(go, os.X_OK):
        pytest.skip("there is no Go on this machine, so nothing can be built from source")
    module = tmp_path / "module"
    module.mkdir()
    (module / "go.mod").write_text("module example.test/pulumi\n\ngo 1.21\n")
    (module / "main.go").write_text(
        'package main\n\nvar Version = "unset"\n\nfunc main() { println2(Version) }\n'
    )
    (module / "print.go").write_text(
        'package main\n\nimport "os"\n\n'
        'func println2(line string) { os.Stdout.WriteString(line + "\\n") }\n'
    )
    program = GoProgram(module=module, package="example.test/pulumi", version_symbol="main.Version")
    compiled = subprocess.run([go, "env", "GOCACHE"], capture_output=True, text=True, check=True)
    (tmp_path / "user").mkdir()
    environ = {**os.environ, "PATH": str(Path(go).parent), "GOFLAGS": "-mod=vendor",
               "HOME": str(tmp_path / "user"), "GOCACHE": compiled.stdout.strip()}  # fmt: skip
    environ.pop("XDG_CONFIG_HOME", None)
    return replace(with_digest(sources, None), environ=environ, source=program)


def test_it_is_built_from_source_when_no_digest_is_pinned(
    buildable: CliSources, cache: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    made = ensure_cli(cache=cache, report=said.append, sources=buildable)
    assert cli_version(made) == f"v{VERSION}"
    assert "building it from source instead" in said[0]
    assert everything_below(cache) == {f"pulumi/{VERSION}/pulumi", f"pulumi/{VERSION}.lock"}
    assert everything_below(tmp_path / "user") == set()


def test_it_is_built_from_source_when_the_archive_is_refused(
    buildable: CliSources, cache: Path
) -> None:
    said: list[str] = []
    made = ensure_cli(cache=cache, report=said.append, sources=with_digest(buildable, "0" * 64))
    assert cli_version(made) == f"v{VERSION}"
    assert "was refused: its SHA-256 should be" in said[0]


def test_what_go_says_is_passed_on_when_it_fails(buildable: CliSources, cache: Path) -> None:
    (buildable.source.module / "print.go").unlink()
    with pytest.raises(EngineUnavailable, match="undefined: println2"):
        ensure_cli(cache=cache, report=print, sources=buildable)
    kept = {name for name in everything_below(cache) if not name.startswith("pulumi/go/")}
    assert kept == {f"pulumi/{VERSION}.lock"}


# --- the command ----------------------------------------------------------------------------
def test_the_command_prints_the_path_alone(tmp_path: Path) -> None:
    program = put_script(tmp_path / "mine", f"v{VERSION}")
    result = subprocess.run(
        [sys.executable, "-m", "control_plane.adapters.pulumi.install"],
        env={**os.environ, "TENANTPLANE_PULUMI": str(program)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, f"{program}\n")


def test_the_command_refuses_in_one_sentence(tmp_path: Path) -> None:
    program = put_script(tmp_path / "mine", "v1.0.0")
    result = subprocess.run(
        [sys.executable, "-m", "control_plane.adapters.pulumi.install"],
        env={**os.environ, "TENANTPLANE_PULUMI": str(program)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
