"""The runner: one call of the engine as one process, driven by JSON lines (``contract.py``).

In order: the protocol's ends become private, the guard is forked, the request is read and checked,
the private folder is made, the operation runs, everything that was started is ended, the folder is
removed, and the last line says how it went. Exit codes: 0 a result was sent, 1 a failure was sent,
2 the parent was gone or closed without a request.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stacks.engine.channel import Channel, Inbox
from stacks.engine.guard import Guard, remove_folder, stand_guard

if TYPE_CHECKING:
    from stacks.contract import Failure, Request, Result
    from stacks.engine.call import Call
    from stacks.engine.failures import CallFailed

EXIT_RESULT = 0
EXIT_FAILURE = 1
EXIT_NO_REQUEST = 2

# Processes are started by fork and exec while gRPC's threads run; it must not try to follow.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"


def main() -> int:
    """Serve one request; return the exit code."""
    channel = Channel()
    guard = stand_guard()  # before secrets, threads and heavy imports
    last: Result | Failure
    try:
        line = channel.read_request()
        if not line.strip():
            return EXIT_NO_REQUEST
        last, parent_gone = _answer(line, channel, guard)
    finally:
        guard.dismiss()
    channel.send(last)
    if parent_gone:
        return EXIT_NO_REQUEST
    return EXIT_RESULT if last.message == "result" else EXIT_FAILURE


def exit_now(code: int) -> None:
    """End this process; threads of libraries that wait for others are not waited for."""
    sys.stderr.flush()
    os._exit(code)


def _answer(line: bytes, channel: Channel, guard: Guard) -> tuple[Result | Failure, bool]:
    from stacks.contract import Code, Failure  # noqa: PLC0415 - after the fork
    from stacks.engine.failures import CallFailed  # noqa: PLC0415
    from stacks.engine.passwords import passwords_of  # noqa: PLC0415

    try:
        request = _request(line)
        channel.keep_secret(
            request.secrets.passphrase,
            request.secrets.former,
            request.secrets.hmac_key,
            _long(os.environ.get("AWS_SECRET_ACCESS_KEY")),
            _long(os.environ.get("AWS_SESSION_TOKEN")),
            *passwords_of(request.backend_url),
            os.environ.get("PGPASSWORD"),
        )
        return _run(request, channel, guard), False
    except CallFailed as failed:
        return _failure(failed), failed.code is Code.PARENT_GONE
    except Exception as error:  # noqa: BLE001 - a traceback is never an answer
        traceback.print_exc(file=sys.stderr)
        return Failure(
            code=Code.ENGINE,
            text=f"Internal error of the runner ({type(error).__name__}); see its standard error.",
            changed=True,  # nobody knows
        ), False


def _request(line: bytes) -> Request:
    from pydantic import ValidationError  # noqa: PLC0415 - after the fork

    from stacks.contract import Code, Request  # noqa: PLC0415
    from stacks.engine.failures import CallFailed  # noqa: PLC0415

    try:
        return Request.model_validate_json(line)
    except ValidationError as error:
        raise CallFailed(
            Code.BAD_REQUEST,
            "Invalid request: " + _problems(error),
            data={"problems": _paths(error)},
        ) from None


def _run(request: Request, channel: Channel, guard: Guard) -> Result:
    from stacks.engine import processes  # noqa: PLC0415 - after the fork
    from stacks.engine.backend import backend_for  # noqa: PLC0415
    from stacks.engine.call import Call  # noqa: PLC0415
    from stacks.engine.failures import CallFailed  # noqa: PLC0415
    from stacks.engine.folder import make_folder, write_folder  # noqa: PLC0415
    from stacks.engine.sealing import Sealer  # noqa: PLC0415

    inbox = Inbox()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: inbox.put("cancel"))
    channel.listen(inbox)
    operation = _operation(request)
    processes.adopt_orphans()
    root = Path(request.work_folder)
    guard.watch(
        call_id=request.call_id,
        folder=root,
        engine=request.cli,
        stop_seconds=request.deadlines.stop_seconds,
    )
    make_folder(root, request.call_id)
    call: Call | None = None
    try:
        sealer = Sealer(request.secrets.passphrase, request.stack, request.secrets.former)
        backend = backend_for(
            request.backend_url,
            request.stack,
            engine=request.cli_version,
            sealer=sealer,
            endpoint=request.cloud.endpoint,
        )
        call = Call(request, channel, inbox, write_folder(request), backend, guard, sealer)
        call.cli.spared.add(guard.pid)
        return operation(call)
    finally:
        if call is not None and call.host is not None:
            call.host.close()
        processes.end_descendants(spare={guard.pid} if call is None else call.cli.spared)
        if call is not None:
            with suppress(CallFailed):  # the guard sees to it again
                call.give_back()
        remove_folder(root, request.call_id)


def _operation(request: Request) -> Callable[[Call], Result]:
    """Check the spec if the operation needs one, and return what does it."""
    from stacks.contract import Operation  # noqa: PLC0415 - after the fork

    if request.operation in (Operation.PREVIEW, Operation.UP, Operation.LOOK):
        _check_spec(request)
        from stacks.engine import applying  # noqa: PLC0415 - only what the operation needs

        return {
            Operation.PREVIEW: applying.preview,
            Operation.UP: applying.up,
            Operation.LOOK: applying.look,
        }[request.operation]
    if request.operation is Operation.RESOLVE:
        _check_spec(request)
        from stacks.engine.resolving import resolve  # noqa: PLC0415

        return resolve
    if request.operation is Operation.COMPARE:
        _check_spec(request)
        from stacks.engine.comparing import compare  # noqa: PLC0415

        return compare
    if request.operation is Operation.CONTENTS:
        _check_spec(request)
        from stacks.engine.contents import contents  # noqa: PLC0415

        return contents
    if request.operation is Operation.CLEAN_UP:
        from stacks.engine.cleaning import clean_up  # noqa: PLC0415

        return clean_up
    if request.operation is Operation.FORGET:
        from stacks.engine.forgetting import forget  # noqa: PLC0415

        return forget
    from stacks.engine.inspecting import inspect  # noqa: PLC0415

    return inspect


def _check_spec(request: Request) -> None:
    from pydantic import ValidationError  # noqa: PLC0415 - after the fork

    from stacks.contract import Code  # noqa: PLC0415
    from stacks.engine.failures import CallFailed  # noqa: PLC0415
    from stacks.spec import load  # noqa: PLC0415

    try:
        spec = load(str(request.program), request.spec)
    except ValidationError as error:
        raise CallFailed(
            Code.BAD_SPEC,
            f"Invalid spec of {request.program}: " + _problems(error),
            data={"problems": _paths(error)},
        ) from None
    for name in ("region", "account_id"):
        if getattr(spec, name) != getattr(request.cloud, name):
            raise CallFailed(
                Code.BAD_SPEC,
                f"The spec's {name} does not match the call.",
                data={"problems": [name]},
            )


def _failure(failed: CallFailed) -> Failure:
    from dataclasses import asdict  # noqa: PLC0415 - after the fork

    from stacks.contract import Failure  # noqa: PLC0415 - after the fork

    return Failure(**asdict(failed))


def _problems(error: Any) -> str:
    """Say what is wrong and where, never quoting values: one of them may be a secret."""
    return "; ".join(
        f"{'.'.join(str(p) for p in e['loc']) or 'the whole line'}: {e['msg']}"
        for e in error.errors(include_input=False, include_url=False, include_context=False)
    )


def _paths(error: Any) -> list[str]:
    return [".".join(str(p) for p in e["loc"]) for e in error.errors(include_input=False)]


def _long(value: str | None) -> str | None:
    """Return a credential that is worth hiding; an emulated cloud's may be everyday words."""
    return value if value and len(value) >= 16 else None
