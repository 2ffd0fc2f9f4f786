"""``tenantctl serve``: everything of an embedded installation in one go.

It starts, in this order: PostgreSQL, the emulated cloud, the audit log's signer, a worker and the
API, each its own process; says one line per part; and ends all of them on Ctrl-C, or when one of
them ends by itself. Every child watches its parent too, so that nothing is left when this process
is killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

import httpx
from pydantic import SecretStr

from control_plane.adapters.audit.keys import KeyFileUnusable, load_or_create_key_file
from control_plane.adapters.db import roles
from control_plane.adapters.postgres.server import SUPERUSER, EmbeddedPostgres
from control_plane.adapters.pulumi.runner_process import living_calls
from control_plane.bootstrap import SOURCE, Parts, prepare_accounts, prepare_database
from control_plane.config import PREFIX, Installation, Settings
from control_plane.domain.errors import SettingInvalid, Unavailable

READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 40.0
LOCK_FILE: Final = "serve.lock"  # held while an installation runs in the folder
Say = Callable[[str], None]


@dataclass
class Child:
    """A process of ours that says one line on its stdout when it is ready."""

    name: str
    process: subprocess.Popen[bytes]

    @classmethod
    def start(
        cls, name: str, command: list[str], environment: Mapping[str, str], log: Path
    ) -> Child:
        """Start it; its stderr goes to ``log``, its stdin is a pipe that we never write to."""
        with log.open("ab") as stream:
            process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stream,
                cwd=SOURCE,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop it in order
            )
        return cls(name=name, process=process)

    def ready_line(self, log: Path) -> str:
        """Wait for its line. Raises ``Unavailable`` with the last thing it said."""
        stdout = self.process.stdout
        line = _line(stdout, READY_SECONDS) if stdout else b""
        if not line:
            self.stop()
            raise Unavailable(f"{self.name} did not start: {_last_line(log)}")
        return line.decode().strip()

    def stop(self) -> None:
        """Ask it to end, and end it when it does not."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        if self.process.stdin:
            self.process.stdin.close()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _line(stream: IO[bytes], seconds: float) -> bytes:
    selector = selectors.DefaultSelector()
    selector.register(stream, selectors.EVENT_READ)
    return stream.readline() if selector.select(seconds) else b""


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1][-400:] if lines else "it said nothing"


