"""The one file that uses private parts of the Pulumi SDK and undocumented ones of its CLI.

Written for and tested with 3.259.0 (``tests/stacks/test_runner_sdk.py`` holds what it relies on):

- an inline program: the CLI is given ``--client=HOST:PORT`` and calls ``Run`` of a language
  runtime there; ``pulumi.runtime`` runs a program against the addresses of that request;
- ``--event-log tcp://HOST:PORT`` (only with PULUMI_DEBUG_COMMANDS) streams engine events as JSON,
  all kinds of them, secrets masked, to the service ``pulumirpc.Events``.

Both services share one server whose handlers take raw bytes, so that it listens, and the CLI can
start, while the SDK and the program are still being imported.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import json
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from stacks.engine.failures import STACK_TYPE, ProgramError, scrubbed

VERSION = "3.259.0"

_STACKS = Path(__file__).resolve().parent.parent
_STREAM_END_SECONDS = 10.0
_MESSAGE_LIMIT = 400 * 1024 * 1024  # bytes; the SDK's own limit
_QUEUE_LIMIT_SECONDS = 1800  # a request may wait while the program blocks; the SDK's own limit
_LANGUAGE = "/pulumirpc.LanguageRuntime/"
_EVENTS = "/pulumirpc.Events/"
_GONE = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED})

OnEvent = Callable[[dict[str, Any]], None]


@dataclass
class ProgramRun:
    """What one run of the program said: secrets are in the open, so it is never passed on."""

    exported: tuple[str, ...] = ()  # names of its outputs
    registered: dict[str, dict[str, Any]] = field(default_factory=dict)  # its registrations by URN
    outputs: dict[str, Any] = field(default_factory=dict)
    error: ProgramError | None = None


@dataclass
class _Stream:
    """The events of one operation of the CLI process."""

    on_event: OnEvent
    ended: threading.Event = field(default_factory=threading.Event)


class EngineHost:
    """Serves the program and takes the events of one CLI process after the other."""

    def __init__(self, program: str | None) -> None:
        """Start to import the program named ``program``, and listen.

        Without a program nothing is registered, so that the engine deletes everything.
        """
        self.run = ProgramRun()  # the last one
        self._program = program
        self._main: Callable[[], tuple[str, ...]] = tuple  # until it is imported
        self._import_failed: ProgramError | None = None
        self._streams: list[_Stream] = []
        self._begun = 0  # of the streams
        self._on_held: Callable[[], None] | None = None
        self._released = threading.Event()
        self._imported = threading.Event()
        self._imports = threading.Thread(target=self._import, name="imports", daemon=True)
        self._imports.start()
        self._server = grpc.server(
            ThreadPoolExecutor(max_workers=8),
            options=[
                ("grpc.max_receive_message_length", _MESSAGE_LIMIT),
                ("grpc.server_max_unrequested_time_in_server", _QUEUE_LIMIT_SECONDS),
            ],
        )
        self._server.add_generic_rpc_handlers((_Handlers(self._methods()),))
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        self.address = f"127.0.0.1:{port}"

    def expect(
        self,
        *on_event: OnEvent,
        on_held: Callable[[], None] | None = None,
    ) -> None:
        """Prepare for the next CLI process.

        Each ``on_event`` gets the events of one of its operations, in order: of the preview and
        then of the update, where it does both. With ``on_held`` the run that is not a preview is
        held: it is called then, and the program is run after ``release``.
        """
        self._streams, self._begun = [_Stream(each) for each in on_event], 0
        self._on_held = on_held
        self._released.clear()
        self.run = ProgramRun()

    def release(self) -> None:
        """Let the held run of the program begin."""
        self._released.set()

    def wait_for_events(self, operation: int) -> bool:
        """Wait until the events of an operation have ended, 0 the first; False if they did not."""
        return self._streams[operation].ended.wait(_STREAM_END_SECONDS)

    def close(self) -> None:
        """Stop to listen."""
        self._server.stop(0)

    # --- the program ---------------------------------------------------------------------------
    def _import(self) -> None:
        try:
            importlib.import_module("pulumi.runtime.proto.events_pb2")
            if self._program is None:
                return
            _leave_out_places()
            module = importlib.import_module("stacks.program")
            module.load(self._program)
            self._main = module.main
        except BaseException as error:  # noqa: BLE001 - whatever the program's module raises
            self._import_failed = program_error(error)
        finally:
            self._imported.set()

    def _run(self, data: bytes) -> bytes:
        self._imported.wait()
        from pulumi.runtime.proto import language_pb2  # noqa: PLC0415 - imported meanwhile

        request = language_pb2.RunRequest.FromString(data)
        if self._on_held is not None and not request.dryRun:
            self._on_held()
            self._released.wait()
        self.run = ProgramRun(error=self._import_failed)
        response = language_pb2.RunResponse()
        if self._import_failed is not None:
            response.error = self._import_failed.text
        if self._import_failed is not None or self._program is None:
            return bytes(response.SerializeToString())
        # Everything that the SDK keeps about a run is in context variables.
        error = contextvars.copy_context().run(self._run_program, request)
        if error is not None:
            response.error = error
        return bytes(response.SerializeToString())

    def _run_program(self, request: Any) -> str | None:
        import pulumi  # noqa: PLC0415 - imported meanwhile
        from pulumi.runtime import reset_options, run_in_stack, set_all_config  # noqa: PLC0415
        from pulumi.runtime.settings import get_engine, get_monitor  # noqa: PLC0415

        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        reset_options(
            project=request.project,
            monitor_address=request.monitor_address,
            engine_address=request.args[0] if request.args else "",
            stack=request.stack,
            parallel=request.parallel,
            preview=request.dryRun,
            organization=request.organization or "organization",
        )
        _leave_out_debug(get_engine())
        self._watch(get_monitor())
        if request.config:
            set_all_config(dict(request.config), list(request.configSecretKeys) or None)
        loop = asyncio.new_event_loop()
        loop.set_default_executor(ThreadPoolExecutor(max_workers=max(request.parallel, 1) * 4))
        refusals: list[grpc.RpcError] = []  # met by tasks that nobody waits for
        loop.set_exception_handler(partial(_stop_on_rpc_error, refusals))
        try:
            loop.run_until_complete(run_in_stack(self._enter))
        except BaseException as error:  # noqa: BLE001 - whatever the program raises
            # a stopped loop says only that it was stopped
            reason = refusals[0] if refusals and isinstance(error, RuntimeError) else error
            if isinstance(reason, grpc.RpcError):
                if reason.code() in _GONE:
                    return None  # for a reason that the engine tells itself, or that its end tells
                reason = Exception(reason.details())
            return self._tell(pulumi, reason)
        finally:
            _close(loop)
        return None

    def _watch(self, monitor: Any) -> None:
        """Keep what the program registers through this stub, beside passing it on."""
        from google.protobuf.json_format import (  # type: ignore[import-untyped] # noqa: PLC0415
            MessageToDict,  # ships no types; imported meanwhile
        )

        run = self.run
        register, finish = monitor.RegisterResource, monitor.RegisterResourceOutputs

        def registered(request: Any, *arguments: Any, **options: Any) -> Any:
            response = register(request, *arguments, **options)
            told = MessageToDict(request)
            inherited = run.registered.get(request.parent, {}).get("deletedWith")
            if inherited and not request.deletedWith:
                told["deletedWith"] = inherited
            run.registered[response.urn] = told
            return response

        def finished(request: Any, *arguments: Any, **options: Any) -> Any:
            if f"::{STACK_TYPE}::" in request.urn:
                run.outputs = MessageToDict(request.outputs)
            return finish(request, *arguments, **options)

        monitor.RegisterResource, monitor.RegisterResourceOutputs = registered, finished

    def _enter(self) -> None:
        self.run.exported = self._main()

    def _tell(self, pulumi: Any, error: BaseException) -> str:
        told = program_error(error)
        if _is_of_the_engine(error):
            # A refused registration: the engine has told it already, with the resource.
            return told.text
        self.run.error = told
        where = f" ({told.file}:{told.line})" if told.file else ""
        message = f"the program raised {told.kind}{where}: {told.text}"
        pulumi.log.error(message)
        return message

    # --- the wire ------------------------------------------------------------------------------
    def _methods(self) -> dict[str, Any]:
        def empty_answer(_request: bytes, _context: Any) -> bytes:
            return b""  # an empty message of whatever type: nothing is required of the engine

        def run(request: bytes, _context: Any) -> bytes:
            return self._run(request)

        def events(requests: Iterator[bytes], _context: Any) -> bytes:
            self._take_events(requests)
            return b""

        answer = grpc.unary_unary_rpc_method_handler(empty_answer)
        return {
            _LANGUAGE + "GetRequiredPackages": answer,
            _LANGUAGE + "GetRequiredPlugins": answer,
            _LANGUAGE + "GetPluginInfo": answer,
            _LANGUAGE + "Run": grpc.unary_unary_rpc_method_handler(run),
            _EVENTS + "StreamEvents": grpc.stream_unary_rpc_method_handler(events),
        }

    def _take_events(self, requests: Iterator[bytes]) -> None:
        self._imported.wait()
        from pulumi.runtime.proto import events_pb2  # noqa: PLC0415 - imported meanwhile

        stream = self._streams[self._begun]
        self._begun += 1
        try:
            for request in requests:
                stream.on_event(json.loads(events_pb2.EventRequest.FromString(request).event))
        finally:
            stream.ended.set()


def _leave_out_places() -> None:
    """Have the SDK register resources without saying where in the source.

    That is three quarters of the state of a small resource, which is written again at each step.
    """
    module: Any = importlib.import_module("pulumi.runtime.resource")
    module._get_stack_trace = lambda: None
    module._get_source_position = lambda _: None


def _leave_out_debug(engine: Any) -> None:
    """Send no debug messages through this stub: a call each, for the engine to throw away."""
    from pulumi.runtime.proto import engine_pb2  # noqa: PLC0415 - imported meanwhile

    log = engine.Log

    def told(request: Any, *arguments: Any, **options: Any) -> Any:
        if request.severity != engine_pb2.DEBUG:
            log(request, *arguments, **options)

    engine.Log = told


if TYPE_CHECKING:  # generic in the stubs alone
    _GenericRpcHandler = grpc.GenericRpcHandler[Any, Any]
else:
    _GenericRpcHandler = grpc.GenericRpcHandler


class _Handlers(_GenericRpcHandler):
    """Finds a method by its full name."""

    def __init__(self, methods: dict[str, Any]) -> None:
        self._methods = methods

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call, None when the method is not served."""
        return self._methods.get(handler_call_details.method)


