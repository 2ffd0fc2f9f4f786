"""What a program registers with the engine in a preview of a new stack; no engine, no cloud.

Nothing exists yet, so every computed value is unknown, as it is for the real engine.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.json_format import (  # type: ignore[import-untyped] # ships no types
    MessageToDict,
)
from pulumi.runtime.config import set_all_config
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import set_root_resource
from pulumi.runtime.stack import run_in_stack

from stacks import program
from stacks.contract import UNKNOWN

STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True, kw_only=True)
class Registration:
    """One resource as the engine is told of it; ``inputs`` as on the wire."""

    urn: str
    type: str
    name: str
    custom: bool
    parent: str
    provider: str
    protect: bool
    inputs: dict[str, Any]
    dependencies: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Preview:
    """What one run of a program said. ``outputs``: what the stack exports; unknown ones marked."""

    registrations: tuple[Registration, ...]
    outputs: Mapping[str, Any]

    @property
    def resources(self) -> tuple[Registration, ...]:
        """The resources that will be made in the cloud."""
        return tuple(one for one in self.registrations if one.type.startswith("aws:"))

    def of(self, type_: str) -> tuple[Registration, ...]:
        """Return the resources of a type."""
        return tuple(one for one in self.registrations if one.type == type_)


class _Nothing(Mocks):
    """A cloud in which nothing exists: no id, no output but the inputs."""

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], None]:
        raise AssertionError(f"{args.token}: a program looks nothing up")

    def new_resource(
        self,
        args: MockResourceArgs,
    ) -> tuple[str, dict[str, Any]]:
        return "", {}


class _Recorder(MockMonitor):
    def __init__(self) -> None:
        super().__init__(_Nothing())
        self.seen: list[Registration] = []
        self.outputs: dict[str, Any] = {}
        self._lock = threading.Lock()

    def RegisterResource(self, request: Any) -> Any:
        urn = self.make_urn(request.parent, request.type, request.name)
        if request.type == STACK:
            return resource_pb2.RegisterResourceResponse(urn=urn)
        one = Registration(
            urn=urn,
            type=request.type,
            name=request.name,
            custom=request.custom,
            parent=request.parent,
            provider=request.provider,
            protect=request.protect,
            inputs=MessageToDict(request.object),
            dependencies=tuple(sorted(request.dependencies)),
        )
        with self._lock:
            self.seen.append(one)
        return resource_pb2.RegisterResourceResponse(urn=urn, object=request.object)

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if f"::{STACK}::" in request.urn:
            self.outputs = MessageToDict(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call] # SDK


def preview_of(program_name: str, spec: Mapping[str, Any]) -> Preview:
    """Run the stack program ``program_name`` for ``spec``; raises what the program raises."""
    config = {"tenantplane:program": program_name, "tenantplane:spec": json.dumps(spec)}
    return preview(program.main, config)


def preview(main: Callable[[], object], config: Mapping[str, str]) -> Preview:
    """Run any program as in the preview of a new stack."""
    recorder = _Recorder()
    # a context of its own: the SDK keeps stack, settings and config in context variables
    contextvars.copy_context().run(_run, recorder, main, config)
    ordered = sorted(recorder.seen, key=lambda one: one.urn)
    return Preview(registrations=tuple(ordered), outputs=recorder.outputs)


def _run(recorder: _Recorder, main: Callable[[], object], config: Mapping[str, str]) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        set_mocks(
            recorder.mocks, project="tenantplane", stack="test", preview=True, monitor=recorder
        )
        # the stack that set_mocks made takes no outputs any more; without one, a new one is made
        set_root_resource(None)  # type: ignore[arg-type] # what it is before there is a stack
        set_all_config(dict(config))

        def program_of_the_stack() -> None:
            main()

        loop.run_until_complete(run_in_stack(program_of_the_stack))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()


def unknown_paths(value: Any, path: str = "") -> list[str]:
    """Return where in an input there is something that is not known yet."""
    if value == UNKNOWN:
        return [path]
    if isinstance(value, Mapping):
        return [
            found
            for key, inner in value.items()
            for found in unknown_paths(inner, f"{path}.{key}" if path else key)
        ]
    if isinstance(value, list):
        return [
            found
            for index, inner in enumerate(value)
            for found in unknown_paths(inner, f"{path}[{index}]")
        ]
    return []
