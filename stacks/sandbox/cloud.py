"""The emulated AWS of the embedded mode: moto on loopback, corrected, with a memory.

    python -m stacks.sandbox.cloud --port 0 --journal var/cloud.journal --parent-stdin

When it is ready it prints one line of JSON on standard output and nothing else ever:
``{"ready": true, "endpoint": "http://127.0.0.1:PORT", "replayed": N, "differing": 0}``.
``replayed`` counts the journaled requests that were repeated, ``differing`` those whose answer was
another one than before (their numbers are on standard error; it is not zero when moto, Python or
the corrections changed since). Without ``--journal`` the cloud is empty at each start.

It ends at SIGTERM and SIGINT after the request in progress, when its parent process ends, and with
``--parent-stdin`` at the end of file on standard input. Exit codes: 0 ended as asked, 1 the journal
cannot be used, 2 usage, 5 port or journal are taken.

Any credentials are accepted and everything is allowed, until somebody switches IAM on:
``POST /moto-api/reset-auth`` with the body ``0`` (``Content-Type: text/plain``); ``inf`` switches
it off again. From then on calls must be signed with keys that the emulated IAM or STS gave out,
and ``authorization.py`` decides. So a test of who may do what makes its roles, assumes each of
them while IAM is still off (then no trust policy is asked; a role that only an AWS service assumes
can be tried that way too), switches IAM on and uses the credentials that it got.
``POST /moto-api/reset`` empties the cloud; whether IAM is on stays as it is. The journal
remembers both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import queue
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

HOST = "127.0.0.1"
DEFAULT_ACCOUNT = "123456789012"

EXIT_UNUSABLE = 1
EXIT_UNAVAILABLE = 5

_PROGRESS_SECONDS = 5.0
_PARENT_SECONDS = 1.0
_LOOK_SECONDS = 1.0  # a signal that another thread took does not wake the main one

Stop = queue.SimpleQueue[None]  # unlike an event, a signal handler may fill it at any moment


class PortTaken(Exception):
    """Something else listens on the port."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to end; return the exit code.

    Without ``arguments`` they are those of this process, which is then started anew, see below.
    """
    options = _parser().parse_args(arguments)
    if arguments is None:
        _start_again_in_a_fixed_environment(options.account)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    from stacks.sandbox.journal import JournalLocked, JournalUnusable  # noqa: PLC0415 # after exec

    try:
        return _serve(options)
    except (PortTaken, JournalLocked) as refused:
        sys.stderr.write(f"{refused}\n")
        return EXIT_UNAVAILABLE
    except JournalUnusable as refused:
        sys.stderr.write(f"{refused}\n")
        return EXIT_UNUSABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m stacks.sandbox.cloud", description="Serve an emulated AWS on 127.0.0.1."
    )
    parser.add_argument("--port", type=_port, required=True, help="0 picks a free port")
    parser.add_argument("--journal", type=Path, help="file that keeps the state over restarts")
    parser.add_argument("--account", type=_account, default=DEFAULT_ACCOUNT, metavar="ID")
    parser.add_argument(
        "--parent-stdin", action="store_true", help="end at the end of file on standard input"
    )
    return parser


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535")
    return int(text)


def _account(text: str) -> str:
    if len(text) != 12 or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not an AWS account id: give 12 digits")
    return text


def _start_again_in_a_fixed_environment(account: str) -> None:
    """Replace this process by one whose environment cannot change what moto answers.

    Hash order and time zone must be those of the recorded run, settings of moto and credentials of
    the user must not leak in, and one malloc arena less per thread saves memory. All of it is read
    before the first line of Python runs or when moto is imported, hence a new start.
    """
    fixed = {
        "PYTHONHASHSEED": "0",
        "TZ": "UTC",
        "MALLOC_ARENA_MAX": "2",
        "MOTO_ACCOUNT_ID": account,
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        # no CORS: a page in the user's browser may not drive the cloud
        "MOTO_DISABLE_GLOBAL_CORS": "true",
    }
    strangers = [
        name
        for name in os.environ
        if name.startswith(("MOTO_", "AWS_", "S3_", "INITIAL_NO_AUTH", "TEST_"))
        and name not in fixed
    ]
    if not strangers and all(os.environ.get(name) == value for name, value in fixed.items()):
        return
    kept = {name: value for name, value in os.environ.items() if name not in strangers}
    command = [sys.executable, *sys.orig_argv[1:]]
    os.execve(sys.executable, command, {**kept, **fixed})  # noqa: S606 # our own program again


def _serve(options: argparse.Namespace) -> int:
    stop: Stop = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.put(None))
    _watch_parent(stop, os.getppid(), by_stdin=options.parent_stdin)
    listener = _bound_socket(options.port)
    port: int = listener.getsockname()[1]
    os.environ["MOTO_PORT"] = str(port)

    # moto is imported here, after the port is known to be free: the import takes a second
    from moto import __version__ as moto_version  # noqa: PLC0415 # see above
    from werkzeug.serving import make_server  # noqa: PLC0415 # see above

    from stacks.sandbox.application import QuietHandler, corrected_moto  # noqa: PLC0415 # see above
    from stacks.sandbox.journal import Journal  # noqa: PLC0415 # see above
    from stacks.sandbox.remembering import Remembering  # noqa: PLC0415 # see above

    journal = None
    if options.journal:
        journal = Journal(options.journal, moto_version=moto_version, account=options.account)
    cloud = Remembering(corrected_moto(), journal)
    replay = cloud.replay(_Progress(stop).show)
    if replay.differing:
        first = ", ".join(map(str, replay.differing[:10]))
        sys.stderr.write(
            f"{len(replay.differing)} of {replay.replayed} repeated requests were answered "
            f"differently than before (numbers {first}): what they made may be missing. Move the "
            f"journal {options.journal} away to start with an empty cloud.\n"
        )
    server = make_server(
        HOST, port, cloud, threaded=True, request_handler=QuietHandler, fd=listener.fileno()
    )
    listener.close()
    threading.Thread(target=server.serve_forever, name="cloud", daemon=True).start()
    _say_ready(port, replayed=replay.replayed, differing=len(replay.differing))
    _wait(stop)
    cloud.close()
    return 0


def _wait(stop: Stop) -> None:
    while True:
        with contextlib.suppress(queue.Empty):
            return stop.get(timeout=_LOOK_SECONDS)


def _bound_socket(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"The emulated cloud cannot listen on port {port} of {HOST} ({error.strerror}): "
            "stop what uses it, or choose another port (0 picks a free one)."
        ) from error
    return listener


def _watch_parent(stop: Stop, parent: int, *, by_stdin: bool) -> None:
    def until_parent_changes() -> None:
        while os.getppid() == parent:
            time.sleep(_PARENT_SECONDS)
        stop.put(None)

    def until_end_of_input() -> None:
        try:
            while os.read(sys.stdin.fileno(), 4096):
                pass
        except (OSError, ValueError, AttributeError):
            pass  # a closed standard input is an ended one
        stop.put(None)

    threading.Thread(target=until_parent_changes, name="parent", daemon=True).start()
    if by_stdin:
        threading.Thread(target=until_end_of_input, name="stdin", daemon=True).start()


def _say_ready(port: int, *, replayed: int, differing: int) -> None:
    line = {
        "ready": True,
        "endpoint": f"http://{HOST}:{port}",
        "replayed": replayed,
        "differing": differing,
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class _Progress:
    """Says on standard error how far a long replay is, and ends it when asked to stop."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._last = time.perf_counter()

    def show(self, done: int) -> None:
        if not self._stop.empty():
            raise SystemExit(0)
        now = time.perf_counter()
        if now - self._last >= _PROGRESS_SECONDS:
            self._last = now
            sys.stderr.write(f"repeating the journal: {done} requests so far\n")


if __name__ == "__main__":
    exit_code = main()
    # Nothing is left to do but to give memory back object by object, seconds on a busy machine.
    sys.stderr.flush()
    os._exit(exit_code)
