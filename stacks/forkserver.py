"""The warm parent of runners: it imports once what every call needs, and forks for each.

Started with a socket (``AF_UNIX``, ``SOCK_SEQPACKET``) as its standard input. A message is the id
of a call with three descriptors: the standard input, output and error of its runner. The answer is
the runner's process id with a handle of the process (``pidfd_open(2)``). Whatever one call has, its
request, secrets and files, comes to its runner through those descriptors alone and never reaches
this process, which has one thread and opens no connection. It ends with its caller, or when there
has been no call for a while.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final, Never

from stacks.engine import processes
from stacks.runner import exit_now, main

# Of a runner, beside what its program names in the SDK.
_MODULES: Final = (
    "pulumi",
    "pulumi.runtime.proto.events_pb2",
    "pulumi.runtime.proto.language_pb2",
    "google.protobuf.json_format",
    "botocore.session",
    "stacks.engine.applying",
    "stacks.engine.cleaning",
    "stacks.engine.looking",
    "stacks.engine.inspecting",
    "stacks.engine.keeper",
    "stacks.engine.resolving",
    "stacks.sandbox.provider",
)
# Those of AWS that every stack is asked about.
_SERVICES: Final = (
    *("resourcegroupstaggingapi", "s3", "iam", "kms", "logs", "ssm", "secretsmanager"),
    *("cloudwatch", "sts"),
)
# The sandbox's provider, which the guard of a call forks, makes networks too.
_PROVIDER: Final = ("stacks.sandbox.provider.__main__", "stacks.sandbox.provider.server")
_PROVIDER_SERVICES: Final = ("ec2",)
_DESCRIPTORS: Final = 3
_LONGEST_ID: Final = 200
_LOOK_SECONDS: Final = 5.0
_FAILED: Final = 70  # EX_SOFTWARE of sysexits.h


def serve(*, idle_seconds: float, sandbox: bool) -> None:
    """Fork a runner for each message until the caller is gone or ``idle_seconds`` have passed.

    ``sandbox`` says that the runners use its provider.
    """
    caller = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1):
        os.dup2(nothing, standard)
    os.close(nothing)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    _warm_up(sandbox=sandbox)
    end = time.monotonic() + idle_seconds
    while True:
        ready, _, _ = select.select([caller], [], [], _LOOK_SECONDS)
        living = _reap()
        if ready:
            call, descriptors, _, _ = socket.recv_fds(caller, _LONGEST_ID, _DESCRIPTORS)
            if not call:
                return  # its runners end by themselves: their input is at its end too
            pid = os.fork()
            if pid == 0:
                caller.close()
                _become_runner(call.decode(), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            handle = os.pidfd_open(pid)  # its number is its own until it is collected here
            with contextlib.suppress(OSError):
                socket.send_fds(caller, [str(pid).encode()], [handle])
            os.close(handle)
        if ready or living:
            end = time.monotonic() + idle_seconds
        elif time.monotonic() >= end:
            return


def _warm_up(*, sandbox: bool) -> None:
    """Import everything, and keep the collector from touching it in each runner."""
    from stacks import descriptions, program  # noqa: PLC0415 - after the streams are private

    for name in (*_MODULES, *(_PROVIDER if sandbox else ())):
        importlib.import_module(name)
    for mode in program.MODES:
        program.load(mode)
    descriptions.read((*_SERVICES, *(_PROVIDER_SERVICES if sandbox else ())))
    if sandbox:
        from stacks.sandbox.provider.catalogue import all_types  # noqa: PLC0415 - not in production

        list(all_types())
    gc.collect()
    gc.freeze()


def _reap() -> bool:
    """Collect the runners that have ended; return whether one lives."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, _ = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
    return False


def _become_runner(call_id: str, descriptors: Sequence[int]) -> Never:
    """Be the runner of a call: what this process has from its parent is imported code alone."""
    code = _FAILED
    try:
        os.setsid()  # a Ctrl-C for the caller is not one for the runner
        for standard, descriptor in enumerate(descriptors):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        processes.mark_this(call_id)
        code = main()
    finally:
        sys.stderr.flush()
        exit_now(code)
    raise AssertionError  # exit_now does not return
