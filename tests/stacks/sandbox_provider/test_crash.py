"""A killed engine: the provider goes too, and what it had begun can be taken up again."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psutil
import pulumi_aws as aws
import pytest

from tests.stacks.cloud_process import CloudProcess, ended
from tests.stacks.sandbox_provider.engine import Engine, Stack

pytestmark = pytest.mark.slow

NAME = "/crash/log"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"


def program() -> None:
    aws.cloudwatch.LogGroup(
        "log", name=NAME, retention_in_days=7, skip_destroy=True, tags={"a": "b"}
    )


@pytest.fixture
def silent_endpoint() -> Iterator[str]:
    """An endpoint that takes every call and answers none."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        stopped = threading.Event()

        def take() -> None:
            while not stopped.is_set():
                try:
                    taken.append(listener.accept()[0])
                except TimeoutError:
                    continue

        taking = threading.Thread(target=take)
        taking.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        stopped.set()
        taking.join(timeout=10)
        for connection in taken:
            connection.close()


def wait_for(found: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def the_child(parent: int, word: str) -> int:
    """Return the id of the child whose command line has this word."""
    found: list[int] = []

    def look() -> bool:
        for process in psutil.process_iter(["pid", "ppid", "cmdline"]):
            line = process.info["cmdline"] or []
            if process.info["ppid"] == parent and any(part.endswith(word) for part in line):
                found.append(process.info["pid"])
        return bool(found)

    wait_for(look, seconds=20)
    return found[0]


def is_pending(stack: Stack) -> bool:
    try:  # for some milliseconds it is the stack itself, then the provider, that is being made
        return any(each["resource"]["type"] == LOG_GROUP for each in stack.pending)
    except (OSError, ValueError):  # not written yet, or being written
        return False


def settle(stack: Stack, identity: str) -> None:
    """Put the resource whose creation is pending into the state, known by its inputs and id only.

    The engine's own `--import-pending-creates` forgets it instead (3.259.0).
    """
    document = json.loads(stack.state_text)
    latest = document["checkpoint"]["latest"]
    (begun,) = latest.pop("pending_operations")
    latest["resources"].append({**begun["resource"], "id": identity})
    stack.state_file.write_text(json.dumps(document))


def test_a_killed_engine_takes_its_provider_along_and_its_work_is_taken_up(
    engine: Engine, cloud: CloudProcess, silent_endpoint: str
) -> None:
    stack = engine.stack("crash")
    stack.environment["AWS_ENDPOINT_URL"] = silent_endpoint
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(partial(stack.up, program, allowed_account_ids=None))
        wait_for(lambda: is_pending(stack))
        cli = the_child(engine.pid, "pulumi")
        provider = the_child(cli, "stacks.sandbox.provider")
        os.kill(cli, signal.SIGKILL)
        assert ended(provider, within_seconds=10)
        assert running.result(timeout=60).error is not None

    (begun,) = stack.pending
    assert (begun["type"], begun["resource"]["inputs"]["name"]) == ("creating", NAME)
    for lock in (engine.backend / ".pulumi" / "locks").rglob("*.json"):
        lock.unlink()  # its holder is dead

    # The call had arrived after all, which nobody was told.
    logs = cloud.client("logs")
    logs.create_log_group(logGroupName=NAME, tags={"a": "b"})
    settle(stack, NAME)
    stack.environment["AWS_ENDPOINT_URL"] = cloud.endpoint
    assert stack.refresh().error is None
    outputs = stack.state["log"]["outputs"]
    assert (outputs["arn"].split(":")[-1], outputs["skipDestroy"]) == (NAME, True)

    resumed = stack.up(program, allowed_account_ids=None)
    assert (resumed.error, resumed.moved) == (None, {"log": "update"})
    assert resumed.diffs == {"log": {"retentionInDays"}}  # which had not been set yet
    (group,) = logs.describe_log_groups(logGroupNamePrefix=NAME)["logGroups"]
    assert group["retentionInDays"] == 7
    assert stack.destroy().error is None
    assert logs.describe_log_groups(logGroupNamePrefix=NAME)["logGroups"] == [group]
    logs.delete_log_group(logGroupName=NAME)
