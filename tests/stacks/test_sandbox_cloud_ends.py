"""When the emulated cloud ends, and what it does first."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError
from werkzeug.test import EnvironBuilder

from stacks.sandbox.remembering import Remembering
from tests.signals import signal_another_thread
from tests.stacks.cloud_process import CloudProcess, ended

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def test_what_was_done_is_answered_also_while_it_ends(tmp_path: Path) -> None:
    journal = tmp_path / "cloud.journal"
    acknowledged: list[str] = []

    def work(cloud: CloudProcess, worker: int) -> None:
        sqs = cloud.client("sqs")
        for number in range(2000):
            name = f"w{worker}-{number}"
            try:
                sqs.create_queue(QueueName=name)
            except BotoCoreError:
                return  # it has ended, before this was done
            acknowledged.append(name)

    with CloudProcess(journal) as cloud, ThreadPoolExecutor(max_workers=8) as workers:
        working = [workers.submit(work, cloud, number) for number in range(8)]
        while len(acknowledged) < 100:
            time.sleep(0.01)
        assert cloud.terminate() == 0
        for done in working:
            done.result(timeout=60)
    with CloudProcess(journal) as again:
        pages = again.client("sqs").get_paginator("list_queues").paginate()
        urls = [url for page in pages for url in page.get("QueueUrls", [])]
    assert {url.rpartition("/")[2] for url in urls} == set(acknowledged)


def test_its_end_waits_until_an_answer_is_sent() -> None:
    def application(_environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        return [b"done"]

    cloud = Remembering(application, None)
    answer = cloud(EnvironBuilder().get_environ(), lambda *_: None)
    closing = threading.Thread(target=cloud.close, daemon=True)
    closing.start()
    closing.join(0.5)
    assert closing.is_alive()
    assert b"".join(answer) == b"done"
    answer.close()  # type: ignore[attr-defined] # as a WSGI server does when it has sent it
    closing.join(10)
    assert not closing.is_alive()


def test_what_waits_for_its_turn_when_it_ends_is_not_begun() -> None:
    begun: list[str] = []
    go_on = threading.Event()

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        begun.append(environ["PATH_INFO"])
        go_on.wait(30)
        start_response("200 OK", [])
        return [b"done"]

    cloud = Remembering(application, None)

    def ask(path: str) -> bytes:
        answer = cloud(EnvironBuilder(path).get_environ(), lambda *_: None)
        answer.close()  # type: ignore[attr-defined] # as a WSGI server does when it has sent it
        return b"".join(answer)

    with ThreadPoolExecutor(max_workers=5) as threads:
        first = threads.submit(ask, "/first")
        while not begun:
            time.sleep(0.01)
        later = [threads.submit(ask, f"/{number}") for number in range(3)]
        time.sleep(0.2)  # they wait for their turn
        closing = threads.submit(cloud.close)
        time.sleep(0.2)
        go_on.set()
        assert first.result(30) == b"done"
        closing.result(30)
        for refused in later:
            with pytest.raises(ConnectionAbortedError):
                refused.result(30)
    assert begun == ["/first"]


def test_it_ends_cleanly_when_asked() -> None:
    with CloudProcess() as cloud:
        assert cloud.terminate() == 0


def test_it_ends_when_another_thread_takes_the_signal() -> None:
    with CloudProcess() as cloud:
        assert cloud.process is not None
        signal_another_thread(cloud.process.pid, signal.SIGTERM)
        assert cloud.process.wait(timeout=60) == 0


def test_it_ends_at_the_end_of_standard_input() -> None:
    with CloudProcess() as cloud:
        assert cloud.process is not None
        assert cloud.process.stdin is not None
        cloud.process.stdin.close()
        assert cloud.process.wait(timeout=60) == 0


def test_it_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'stacks.sandbox.cloud', '--port', '0'],"
        " stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    assert ended(pid, within_seconds=60)
