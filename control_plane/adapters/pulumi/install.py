"""Find the pinned Pulumi CLI on any machine: given, cached, on PATH, downloaded or built.

    python -m control_plane.adapters.pulumi.install

prints its path. The order is that of ``ensure_cli``; the reasons are in
``docs/decisions/0002-pulumi-cli.md``.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from control_plane.adapters.cache import SETTING as CACHE_SETTING
from control_plane.adapters.cache import cache_folder
from control_plane.adapters.pulumi.archive import ArchiveRefused, fetch_program
from control_plane.adapters.pulumi.build import (
    PULUMI,
    BuildFailed,
    GoProgram,
    build_program,
    find_go,
)
from control_plane.adapters.pulumi.pins import Pins, pinned, this_platform
from control_plane.domain.errors import DomainError, EngineUnavailable, SettingInvalid

PROGRAM_SETTING = "TENANTPLANE_PULUMI"
ARCHIVES_SETTING = "TENANTPLANE_PULUMI_ARCHIVES"

_MODULES = "go"  # what Go downloads for a build
_VERSION_SECONDS = 60.0
_LOCK_SECONDS = 3600.0
_LOCK_REPORT_SECONDS = 10.0

Report = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class CliSources:
    """Where the CLI may come from.

    Attributes:
        program: A program chosen by the user, used or refused but never replaced.
        environ: Environment of the programs that are started; ``PATH`` is searched.
        archive_base: URL of the folder of the official archives; None is the pinned one.
        pins: The version, and the digests of the archives.
        source: The Go program to build.
    """

    program: Path | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    archive_base: str | None = None
    pins: Pins = field(default_factory=pinned)
    source: GoProgram = PULUMI

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> CliSources:
        """Read ``TENANTPLANE_PULUMI`` and ``TENANTPLANE_PULUMI_ARCHIVES``."""
        chosen = environ.get(PROGRAM_SETTING, "")
        return cls(
            program=Path(chosen).expanduser().absolute() if chosen else None,
            archive_base=environ.get(ARCHIVES_SETTING) or None,
            environ=dict(environ),
        )


def ensure_cli(*, cache: Path, report: Report, sources: CliSources | None = None) -> Path:
    """Return the path of a ``pulumi`` of exactly the pinned version.

    It is the one that ``TENANTPLANE_PULUMI`` names, the one in ``cache`` or the one on PATH, in
    this order; otherwise it is put into ``cache``, once and for all processes, by downloading the
    official archive where its digest is pinned, or by building it with Go. ``report`` gets lines of
    progress and the reason of every source that was skipped.

    Raises:
        SettingInvalid: the named program is not a Pulumi CLI of the pinned version.
        EngineUnavailable: no source had it; the message has the reason of each.
    """
    sources = sources or CliSources.from_environment()
    wanted = f"v{sources.pins.version}"
    if sources.program is not None:
        _check_chosen(sources.program, wanted)
        return sources.program
    home = cache / "pulumi"
    cached = home / sources.pins.version / "pulumi"
    if cached.exists():
        found = cli_version(cached)
        if found == wanted:
            return cached
        report(f"the cached Pulumi CLI reports version {found or 'none'}: replacing it")
    on_path = _on_path(sources, wanted, report)
    if on_path:
        return on_path
    try:
        home.mkdir(parents=True, exist_ok=True)
        with _only_one(home / f"{sources.pins.version}.lock", report):
            if cli_version(cached) != wanted:  # nobody else has made it meanwhile
                _make(cached, home, sources, report)
    except OSError as error:
        raise EngineUnavailable(
            f"The cache folder cannot be used ({error.strerror}): free space there, or set "
            f"{CACHE_SETTING} to a writable folder."
        ) from error
    return cached


def cli_version(program: Path) -> str | None:
    """Return what ``pulumi version`` prints, such as ``v3.259.0``; None when it does not run."""
    try:
        # it writes a log into its home even for this: a home that is thrown away
        with tempfile.TemporaryDirectory(prefix="tenantplane-") as home:
            result = subprocess.run(
                [str(program), "version"],
                capture_output=True,
                text=True,
                timeout=_VERSION_SECONDS,
                check=False,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true", "PULUMI_HOME": home},
            )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return result.stdout.strip()[:80] or None if result.returncode == 0 else None


def _check_chosen(program: Path, wanted: str) -> None:
    found = cli_version(program)
    if found is None:
        raise SettingInvalid(
            f"{PROGRAM_SETTING} names a file that is not a working Pulumi CLI: "
            f"set it to one of version {wanted}, or unset it."
        )
    if found != wanted:
        raise SettingInvalid(
            f"{PROGRAM_SETTING} names a Pulumi CLI of version {found}, but {wanted} is needed: "
            "set it to one of that version, or unset it."
        )


def _on_path(sources: CliSources, wanted: str, report: Report) -> Path | None:
    found = shutil.which("pulumi", path=sources.environ.get("PATH"))
    if found is None:
        return None
    version = cli_version(Path(found))
    if version == wanted:
        return Path(found)
    report(f"the pulumi on PATH is {version or 'not usable'}, not {wanted}: skipping it")
    return None


def _make(cached: Path, home: Path, sources: CliSources, report: Report) -> None:
    """Download or build into a private folder, check, then move into the cache in one step."""
    for left_over in home.glob("install-*"):  # of processes that were killed; we hold the lock
        shutil.rmtree(left_over, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="install-", dir=home) as folder:
        made = _download(Path(folder), sources, report)
        if isinstance(made, str):
            report(f"{made}; building it from source instead, once; this takes several minutes")
            made = _build(Path(folder), home / _MODULES, sources, report, not_downloaded=made)
        found = cli_version(made)
        if found != f"v{sources.pins.version}":
            raise EngineUnavailable(
                f"The new Pulumi CLI reports version {found or 'none'}, not "
                f"v{sources.pins.version}: set {PROGRAM_SETTING} to a pulumi of that version."
            )
        cached.parent.mkdir(exist_ok=True)
        made.replace(cached)
    shutil.rmtree(home / _MODULES, ignore_errors=True)  # kept till here, for another try


def _download(folder: Path, sources: CliSources, report: Report) -> Path | str:
    """Return the program, or the reason why there is none."""
    platform = this_platform()
    sha256 = sources.pins.archive_sha256.get(platform)
    if not sha256:
        return f"no digest of the official archive is pinned for {platform}, so it is not fetched"
    base = (sources.archive_base or sources.pins.archive_base).rstrip("/")
    name = sources.pins.archive_name(platform)
    try:
        return fetch_program(f"{base}/{name}", sha256=sha256, folder=folder, report=report)
    except ArchiveRefused as refused:
        return f"the official archive {name} was refused: {refused}"


def _build(
    folder: Path, modules: Path, sources: CliSources, report: Report, *, not_downloaded: str
) -> Path:
    output = folder / "pulumi"
    version = sources.pins.version
    try:
        build_program(
            sources.source,
            version=version,
            go=find_go(sources.environ.get("PATH")),
            output=output,
            report=report,
            environ=sources.environ,
            modules=modules,
        )
    except BuildFailed as failed:
        raise EngineUnavailable(
            f"The Pulumi CLI {version} is unavailable: {not_downloaded}, and it was not built, "
            f"because {failed}. Install the Go version that tools/pulumi/go.mod names and try "
            f"again, or "
            f"set {PROGRAM_SETTING} to a pulumi of version v{version}."
        ) from failed
    return output


@contextmanager
def _only_one(lock: Path, report: Report) -> Iterator[None]:
    """Hold a lock file; wait for its holder, which is making the same thing."""
    with lock.open("w", encoding="utf-8") as file:
        started, said = time.monotonic(), 0.0
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waited = time.monotonic() - started
                if waited > _LOCK_SECONDS:
                    raise EngineUnavailable(
                        "Another process has been installing the Pulumi CLI for an hour: "
                        "stop it and try again."
                    ) from None
                if waited >= said:
                    report(f"another process is installing the Pulumi CLI: waiting, {waited:.0f} s")
                    said = waited + _LOCK_REPORT_SECONDS
                time.sleep(0.2)
        yield  # closing the file gives the lock up


def main() -> int:
    """Make sure that the CLI is there and print its path; exit 5 when it is unavailable."""

    def report(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    try:
        path = ensure_cli(cache=cache_folder(), report=report)
    except DomainError as error:
        report(error.message)
        return 2 if isinstance(error, SettingInvalid) else 5
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