@dataclass
class EmbeddedInstallation:
    """A running embedded installation. Use it as a context; it must start in the main thread.

    ``afresh`` removes what an earlier one left in the folder, if none is running in it.
    """

    settings: Settings
    say: Say
    afresh: bool = False
    url: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start everything. Raises ``SettingInvalid`` or ``Unavailable`` in one sentence."""
        if self.settings.installation is Installation.PRODUCTION:
            raise SettingInvalid(
                "serve is for one machine; in production start `tenantctl api`, `worker` and "
                "`signer` each"
            )
        self._stack = ExitStack()
        signal.signal(signal.SIGTERM, _stop_here)
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop everything, the last started first."""
        self._stack.close()

    def _start(self) -> None:
        home = Parts(self.settings).home
        self._hold(home.folder)
        if self.afresh:
            _empty(home.folder)
        port = _free_port(self.settings.host, self.settings.port)
        self.settings = self.settings.model_copy(update={"port": port})
        logs = home.part("logs")
        logs.mkdir(mode=0o700, exist_ok=True)
        self.environment = _clean_environment(self.settings, home.folder)
        self._database(home.folder)
        if self.settings.cloud == "sandbox" and self.settings.sandbox_url is None:
            self._cloud(home.folder, logs)
        self._stack.callback(_let_calls_end, home.part("calls"))
        self._audit_key(home.folder)
        prepare_accounts(Parts(self._child_settings()))
        self._processes(logs)
        _write_endpoints(home.folder, self.environment, self.url)
        self._stack.callback((home.folder / "serve.json").unlink, missing_ok=True)

    def _hold(self, home: Path) -> None:
        lock = self._stack.enter_context((home / LOCK_FILE).open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable(
                f"an installation already runs in {home}; stop it, or serve from another folder "
                "(TENANTPLANE_HOME)"
            ) from None

    def _database(self, home: Path) -> None:
        if self.settings.database_url is not None:
            self.say("database    the one of TENANTPLANE_DATABASE_URL")
            return
        started = time.monotonic()
        server = self._stack.enter_context(EmbeddedPostgres(home / "postgres"))
        roles.bootstrap(server.url(SUPERUSER, "postgres"))
        for name, role in (
            ("DATABASE_OWNER_URL", roles.OWNER),
            ("DATABASE_URL", roles.APP),
            ("DATABASE_SEQUENCER_URL", roles.SEQUENCER),
            ("DATABASE_AUDITOR_URL", roles.AUDITOR),
        ):
            self.environment[PREFIX + name] = server.url(role, roles.DATABASE)
        prepare_database(server.url(roles.OWNER, roles.DATABASE))
        self.say(f"database    PostgreSQL, embedded, pid {server.pid}{_took(started)}")

    def _cloud(self, home: Path, logs: Path) -> None:
        journal = home / "cloud" / "journal.jsonl"
        journal.parent.mkdir(mode=0o700, exist_ok=True)
        command = [sys.executable, "-m", "stacks.sandbox.cloud", "--port", "0",
                   "--journal", str(journal), "--parent-stdin"]  # fmt: skip
        started = time.monotonic()
        line = self._launch("cloud", command, logs).ready_line(logs / "cloud.log")
        endpoint = str(json.loads(line)["endpoint"])
        self.environment[PREFIX + "SANDBOX_URL"] = endpoint
        self.say(f"cloud       emulated, {endpoint}{_took(started)}")

    @staticmethod
    def _audit_key(home: Path) -> None:
        keys = home / "keys"
        keys.mkdir(mode=0o700, exist_ok=True)
        try:
            load_or_create_key_file(keys / "audit.key")
        except KeyFileUnusable as error:
            raise SettingInvalid(str(error)) from error

    def _processes(self, logs: Path) -> None:
        """Start signer, worker and API side by side, and wait until each is ready."""
        started = time.monotonic()
        tenantctl = [sys.executable, "-m", "control_plane.cli"]
        waiting = [self._launch(name, [*tenantctl, name], logs) for name in ("signer", "worker")]
        api = self._launch("api", [sys.executable, "-m", "api"], logs)
        for child in waiting:
            child.ready_line(logs / f"{child.name}.log")
            self.say(f"{child.name:<11} ready, pid {child.process.pid}{_took(started)}")
        self.url = self._child_settings().base_url
        deadline = started + READY_SECONDS
        while not _answers(f"http://{self.settings.host}:{self.settings.port}"):
            if api.process.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(f"api did not start: {_last_line(logs / 'api.log')}")
            time.sleep(0.05)
        self.say(f"api         {self.url}, pid {api.process.pid}{_took(started)}")

    def _launch(self, name: str, command: list[str], logs: Path) -> Child:
        child = Child.start(name, command, self.environment, logs / f"{name}.log")
        self._stack.callback(child.stop)
        self.children.append(child)
        return child

    def _child_settings(self) -> Settings:
        """Return the settings as the children see them."""
        names = {name: PREFIX + name.upper() for name in Settings.model_fields}
        given = {
            name: self.environment[variable]
            for name, variable in names.items()
            if variable in self.environment
        }
        return Settings.model_validate(given)

    def ended(self) -> Child | None:
        """Return a child that ended by itself, if one did."""
        return next((child for child in self.children if child.process.poll() is not None), None)

    def wait(self) -> int:
        """Wait for SIGINT or SIGTERM, or for a child that ends; returns the exit code."""
        stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda signum, _: stop.append(signum))
        while not stop:
            dead = self.ended()
            if dead is not None:
                self.say(f"{dead.name} ended by itself (exit {dead.process.returncode}): stopping")
                return 1
            time.sleep(0.2)
        self.say("stopping …")
        return 0


def _empty(home: Path) -> None:
    for path in home.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK_FILE:
            path.unlink()


def _let_calls_end(folder: Path) -> None:
    """Wait for the engine of a worker that was killed: to stop in order it needs the cloud."""
    deadline = time.monotonic() + STOP_SECONDS
    while living_calls(folder) and time.monotonic() < deadline:
        time.sleep(0.2)


def _stop_here(*_: object) -> None:
    """End as on Ctrl-C, through every ``finally`` on the way."""
    raise KeyboardInterrupt


def _took(started: float) -> str:
    return f"  ({time.monotonic() - started:.1f} s)"


def _clean_environment(settings: Settings, home: Path) -> dict[str, str]:
    """Return the environment of the children: ours, with every setting as this process has it."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("AWS_")
    } if settings.cloud == "sandbox" else dict(os.environ)  # fmt: skip
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, Path) and value.exists():
            value = value.absolute()  # the children start in another folder
        if value is not None:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            environment[PREFIX + name.upper()] = str(plain)
    environment[PREFIX + "HOME"] = str(home)
    environment[PREFIX + "END_WITH_PARENT"] = "1"
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


def _free_port(host: str, port: int) -> int:
    """Return the port, or one that is free for 0. Raises ``Unavailable`` when it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            return int(probe.getsockname()[1])
        except OSError as error:
            raise Unavailable(
                f"port {port} on {host} cannot be used ({error.strerror}); "
                "set TENANTPLANE_PORT to a free one"
            ) from None


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=1.0).status_code == 200
    except httpx.HTTPError:
        return False


def _write_endpoints(home: Path, environment: Mapping[str, str], url: str) -> None:
    """Leave where things are for other commands of this user (mode 0600)."""
    wanted = {
        name: value
        for name, value in environment.items()
        if name.startswith(PREFIX) and ("DATABASE" in name or "SANDBOX" in name)
    }
    file = home / "serve.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"url": url, "settings": wanted}, indent=1))
