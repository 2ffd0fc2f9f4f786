"""Starts the emulated cloud as a child process and talks to it; for tests only."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
import httpx
import psutil
from botocore.config import Config

REGION = "eu-west-1"
START_SECONDS = 120.0  # seconds; a machine under load imports slowly


class CloudProcess:
    """One emulated cloud; a context manager that ends what it started."""

    def __init__(
        self, journal: Path | None = None, *, port: int = 0, module: str = "stacks.sandbox.cloud"
    ) -> None:
        self.command = [sys.executable, "-m", module, "--port", str(port)]
        if journal is not None:
            self.command += ["--journal", str(journal)]
        self.ready: dict[str, Any] = {}
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [*self.command, "--parent-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], START_SECONDS)
        line = self.process.stdout.readline() if readable else b""
        if not line:
            self.kill()
            raise AssertionError("the emulated cloud did not become ready")
        self.ready = json.loads(line)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.terminate()

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return str(self.ready["endpoint"])

    def client(self, service: str, *, region: str = REGION, **credentials: str) -> Any:
        """Return a boto3 client for a service of this cloud."""
        keys = credentials or {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        config = Config(retries={"max_attempts": 0}, connect_timeout=10, read_timeout=60)
        return boto3.client(  # type: ignore[call-overload] # the name comes in as a value
            service, region_name=region, endpoint_url=self.endpoint, config=config, **keys
        )

    def post(self, path: str, body: str = "") -> None:
        """Send a command to moto's own API."""
        plain = {"Content-Type": "text/plain"}
        httpx.post(self.endpoint + path, content=body, headers=plain, timeout=30).raise_for_status()

    def kill(self) -> None:
        """End it without warning."""
        self._end(signal.SIGKILL)

    def terminate(self) -> int:
        """Ask it to end and return its exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        return code


def ended(pid: int, *, within_seconds: float) -> bool:
    """Tell whether a process that is not our child has ended."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return True
        else:
            if stat.rsplit(")", 1)[1].split()[0] == "Z":
                return True
        time.sleep(0.05)
    return False


@contextmanager
def silent(cloud: CloudProcess) -> Iterator[None]:
    """Stop the emulated cloud's answers by suspending its process."""
    assert cloud.process is not None
    process = psutil.Process(cloud.process.pid)
    process.suspend()
    try:
        yield
    finally:
        process.resume()
