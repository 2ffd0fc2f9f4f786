"""Build the CLI from its source with Go, as ``tools/pulumi`` pins it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PROGRESS_SECONDS = 5.0
_USUAL_PLACES = ("/usr/local/go/bin/go", "/opt/homebrew/bin/go")


class BuildFailed(Exception):
    """Go is missing, or did not build it; the message is a clause."""


@dataclass(frozen=True, kw_only=True)
class GoProgram:
    """A program in a Go module.

    Attributes:
        module: Folder of ``go.mod`` and ``go.sum``.
        package: Import path of its main package.
        version_symbol: Variable that the linker sets to the version.
        tags: Build tags.
    """

    module: Path
    package: str
    version_symbol: str
    tags: tuple[str, ...] = ()


PULUMI = GoProgram(
    module=Path(__file__).parents[3] / "tools" / "pulumi",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    version_symbol="github.com/pulumi/pulumi/sdk/v3/go/common/version.Version",
    tags=("osusergo", "grpcnotrace"),
)


def find_go(search_path: str | None) -> str:
    """Return the ``go`` on the path, else one in a usual place. Raises BuildFailed."""
    if on_path := shutil.which("go", path=search_path):
        return on_path
    for place in _USUAL_PLACES:
        if os.access(place, os.X_OK):
            return place
    raise BuildFailed("Go is not on PATH")


def build_program(
    program: GoProgram,
    *,
    version: str,
    go: str,
    output: Path,
    report: Callable[[str], None],
    environ: Mapping[str, str],
    modules: Path,
    deadline_seconds: float = 3600.0,
) -> None:
    """Build ``program`` into the file ``output``.

    The modules must be those of ``go.sum``; C is not used, so no compiler for it is needed. What Go
    downloads and notes goes into the folder ``modules``, unless the user has named another.

    Raises:
        BuildFailed: with the last thing that Go said.
    """
    if not (program.module / "go.mod").is_file():
        raise BuildFailed("the folder tools/pulumi with the pinned source is not installed")
    build = _Build(
        folder=program.module,
        environ=_go_environment(environ, modules),
        report=report,
        deadline=time.monotonic() + deadline_seconds,
    )
    tags = f"-tags={','.join(program.tags)}"
    total = build.run("downloading modules", [go, "list", "-deps", tags, program.package])
    symbols = f"-s -w -X {program.version_symbol}=v{version}"
    flags = ["-v", "-trimpath", "-buildvcs=false", tags, f"-ldflags={symbols}", f"-o={output}"]
    build.run("compiling", [go, "build", *flags, program.package], of=total)


def _go_environment(environ: Mapping[str, str], modules: Path) -> dict[str, str]:
    """Keep proxies, caches and the toolchain of the user, but no flag that changes the result.

    Go would keep modules in ``~/go`` and its telemetry in the folder of its settings, which are
    read from where they are.
    """
    changing = {"GOFLAGS", "GOOS", "GOARCH", "GOEXPERIMENT", "GO111MODULE"}
    kept = {name: value for name, value in environ.items() if name not in changing}
    settings = environ.get("XDG_CONFIG_HOME") or f"{environ.get('HOME', '')}/.config"
    own = {"GOPATH": str(modules / "path")}
    if sys.platform != "darwin":  # which has one place for settings, whatever XDG says
        own["GOENV"] = f"{settings}/go/env"
        kept["XDG_CONFIG_HOME"] = str(modules / "config")
    return {
        **own,
        **kept,
        "CGO_ENABLED": "0",
        "GOWORK": "off",
        "GOFLAGS": "-mod=readonly -modcacherw",  # writable, so that it can be removed
    }


@dataclass(frozen=True, kw_only=True)
class _Build:
    """Runs commands of Go and reports how far they are."""

    folder: Path
    environ: Mapping[str, str]
    report: Callable[[str], None]
    deadline: float

    def run(self, doing: str, command: Sequence[str], *, of: int = 0) -> int:
        """Run to the end; return how many packages Go named."""
        started = time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=dict(self.environ),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # so that its compilers end with it
            )
        except OSError as error:
            raise BuildFailed(f"Go could not be started ({error.strerror})") from error
        said = _Said(process)
        try:
            self._wait(process, said, doing, of, started)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            said.join()
        if process.returncode != 0:
            raise BuildFailed(f"Go failed: {said.last()}")
        return said.packages

    def _wait(
        self, process: subprocess.Popen[str], said: _Said, doing: str, of: int, started: float
    ) -> None:
        while True:
            left = self.deadline - time.monotonic()
            if left <= 0:
                raise BuildFailed("it timed out")
            try:
                process.wait(timeout=min(_PROGRESS_SECONDS, left))
            except subprocess.TimeoutExpired:
                seconds = time.monotonic() - started
                packages = f"{said.packages} of at most {of}" if of else str(said.packages)
                fetched = f", {said.modules} modules fetched" if said.modules else ""
                self.report(
                    f"building the Pulumi CLI, {doing}: {packages} packages{fetched}, "
                    f"{seconds:.0f} s"
                )
            else:
                return


class _Said:
    """What a command printed: counted, and the end of it kept."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.packages = 0
        self.modules = 0
        self._lines: deque[str] = deque(maxlen=20)
        self._output = process.stdout
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._output or ():
            if line.startswith("go: downloading "):
                self.modules += 1
                continue
            self.packages += 1
            if line.strip():
                self._lines.append(line.strip())

    def join(self) -> None:
        self._thread.join(timeout=10)
        if self._output and not self._thread.is_alive():
            self._output.close()

    def last(self) -> str:
        """Return the last line, shortened."""
        return self._lines[-1][:300] if self._lines else "nothing"
