"""``tenantctl serve``: everything of an embedded installation in one go.

It starts PostgreSQL and the emulated cloud side by side, then the audit log's signer, a worker and
the API, each its own process with the settings of its role alone; says one line per part; and ends
all of them on Ctrl-C. A part that exits unexpectedly is restarted, a few times at most. Every child
watches its parent too, so that nothing is left when this process is killed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import httpx
from pydantic import SecretStr

from control_plane.adapters.db import roles
from control_plane.adapters.home import Home, Key
from control_plane.adapters.loopback import keep_loopback_direct
from control_plane.adapters.postgres.server import SUPERUSER, EmbeddedPostgres
from control_plane.adapters.pulumi.runner_process import living_calls
from control_plane.bootstrap import SOURCE, Parts, prepare_database
from control_plane.cli.children import (
    READY_SECONDS,
    RESTART_SECONDS,
    RESTARTS,
    STOP_SECONDS,
    Child,
    Restarts,
)
from control_plane.cli.console import sign_in_code, sign_in_url
from control_plane.cli.seeding import prepare_accounts
from control_plane.config import (
    PREFIX,
    Installation,
    ProcessRole,
    Settings,
    authority,
    foreign_secrets,
    secret_settings,
)
from control_plane.domain.errors import SettingInvalid, Unavailable
from control_plane.domain.networks import is_loopback

LOCK_FILE: Final = "serve.lock"  # held while an installation runs in the folder
Say = Callable[[str], None]
_WITH_OBJECTS: Final = (ProcessRole.API, ProcessRole.WORKER)  # they may use a bucket
_OF_AWS: Final = "AWS_"  # what the names of credentials of AWS begin with
_NOTHING: Final = "\0"  # what no name begins with


@dataclass
class EmbeddedInstallation:
    """A running embedded installation. Use it as a context; it must start in the main thread.

    ``from_scratch`` removes what an earlier one left in the folder, if none is running in it.
    """

    settings: Settings
    say: Say
    from_scratch: bool = False
    url: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)
    _server: EmbeddedPostgres | None = None
    _server_restarts: Restarts = field(default_factory=Restarts)

    def __enter__(self) -> Self:
        """Start everything. Raises ``SettingInvalid`` or ``Unavailable`` in one sentence."""
        if self.settings.installation is Installation.PRODUCTION:
            raise SettingInvalid(
                "serve is for one machine; in production start `tenantctl api`, `worker` and "
                "`signer`"
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
        home.make()
        self._hold(home.folder)
        if self.from_scratch:
            _empty(home.folder)
        port = _free_port(self.settings.host, self.settings.port)
        if not is_loopback(self.settings.host):
            self.say(
                f"warning     the API listens on {self.settings.host} without TLS: tokens can be "
                f"read on the network; unset {PREFIX}HOST for this machine alone"
            )
        self.settings = self.settings.model_copy(update={"port": port})
        logs = home.part("logs")
        logs.mkdir(mode=0o700, exist_ok=True)
        self.environment = _clean_environment(self.settings, home.folder)
        self._keys(home)
        cloud, started = None, time.monotonic()
        if self.settings.cloud == "sandbox" and self.settings.sandbox_url is None:
            cloud = self._cloud(home.folder, logs)  # starts while the database does
        self._database(home.folder)
        if cloud is not None:
            self._know_cloud(cloud, started)
        self._stack.callback(_let_calls_end, home.part("calls"))
        prepare_accounts(Parts(self.child_settings()))
        self._processes(logs)
        _write_endpoints(home.folder, self.environment, self.url, self.settings.audit_host)
        self._stack.callback((home.folder / "serve.json").unlink, missing_ok=True)

    def _hold(self, home: Path) -> None:
        lock = self._stack.enter_context((home / LOCK_FILE).open("w"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unavailable(
                f"an installation is already running in {home}; stop it, or serve from another "
                f"folder "
                "(TENANTPLANE_HOME)"
            ) from None

    def _database(self, home: Path) -> None:
        if self.settings.database_url is not None:
            self.say("database    as set in TENANTPLANE_DATABASE_URL")
            return
        started = time.monotonic()
        server = self._stack.enter_context(EmbeddedPostgres(home / "postgres"))
        self._server = server
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

    def _cloud(self, home: Path, logs: Path) -> Child:
        journal = home / "cloud" / "journal.jsonl"
        journal.parent.mkdir(mode=0o700, exist_ok=True)
        command = [sys.executable, "-m", "stacks.sandbox.cloud",
                   "--journal", str(journal), "--parent-stdin", "--port", "0"]  # fmt: skip
        return self._launch("cloud", command, None, logs)

    def _know_cloud(self, child: Child, started: float) -> None:
        """Wait until the emulated cloud is ready; the others learn its address."""
        child.wait_until_ready()
        endpoint = str(json.loads(child.line)["endpoint"])
        # a new start must come back at this address
        child.command = [*child.command[:-1], str(urlsplit(endpoint).port)]
        self.environment[PREFIX + "SANDBOX_URL"] = endpoint
        self.say(f"cloud       emulated, {endpoint}{_took(started)}")

    def _keys(self, home: Home) -> None:
        """Make the keys of a new installation; one that has been started keeps what it has."""
        if home.is_marked:
            return
        made = home.create_keys(Key)
        if made:
            self.say(f"keys        created {', '.join(made)} in {home.part('keys')}")

    def _processes(self, logs: Path) -> None:
        """Start signer, worker and API side by side, and wait until each is ready."""
        started = time.monotonic()
        tenantctl = [sys.executable, "-m", "control_plane.cli"]
        self.url = self.child_settings().base_url
        waiting = [
            self._launch(role, [*tenantctl, role], role, logs)
            for role in (ProcessRole.SIGNER, ProcessRole.WORKER)
        ]
        api = self._launch("api", [sys.executable, "-m", "api"], ProcessRole.API, logs)
        own = f"http://{authority(self.settings.host)}:{self.settings.port}"
        api.answers = partial(_answers, own)
        for child in (*waiting, api):
            child.wait_until_ready(started + READY_SECONDS - time.monotonic())
            where = f"{self.url}, " if child is api else "ready, "
            self.say(f"{child.name:<11} {where}pid {child.process.pid}{_took(started)}")

    def _launch(self, name: str, command: list[str], role: ProcessRole | None, logs: Path) -> Child:
        """Start a part with the secrets of its role; one without a role gets none."""
        withheld = secret_settings() if role is None else foreign_secrets(role)
        hidden = {PREFIX + setting.upper() for setting in withheld}
        foreign = _NOTHING if role in _WITH_OBJECTS else _OF_AWS
        environment = {
            name: value
            for name, value in self.environment.items()
            if name not in hidden and not name.startswith(foreign)
        }
        child = Child(name, command, environment, logs / f"{name}.log", SOURCE)
        child.start()
        self._stack.callback(child.stop)
        self.children.append(child)
        return child

    def child_settings(self) -> Settings:
        """Return the settings as the children see them."""
        names = {name: PREFIX + name.upper() for name in Settings.model_fields}
        given = {
            name: self.environment[variable]
            for name, variable in names.items()
            if variable in self.environment
        }
        return Settings.model_validate(given)

    def next_steps(self) -> str:
        """Return what to type in another terminal."""
        home = Path(self.environment[PREFIX + "HOME"])
        return (
            "next, in another terminal:\n"
            f"  export {PREFIX}URL={self.url} {PREFIX}HOME={shlex.quote(str(home))}\n"
            f"  export {PREFIX}TOKEN=$(tenantctl token --role platform_admin --subject ada)\n"
            f"  tenantctl hub create eu-west-1        # logs: {home / 'logs'}\n"
            f"or in a browser: {self.console_url()}"
        )

    def console_url(self) -> str:
        """Return the link to the console; with an issuer of its own it fills in the code."""
        settings = self.child_settings()
        if settings.issuer is not None:
            return f"{self.url}/console"
        return sign_in_url(self.url, sign_in_code(settings))

    def wait(self) -> int:
        """Keep everything running until SIGINT or SIGTERM; returns the exit code.

        1 when a part exited repeatedly: its log has the reason.
        """
        stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda signum, _: stop.append(signum))
        while not stop:
            if not self._keep_alive():
                return 1
            time.sleep(0.2)
        self.say("stopping …")
        return 0

    def _keep_alive(self) -> bool:
        """Restart what has ended; False when something did so too often."""
        if self._server is not None and not self._server.running:
            pause = self._server_restarts.note_end()
            self.say(
                f"database exited unexpectedly; its log is {self._server.log}: "
                f"{'restarting' if pause is not None else 'stopping'}"
            )
            if pause is None:
                return False
            time.sleep(pause)
            self._server.stop()
            self._server.start()
            self.say(f"database    ready again, pid {self._server.pid}")
        for child in self.children:
            child.rotate_log()
            if child.has_ended():
                pause = child.restarts.note_end()
                self.say(
                    f"{child.name} exited unexpectedly (exit {child.process.returncode}; "
                    f"{child.log}: {child.last_line()})"
                )
                if pause is None:
                    self.say(
                        f"{child.name} exited {RESTARTS + 1} times within "
                        f"{RESTART_SECONDS / 60:.0f} minutes: stopping everything"
                    )
                    return False
                self.say(f"{child.name} is restarted ({len(child.restarts)} of {RESTARTS})")
                child.start_at = time.monotonic() + pause
            if child.start_at is not None:
                if time.monotonic() >= child.start_at:
                    child.start()
            elif child.look():
                self.say(f"{child.name:<11} ready again, pid {child.process.pid}")
        return True


def _empty(home: Path) -> None:
    for path in home.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOCK_FILE:
            path.unlink()


def _let_calls_end(folder: Path) -> None:
    """Wait for the engine of a worker that was killed: to stop gracefully it needs the cloud."""
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
    settled = {PREFIX + name.upper() for name in Settings.model_fields}
    is_for_aws = settings.cloud == "aws" or (settings.objects_url or "").startswith("s3://")
    foreign = _NOTHING if is_for_aws else _OF_AWS
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in settled and not name.startswith(foreign)
    }
    for name in settings.model_fields_set:
        value = getattr(settings, name)
        if isinstance(value, Path) and value.exists():
            value = value.absolute()  # the children start in another folder
        if name == "terraform" and os.sep in value:
            value = str(Path(value).absolute())  # likewise; without a folder it is found on PATH
        if value is not None:
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            environment[PREFIX + name.upper()] = str(plain)
    environment[PREFIX + "HOME"] = str(home)
    environment[PREFIX + "END_WITH_PARENT"] = str(os.getpid())
    environment["PYTHONUNBUFFERED"] = "1"
    keep_loopback_direct(environment)
    return environment


def _free_port(host: str, port: int) -> int:
    """Return the port, or one that is free for 0.

    Raises ``Unavailable`` when it is taken, ``SettingInvalid`` for a host that is not ours.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise _not_ours(host) from None
    family, _, _, _, address = found[0]
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            return int(probe.getsockname()[1])
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                raise _not_ours(host) from None
            raise Unavailable(
                f"port {port} on {host} cannot be used ({error.strerror}); "
                "set TENANTPLANE_PORT to a free one"
            ) from None


def _not_ours(host: str) -> SettingInvalid:
    return SettingInvalid(
        f"{PREFIX}HOST: {host} is not an address of this machine", name=f"{PREFIX}HOST"
    )


def _answers(url: str) -> bool:
    try:  # it is on this machine, whatever its address: no proxy
        return httpx.head(f"{url}/healthz", timeout=1.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _write_endpoints(home: Path, environment: Mapping[str, str], url: str, audit_host: str) -> None:
    """Leave where things are for other commands of this user (mode 0600)."""
    wanted = {
        name: value
        for name, value in environment.items()
        if name.startswith(PREFIX) and ("DATABASE" in name or "SANDBOX" in name)
    }
    wanted[PREFIX + "AUDIT_HOST"] = audit_host  # the logs name it: whoever verifies them needs it
    file = home / "serve.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps({"url": url, "settings": wanted}, indent=1))
