"""The warm parent of runners, as the process that calls the engine sees it."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from control_plane.domain.errors import EngineUnavailable

IDLE_SECONDS: Final = 300.0  # without a call it ends: it holds some 100 MB
MARK: Final = "TENANTPLANE_CALL_ID"
_MARK_WIDTH: Final = 200
_START_SECONDS: Final = 60.0  # a machine under load imports slowly
_ATTEMPTS: Final = 2  # it may end for want of calls while one is on its way


@dataclass(frozen=True)
class Forked:
    """A runner: its ends of the protocol, and the process, which is not a child of this one."""

    pid: int
    stdin: BinaryIO
    stdout: BinaryIO
    stderr: BinaryIO
    _handle: int  # of pidfd_open(2): means this process, whatever its number is used for later

    def wait(self, seconds: float) -> bool:
        """Wait for its end; return whether it came within ``seconds``."""
        return bool(select.select([self._handle], [], [], seconds)[0])

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._handle, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the process; it must have ended."""
        os.close(self._handle)


class RunnerParent:
    """Starts runners by having ``command`` fork; started itself when it is needed.

    ``environment`` is that of all runners, ``source`` the folder they start in, ``sandbox`` whether
    they use its provider. See ``stacks/forkserver.py`` for what is said between the two.
    """

    def __init__(
        self,
        *,
        source: Path,
        environment: Mapping[str, str],
        sandbox: bool = False,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._source = source
        # each runner writes the mark of its call over the blanks
        self._environment = {**environment, MARK: " " * _MARK_WIDTH}
        self._command = [sys.executable, "-m", "stacks", "--serve", str(idle_seconds)]
        self._command += ["sandbox"] if sandbox else []
        self._mutex = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    def start(self, call_id: str) -> Forked:
        """Start the runner of a call. Raises ``EngineUnavailable``."""
        theirs, ours = _pipes()
        try:
            with self._mutex:
                handle, pid = self._ask(call_id, theirs)
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        stdin, stdout, stderr = ours
        return Forked(
            pid, os.fdopen(stdin, "wb"), os.fdopen(stdout, "rb"), os.fdopen(stderr, "rb"), handle
        )

    def close(self) -> None:
        """End the parent; runners that live end when their inputs are closed."""
        with self._mutex:
            self._end()

    def _ask(self, call_id: str, descriptors: Sequence[int]) -> tuple[int, int]:
        """Have a runner forked; return a handle of its process, and its number."""
        for _ in range(_ATTEMPTS):
            channel = self._socket or self._begin()
            with contextlib.suppress(OSError):  # it has ended
                socket.send_fds(channel, [call_id.encode()], list(descriptors))
                answer, handles, _, _ = socket.recv_fds(channel, 32, 1)
                if answer:
                    return handles[0], int(answer)
            self._end()
        raise EngineUnavailable("the parent of the runners does not start: see the log")

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(_START_SECONDS)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    self._command,
                    cwd=self._source,
                    env=self._environment,
                    stdin=theirs.fileno(),
                    start_new_session=True,  # a Ctrl-C for this process is not one for runners
                )
            except OSError as error:
                ours.close()
                raise EngineUnavailable(
                    f"the parent of the runners could not be started: {error.strerror}"
                ) from error
        self._socket = ours
        return ours

    def _end(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _pipes() -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """Return the runner's ends of its standard streams, and ours."""
    (in_r, in_w), (out_r, out_w), (err_r, err_w) = os.pipe(), os.pipe(), os.pipe()
    return (in_r, out_w, err_w), (in_w, out_r, err_r)
