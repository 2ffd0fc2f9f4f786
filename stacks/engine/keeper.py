"""The keeper: serves the state of one stack to the engine, and is its only writer.

The engine's command asks a service for state and secrets by the protocol of Pulumi Cloud. Here that
is a process of the call, on loopback, behind a token that only this call has (``protocol.py``). It
takes the stack for an update, records each step before the engine continues, seals the secrets, and
gives the stack back. It is a child of the guard and outlives runner and engine, so what an engine
has still done after its runner died is recorded too.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stacks.contract import Code
from stacks.engine.backend import PROJECT, Result, Update, backend_for
from stacks.engine.failures import CallFailed
from stacks.engine.protocol import OWNER, Server
from stacks.engine.sealing import Sealer

_SCHEMA_VERSION = 3  # of a deployment
_LAST_TRIES_SECONDS = 20.0  # to give the stack back to a backend that does not answer
_PAUSE_SECONDS = 0.5
_NO_STATE = {"manifest": {"time": "0001-01-01T00:00:00Z", "magic": "", "version": ""}}
_RESULTS: Mapping[str, Result] = {"succeeded": "succeeded", "cancelled": "canceled"}


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a keeper is started for."""

    call_id: str
    stack: str
    backend_url: str
    endpoint: str | None
    engine: str
    passphrase: str
    token: str
    former: str | None = None


class Keeper:
    """The stack of a call, with the update that it is taken for."""

    def __init__(self, order: Order) -> None:
        self._call_id = order.call_id
        self.stack = order.stack
        self.sealer = Sealer(order.passphrase, order.stack, order.former)
        self._backend = backend_for(
            order.backend_url,
            order.stack,
            engine=order.engine,
            sealer=self.sealer,
            endpoint=order.endpoint,
        )
        self._update: Update | None = None
        self._mutex = threading.Lock()

    def take(self) -> None:
        """Take the stack for an update. Raises ``CallFailed``."""
        with self._mutex:
            self._update = self._backend.take(self._call_id)

    def deployment(self, url: str) -> Mapping[str, Any]:
        """Return the state as the engine asks for it; its secrets are opened at ``url``."""
        with self._mutex:
            state = self._update.state if self._update is not None else self._backend.state()
        service = {"url": url, "owner": OWNER, "project": PROJECT, "stack": self.stack}
        sealed = {"secrets_providers": {"type": "service", "state": service}}
        return {"version": _SCHEMA_VERSION, "deployment": {**(state or _NO_STATE), **sealed}}

    def record(self, entries: list[Mapping[str, Any]]) -> None:
        """Record steps of the engine. Raises ``CallFailed``."""
        with self._mutex:
            self._taken().record(entries)

    def close(self, status: str) -> None:
        """Give the stack back as the engine says that its update ended."""
        with self._mutex:
            self._taken().close(_RESULTS.get(status, "failed"))

    def give_back(self, *, patience: float = 0.0) -> None:
        """Give the stack back if it is still taken, trying for so many seconds."""
        end = time.monotonic() + patience
        while True:
            try:
                with self._mutex:
                    if self._update is not None:
                        self._update.give_back()
                    return
            except CallFailed as failed:
                if failed.code is not Code.BACKEND_UNAVAILABLE or time.monotonic() > end:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def require_state(self) -> None:
        """Raise ``CallFailed`` when the store has nothing of the stack."""
        if self._backend.state() is None:
            raise CallFailed(
                Code.BACKEND, f"The state backend has nothing of the stack {self.stack}."
            )

    def require_taken(self) -> None:
        """Raise ``CallFailed`` unless the stack is taken for an update."""
        with self._mutex:
            self._taken()

    def _taken(self) -> Update:
        if self._update is None or not self._update.is_open:
            raise CallFailed(Code.LOCKED, "The stack is served for reading alone.")
        return self._update


def serve(
    order: Order,
    orders: int,
    announce: Callable[[Mapping[str, Any]], None],
    *,
    needs_state: bool = False,
) -> None:
    """Announce the port, or why it cannot serve, and serve until ``orders``, a pipe, is closed.

    Then give the stack back.
    """
    try:
        keeper = Keeper(order)
        if needs_state:
            keeper.require_state()
        server = Server(keeper, order.token)
    except CallFailed as failed:
        announce(asdict(failed))
        return
    threading.Thread(target=server.serve_forever, name="keeper", daemon=True).start()
    announce({"port": server.server_port, "pid": os.getpid()})
    with suppress(OSError):
        os.read(orders, 1)
    with suppress(CallFailed):  # it stays taken, by a process that no longer exists
        keeper.give_back(patience=_LAST_TRIES_SECONDS)


def keep(order: int, *, until: int, announcement: Path) -> None:
    """Serve what one line of the pipe ``order`` says, until the other pipe is closed.

    The announcement enters a file at one go.
    """

    def announce(content: Mapping[str, Any]) -> None:
        draft = announcement.with_suffix(".draft")
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(announcement)

    serve(_read(order), until, announce)


def serve_reader() -> None:
    """Serve the state to a person's command, as one line on standard input orders it.

    The port is printed as one line of JSON. Nothing asks to take the stack, so it is not changed.
    It ends with the end of the input.
    """
    serve(_read(0), 0, _say, needs_state=True)


def _read(pipe: int) -> Order:
    with os.fdopen(pipe, "rb", buffering=0, closefd=False) as orders:  # takes no byte too many
        return Order(**json.loads(orders.readline()))


def _say(content: Mapping[str, Any]) -> None:
    os.write(1, json.dumps(content).encode() + b"\n")
