"""An installation in which processes are killed: separate processes, two workers, one of each."""

from __future__ import annotations

import io
import itertools
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass, field
from typing import Any, Final

import boto3
import psutil
import psycopg
from psycopg.rows import dict_row

from control_plane.adapters.db import roles
from control_plane.adapters.postgres import SUPERUSER
from control_plane.adapters.pulumi.runner_parent import MARK
from control_plane.adapters.secrets import FileSecretStore
from control_plane.domain.stack_salt import StackSalt
from stacks.engine.backend import Backend, backend_for
from stacks.engine.sdk import VERSION
from stacks.engine.sealing import Sealer
from tests.end_to_end.installation import REGION, request_body
from tests.end_to_end.production import Production
from tests.end_to_end.two_hosts import _BECOME as BECOME
from tests.end_to_end.two_hosts import _ISOLATE as ISOLATE
from tests.stacks.runner_calls import hold

WORKERS: Final = ("worker", "spare")
ACCOUNT: Final = "123456789012"
FOREIGN_STACK: Final = "foreign.production.a"
CALL_SECONDS: Final = 60
_PATIENCE_SECONDS: Final = 60.0


@dataclass
class Site(Production):
    """A production installation with a second worker, which takes over what the first leaves.

    With ``hosts`` each worker is on a host of its own, with a name and processes of its own, which
    is killed as a whole; another one, of another name, is put up for it. Then a lock that is left
    is broken only after the deadline of its call, so calls have a minute.
    """

    hosts: bool = False
    companies: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    names: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    said: list[str] = field(default_factory=list)  # why runs stopped, as it was shown

    # --- processes -----------------------------------------------------------------------------
    def settings(self, role: str) -> dict[str, str]:
        """Return the environment of a process; the API keeps its place when it is started again."""
        if role == "api" and self.url:
            port, url = self.port, self.url
            found = super().settings(role) | self.production(PORT=port)
            self.port, self.url = port, url
            return found
        if role not in WORKERS:
            return super().settings(role)
        home = self.home(role)
        if not home.exists():
            shutil.copytree(self.home("worker"), home)
        found = super().settings("worker") | self.production(HOME=home, WORKER_ID=role)
        if self.hosts:
            found |= self.production(APPLY_SECONDS=CALL_SECONDS, PLAN_SECONDS=CALL_SECONDS)
        return found

    def launch(self, role: str) -> None:
        """Start one process."""
        if self.hosts and role in WORKERS:
            name = f"{role}-host-{next(self.names)}"
            isolated = [*ISOLATE, sys.executable, "-c", BECOME, name]
            process = self._spawn_command(role, isolated, self.settings(role))
            self.stack.callback(process.kill)  # it takes no other signal, and passes none on
            return
        command = ["-m", "api"] if role == "api" else ["-m", "control_plane.cli", role]
        if role in WORKERS:
            command = ["-m", "control_plane.cli", "worker"]
        self._spawn(role, command, self.settings(role))

    def start(self) -> None:
        """Start everything and wait for it."""
        for role in ("signer", *WORKERS, "api"):
            self.launch(role)
        for role in ("signer", *WORKERS):
            assert self._first_line(self.processes[role]) == "ready"
        self.until(self._answers, "the API answers")
        self.api("ada").post("/v1/accounts", {"account_id": ACCOUNT, "shared": True})

    def kill(self, role: str) -> None:
        """Kill a process without warning, and start another one in its place."""
        process = self.processes.pop(role)
        process.kill()
        process.wait()
        self.launch(role)

    def marked(self, run_id: str) -> list[psutil.Process]:
        """Return the processes of the engine calls of a run."""
        found = []
        for role in WORKERS:
            launched = self.processes.get(role)
            if launched is None:
                continue
            try:
                below = psutil.Process(launched.pid).children(recursive=True)
            except psutil.Error:
                continue
            found += [each for each in below if _mark(each).startswith(f"{run_id}.")]
        return found

    def patiently(self, ask: Callable[[], Any]) -> Any:
        """Ask the API, again while it is started again; what the client says counts at the end."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            said = io.StringIO()
            try:
                with redirect_stderr(said):
                    return ask()
            except Exception:
                if time.monotonic() > deadline:
                    sys.stderr.write(said.getvalue())
                    raise
                time.sleep(0.2)  # until it listens again

    # --- what is there -------------------------------------------------------------------------
    def rows(self, query: str, *values: object, **named: object) -> list[dict[str, Any]]:
        """Read the installation's tables past all of its rules."""
        url = self.server.url(SUPERUSER, roles.DATABASE)
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as admin:
            return admin.execute(query, named or values).fetchall()  # type: ignore[arg-type] # our own

    def state(self, deployment: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the resources that the state backend has of a deployment."""
        store = FileSecretStore(self.home("worker") / "keys" / "master.key")
        salts = self.rows("SELECT * FROM stack_salt WHERE id = %s", deployment["id"])
        salt = StackSalt(**salts[0]) if salts else None
        keys = store.stack_keys(deployment["id"], salt)
        backend = self._backend(deployment["stack"], keys.passphrase)
        state: dict[str, Any] = dict(backend.state() or {})
        assert not state.get("pending_operations"), state["pending_operations"]
        return list(state.get("resources") or ())

    def client(self, service: str) -> Any:
        """Return a client of the cloud, past the product."""
        return boto3.client(
            service, region_name=REGION, endpoint_url=self.cloud,  # type: ignore[call-overload]
            aws_access_key_id="testing", aws_secret_access_key="testing",
        )  # fmt: skip

    def hold_foreign(self) -> str:
        """Let somebody else hold a stack of no run; returns the lock's id."""
        return hold(self._backend(FOREIGN_STACK, "of somebody else"), pid=1)

    def foreign_locks(self) -> list[str]:
        """Return the locks of that stack."""
        return [lock.id for lock in self._backend(FOREIGN_STACK, "of somebody else").locks()]

    def _backend(self, stack: str, passphrase: str) -> Backend:
        url, sealer = f"file://{self.folder / 'state'}", Sealer(passphrase, stack)
        return backend_for(url, stack, engine=f"v{VERSION}", sealer=sealer, endpoint=self.cloud)

    def company(self, mode: str) -> dict[str, Any]:
        """Return the signed contract of a company that nobody has heard of before."""
        number = next(self.companies)
        body = request_body(mode)
        name = f"crash{number}"
        body["contract"] |= {"envelope_id": f"env-{name}", "contract_id": f"C-{name}"}
        body["company"] |= {"legal_name": f"{name} GmbH", "domain": f"{name}.com"}
        return body


def _mark(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "").strip()
    except psutil.Error:
        return ""
