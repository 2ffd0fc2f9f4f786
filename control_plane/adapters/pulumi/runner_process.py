"""The runner as a process: started, spoken to in JSON lines, and never left behind."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import psutil
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from control_plane.adapters.loopback import keep_loopback_direct
from control_plane.adapters.pulumi.runner_parent import MARK, Forked
from control_plane.domain.errors import EngineFailed
from control_plane.logging import get_logger

log = get_logger()

DIED: Final = "runner_died"  # reason of an EngineFailed: the process ended without an answer

CALL_FOLDER: Final = "call-"  # begins the name of a call's private folder

_EXIT_SECONDS: Final = 10.0
_KEPT_LINES: Final = 200  # of standard error, for the log
_PASSWORD: Final = re.compile(r"(?<=://)[^\s:@/]*:[^\s@/]*(?=@)|(?<=password=)[^\s&]+")


class Messages:
    """The messages of the protocol, checked against their JSON Schemas."""

    def __init__(self, schemas: Path) -> None:
        self._request = Draft202012Validator(_read(schemas / "runner_request.schema.json"))
        line = _read(schemas / "runner_line.schema.json")
        # One validator per kind: the schema's own choice would try them all.
        self._lines = {
            definition["properties"]["message"]["const"]: Draft202012Validator(
                {"$ref": f"#/$defs/{name}", "$defs": line["$defs"]}
            )
            for name, definition in line["$defs"].items()
            if "message" in definition.get("properties", {})
            and "const" in definition["properties"]["message"]
        }

    def check_request(self, request: Mapping[str, Any]) -> None:
        """Raise ``EngineFailed`` for a request that the runner would refuse."""
        error = best_match(self._request.iter_errors(request))
        if error is not None:
            where = ".".join(str(part) for part in error.absolute_path) or "request"
            # The message would quote the value, which may be a secret.
            raise EngineFailed(
                f"the engine cannot be called: {where} is invalid", reason="bad_request"
            )

    def parse(self, line: bytes) -> dict[str, Any]:
        """Return a line of the runner. Raises ``EngineFailed`` when it is none."""
        try:
            message = json.loads(line)
            validator = self._lines[message["message"]]
        except (ValueError, KeyError, TypeError):
            raise EngineFailed("unexpected message from the runner", reason="protocol") from None
        error = best_match(validator.iter_errors(message))
        if error is not None:
            where = ".".join(str(part) for part in error.absolute_path) or message["message"]
            raise EngineFailed(f"invalid message from the runner at {where}", reason="protocol")
        return dict(message)


class RunnerProcess:
    """One runner. Use as a context manager: at its end the process is gone."""

    def __init__(self, started: Forked) -> None:
        self._process = started
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._writing = threading.Lock()
        self._noise: deque[str] = deque(maxlen=_KEPT_LINES)
        self._quiet = threading.Event()  # standard error is at its end
        # Read at once, however slowly the lines are used: the engine never waits for a full pipe.
        for target in (self._read_lines, self._read_noise):
            threading.Thread(target=target, name="runner", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, line: str) -> None:
        """Send one line; a runner that is gone is noticed when its answer is read."""
        pipe = self._process.stdin
        with self._writing, contextlib.suppress(OSError, ValueError):
            pipe.write(line.encode() + b"\n")
            pipe.flush()

    def hang_up(self) -> None:
        """Close the runner's input, which stops it as the death of this process would."""
        with self._writing, contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()

    def line(self, *, seconds: float) -> bytes | None:
        """Return the next line, empty at the end of the output, None if none came in time."""
        try:
            return self._lines.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            return None

    def wait_for_guard(self, seconds: float) -> bool:
        """Wait until nothing of a dead runner is left; its guard closes standard error last."""
        return self._quiet.wait(seconds)

    def log_noise(self, call_id: str) -> None:
        """Write what the runner said on standard error into the log."""
        if self._noise:
            lines = [_PASSWORD.sub("[secret]", line) for line in self._noise]
            log.warning("runner.noise", call=call_id, lines=lines)

    def _end(self) -> None:
        self.hang_up()
        if not self._process.wait(_EXIT_SECONDS):
            self._process.kill()  # its guard ends the rest
            self._process.wait(_EXIT_SECONDS)
        self._quiet.wait(_EXIT_SECONDS)
        self._process.close()

    def _read_lines(self) -> None:
        with self._process.stdout as pipe:
            for line in pipe:
                self._lines.put(line)
        self._lines.put(b"")

    def _read_noise(self) -> None:
        with self._process.stderr as pipe:
            for line in pipe:
                self._noise.append(line.decode("utf-8", "replace").rstrip())
        self._quiet.set()


def living_calls(folder: Path) -> set[str]:
    """Return the ids of the calls with private folders in ``folder`` that have processes.

    After the death of who made them they stop by themselves, within seconds.
    """
    ids = {path.name.removeprefix(CALL_FOLDER) for path in folder.glob(f"{CALL_FOLDER}*")}
    living = set()
    for process in psutil.process_iter() if ids else ():
        # gone meanwhile, or another user's: neither is a process of ours
        with contextlib.suppress(psutil.Error, OSError):
            if process.status() != psutil.STATUS_ZOMBIE:
                living.add(process.environ().get(MARK, "").strip())
    return living & ids


def runner_environment(*, sandbox: bool) -> dict[str, str]:
    """Return what runners may see of this process's environment.

    For the sandbox no real credentials are passed on, whatever is set here.
    """
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED or name.startswith("PG") or (name.startswith("AWS_") and not sandbox)
    }
    if sandbox:
        passed |= {"AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox"}
    keep_loopback_direct(passed)
    # its threads wait most of the time: with an arena of memory for each it is 12 MB larger
    return {**passed, "MALLOC_ARENA_MAX": "2"}


_PASSED: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR", "PYTHONPATH"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"),
        *("https_proxy", "http_proxy", "no_proxy", "ALL_PROXY", "all_proxy"),
        "TENANTPLANE_PULUMI_PLUGINS",
    }
)


def _read(path: Path) -> dict[str, Any]:
    document = json.loads(path.read_text(encoding="utf-8"))
    return dict(document)
