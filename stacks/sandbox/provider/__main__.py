"""The plugin's process: `pulumi-resource-aws [flags] ENGINE_ADDRESS`, started by the engine.

The guard of a runner calls `main` in a process that it has forked. It prints its port, serves on
loopback and ends with the process that started it: the engine puts plugins into process groups of
their own, and a killed engine tells them nothing.
"""

import contextlib
import gc
import os
import queue
import signal
import socket
import sys
import threading
from concurrent import futures
from pathlib import Path
from types import FrameType

from stacks.sandbox.provider import PROCESS
from stacks.sandbox.provider.messages import skip_sdk_initialisers

_WORKERS = 16
_WATCH_SECONDS = 0.5
_ENGINE_LOOKS = 10  # looks at the parent between two looks at the engine's address
_ENGINE_MISSES = 3
# Most objects are descriptions of services, which stay: looking through them at every 700th new
# object frees next to nothing.
_COLLECT_AFTER = 50_000


def main(arguments: list[str]) -> int:
    """Serve until the engine says to stop or is gone. Returns the exit status."""
    gc.set_threshold(_COLLECT_AFTER)
    with contextlib.suppress(OSError):  # where there is no /proc
        Path("/proc/self/comm").write_text(PROCESS, "ascii")
    os.environ.setdefault("AWS_EC2_METADATA_DISABLED", "true")  # no machine role in the sandbox
    skip_sdk_initialisers()
    parent = os.getppid()
    import grpc  # noqa: PLC0415 - after the SDK's initialisers were skipped
    from pulumi.runtime.proto import provider_pb2_grpc  # noqa: PLC0415 - likewise

    from stacks.sandbox.provider.server import Provider  # noqa: PLC0415 - likewise

    # unlike an event, a signal handler may fill it at any moment
    stopped: queue.SimpleQueue[None] = queue.SimpleQueue()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.put(None)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    unlimited = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),
    ]
    workers = futures.ThreadPoolExecutor(_WORKERS)
    server = grpc.server(workers, options=unlimited)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    os.write(1, f"{port}\n".encode())  # whatever a process that was forked calls its sys.stdout
    threading.Thread(target=_prepare, daemon=True).start()
    engine = arguments[-1] if arguments and not arguments[-1].startswith("-") else ""
    orphaned = _serve(stopped, parent, engine)
    server.stop(grace=None)
    if orphaned:
        return 1  # calls that are still under way must not keep an orphan alive
    workers.shutdown()
    return 0


def _prepare() -> None:
    """Load what the first call needs, while the engine is still busy elsewhere."""
    import botocore.session  # noqa: F401, PLC0415 - imported for its effect


def _serve(stopped: queue.SimpleQueue[None], parent: int, engine: str) -> bool:
    """Wait for the end; returns True when the parent or the engine vanished silently."""
    looks = misses = 0
    while True:
        with contextlib.suppress(queue.Empty):
            stopped.get(timeout=_WATCH_SECONDS)
            return False
        if os.getppid() != parent:
            return True
        looks += 1
        if engine and looks % _ENGINE_LOOKS == 0:
            misses = 0 if _answers(engine) else misses + 1
            if misses >= _ENGINE_MISSES:
                return True


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=2):
            return True
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    exit_code = main(sys.argv[1:])
    # Nothing is left to do but to give memory back object by object, seconds on a busy machine.
    sys.stderr.flush()
    os._exit(exit_code)
