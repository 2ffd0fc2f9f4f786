"""Calls the runner as the control plane does, one process per call; for tests only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.stacks.sample_specs import ACCOUNT, REGION

CALL_SECONDS = 240

_SECRETS = {"passphrase": "correct horse battery staple", "hmac_key": "ab" * 32}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the runner said: ``planned`` is None when it came to no plan."""

    last: dict[str, Any]
    planned: dict[str, Any] | None
    seconds: float

    @property
    def outputs(self) -> dict[str, Any]:
        """What the stack exports."""
        return dict(self.last["outputs"])


class EngineCalls:
    """A runner with a state backend of its own, for one emulated cloud."""

    def __init__(self, *, cli: Path, root: Path, endpoint: str) -> None:
        self._cli = cli
        self._root = root
        self._endpoint = endpoint
        self._backend = root / "state"
        self._backend.mkdir()
        self._numbers = count(1)

    def call(
        self, operation: str, program: str, stack: str, spec: Mapping[str, Any], **more: Any
    ) -> Answer:
        """Make one call and return its answer, a failure too."""
        number = next(self._numbers)
        request = {
            "operation": operation,
            "call_id": f"call-{number}",
            "stack": stack,
            "program": program,
            "spec": spec,
            "cloud": {
                "provider": "sandbox",
                "region": REGION,
                "account_id": ACCOUNT,
                "endpoint": self._endpoint,
            },
            "backend_url": f"file://{self._backend}",
            "work_folder": str(self._root / f"call-{number}"),
            "cli": str(self._cli),
            "secrets": _SECRETS,
            **more,
        }
        return _answer(request)

    def up(self, program: str, stack: str, spec: Mapping[str, Any]) -> Answer:
        """Apply; the result must be one."""
        answer = self.call("up", program, stack, spec)
        assert answer.last["message"] == "result", answer.last
        return answer


def _answer(request: Mapping[str, Any]) -> Answer:
    environment = {
        **{name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ},
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-m", "stacks"],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        overdue = threading.Timer(CALL_SECONDS, process.kill)
        overdue.start()
        try:
            # the input stays open until the output ends: its end means that the parent died
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            lines = [json.loads(line) for line in process.stdout]
        finally:
            overdue.cancel()
            process.stdin.close()
    assert lines, "the runner ended without a word"
    planned = [line for line in lines if line["message"] == "planned"]
    return Answer(
        last=lines[-1],
        planned=planned[0] if planned else None,
        seconds=time.monotonic() - started,
    )
