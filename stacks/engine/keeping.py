"""The runner's side of the keeper: it has it started, and asks it to take the stack."""

from __future__ import annotations

import http.client
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stacks.contract import Code, Request
from stacks.engine.failures import CallFailed
from stacks.engine.guard import Guard
from stacks.engine.keeper import Order

_START_SECONDS = 20.0
_POLL_SECONDS = 0.002
_ANSWER_SECONDS = 120.0


class Keeping:
    """A keeper that was started; it ends with the call."""

    def __init__(self, guard: Guard, request: Request, folder: Path) -> None:
        self._token = secrets.token_urlsafe(32)
        self._path = folder / "keeper.json"
        self._port: int | None = None
        self._is_taken = False
        self.pid: int | None = None
        guard.start_keeper(
            asdict(
                Order(
                    call_id=request.call_id,
                    stack=request.stack,
                    backend_url=request.backend_url,
                    endpoint=request.cloud.endpoint,
                    engine=request.cli_version,
                    passphrase=request.secrets.passphrase,
                    former=request.secrets.former,
                    token=self._token,
                )
            ),
            self._path,
        )

    @property
    def environment(self) -> Mapping[str, str]:
        """What the engine is started with to find its state.

        Raises ``CallFailed`` when the keeper cannot serve it.
        """
        url = f"http://127.0.0.1:{self._wait()}"
        return {"PULUMI_BACKEND_URL": url, "PULUMI_ACCESS_TOKEN": self._token}

    def take(self) -> None:
        """Take the stack for an update. Raises ``CallFailed``."""
        self._is_taken = True
        self._ask("/take")

    def give_back(self) -> None:
        """Give the stack back if it is still taken. Raises ``CallFailed``."""
        if self._is_taken:
            self._ask("/give-back")

    def _ask(self, path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._wait(), timeout=_ANSWER_SECONDS)
        try:
            connection.request("POST", path, headers={"Authorization": f"token {self._token}"})
            answer = connection.getresponse()
            document = json.loads(answer.read() or b"{}")
            failed = None if answer.status == http.HTTPStatus.OK else document["failed"]
        except (OSError, http.client.HTTPException, ValueError, LookupError) as error:
            raise CallFailed(Code.ENGINE, "The keeper of the state does not answer.") from error
        finally:
            connection.close()
        if failed is not None:
            raise _failed(failed)

    def _wait(self) -> int:
        end = time.monotonic() + _START_SECONDS
        while self._port is None:
            if self._path.exists():
                found = json.loads(self._path.read_bytes())
                if "port" not in found:
                    raise _failed(found)
                self._port, self.pid = int(found["port"]), int(found["pid"])
            elif time.monotonic() >= end:
                raise CallFailed(Code.ENGINE, "The keeper of the state did not start in time.")
            else:
                time.sleep(_POLL_SECONDS)
        return self._port


def _failed(document: Mapping[str, Any]) -> CallFailed:
    return CallFailed(**{**document, "code": Code(document["code"])})