def program_error(error: BaseException) -> ProgramError:
    """Return what was raised and the innermost place under ``stacks`` that it came from."""
    file, line = None, None
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename).resolve()
        if path.is_relative_to(_STACKS) and not path.is_relative_to(_STACKS / "engine"):
            file, line = f"stacks/{path.relative_to(_STACKS)}", frame.lineno
    if isinstance(error, SyntaxError) and error.filename:
        path = Path(error.filename).resolve()
        if path.is_relative_to(_STACKS):
            file, line = f"stacks/{path.relative_to(_STACKS)}", error.lineno
    text = scrubbed(str(error)) or "no message"
    return ProgramError(text=text, kind=type(error).__name__, file=file, line=line)


def _is_of_the_engine(error: BaseException) -> bool:
    """Tell whether the SDK raised because the engine had refused, shut down or gone."""
    import pulumi  # noqa: PLC0415 - imported meanwhile

    reason: BaseException | None = error
    while reason is not None:
        if isinstance(reason, grpc.RpcError) and reason.code() in _GONE:
            return True
        reason = reason.__cause__ or reason.__context__
    return isinstance(error, pulumi.RunError) and "Resource monitor has terminated" in str(error)


def _stop_on_rpc_error(
    refusals: list[grpc.RpcError], loop: asyncio.AbstractEventLoop, context: dict[str, Any]
) -> None:
    error = context.get("exception")
    if isinstance(error, grpc.RpcError):
        refusals.append(error)
        loop.stop()
    else:
        loop.default_exception_handler(context)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what a failed program left unfinished, so that closing the loop is silent."""
    for task in asyncio.all_tasks(loop):
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            loop.run_until_complete(task)
    loop.close()
    sys.stdout.flush()
    sys.stderr.flush()
