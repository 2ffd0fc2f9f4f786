"""A client of providers: what the engine asks them when it refreshes a stack, and nothing else.

Source: `proto/pulumi/provider.proto`, and what pulumi 3.259.0 sends for ``preview --refresh``;
`tests/stacks/test_looks_as_the_engine.py` holds that the requests are equal, message by message.
Only fields that name servers of the engine differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.json_format import (  # type: ignore[import-untyped] # ships no types
    MessageToDict,
    ParseDict,
)
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped] # ships no types
from pulumi.runtime.proto import engine_pb2, plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

from stacks.contract import Code
from stacks.engine.failures import CallFailed, name_of, type_of
from stacks.engine.state import PROVIDER_TYPE
from stacks.engine.values import bared

Properties = Mapping[str, Any]  # opened, see ``values``

_UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
_LOG = "/pulumirpc.Engine/Log"
_DETAILS = "grpc-status-details-bin"  # where gRPC carries a status with details
_SEVERITIES = {0: "debug", 1: "info", 2: "warning", 3: "error"}
_INTERNAL = "__internal"  # what the engine itself keeps beside a provider's arguments
_DIFF = provider_pb2.DiffResponse


class ProviderError(Exception):
    """A provider refused a request; the text is its own."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a provider read. ``reasons`` say why the resource is unhealthy."""

    id: str
    outputs: Properties
    inputs: Properties
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The paths at which a resource differs from its inputs, and whether that replaces it.

    ``kinds`` says of each path what it takes to be as the inputs: ``add``, ``update``, ``delete``.
    """

    kinds: Mapping[str, str]
    replaces: bool

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths, sorted."""
        return tuple(sorted(self.kinds))


class Provider:
    """A connection to one provider process, used by many threads once it is configured."""

    def __init__(self, port: str) -> None:
        self.said: list[dict[str, Any]] = []  # what it logged, as the engine's diagnostics
        self._server = grpc.server(ThreadPoolExecutor(max_workers=2))
        self._server.add_generic_rpc_handlers((_Log(self.said),))
        self._address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=_UNLIMITED)
        self._stub = provider_pb2_grpc.ResourceProviderStub(self._channel)
        self._keeps_secrets = False

    def close(self) -> None:
        """Give up what is under way, and the connection."""
        self._channel.close()
        self._server.stop(0)

    def configure(self, resource: Mapping[str, Any], inputs: Properties) -> None:
        """Configure the process by a provider of a state, as the engine does before it refreshes.

        Raises ``ProviderError``, ``CallFailed`` when the process has ended.
        """
        greeting = self._ask_if_possible(
            self._stub.Handshake,
            provider_pb2.ProviderHandshakeRequest(
                engine_address=self._address, configure_with_urn=True, accepts_byte_string=True
            ),
        )
        self._ask_if_possible(self._stub.Attach, plugin_pb2.PluginAttach(address=self._address))
        given = {k: v for k, v in inputs.items() if k != _INTERNAL}
        package = resource["type"].removeprefix(PROVIDER_TYPE)
        answer = self._ask(
            self._stub.Configure,
            provider_pb2.ConfigureRequest(
                urn=resource["urn"],
                name=name_of(resource["urn"]),
                type=resource["type"],
                id=resource["id"],
                acceptSecrets=True,
                acceptResources=True,
                sends_old_inputs=True,
                sends_old_inputs_to_delete=True,
                variables={
                    f"{package}:config:{k}": _variable(v)
                    for k, v in given.items()
                    if k != "version"
                },
                args=ParseDict(given, Struct()),
            ),
        )
        keeps = answer.acceptSecrets if greeting is None else greeting.accept_secrets
        self._keeps_secrets = bool(keeps)

    def read(
        self, resource: Mapping[str, Any], inputs: Properties, outputs: Properties
    ) -> Found | None:
        """Return what there is of a resource of a state, None when it is gone.

        Raises as ``configure``.
        """
        timeouts = resource.get("customTimeouts") or {}
        request = provider_pb2.ReadRequest(
            **_named(resource),
            id=resource["id"],
            properties=self._struct(outputs),
            inputs=self._struct(inputs),
            timeout=float(timeouts.get("read") or 0),
        )
        try:
            answer = self._stub.Read(request)
        except grpc.RpcError as error:
            answer = _unhealthy(error)
            if answer is None:
                raise _said(error) from error
        if not answer.id or not answer.HasField("properties"):
            return None
        return Found(
            id=answer.id,
            outputs=MessageToDict(answer.properties),
            inputs=MessageToDict(answer.inputs) if answer.HasField("inputs") else inputs,
            reasons=tuple(getattr(answer, "reasons", ())),
        )

    def differences(
        self, resource: Mapping[str, Any], found: Found, inputs: Properties
    ) -> Difference:
        """Compare what was read with a resource's inputs in a state. Raises as ``configure``."""
        answer = self._ask(
            self._stub.Diff,
            provider_pb2.DiffRequest(
                **_named(resource),
                id=found.id,
                old_inputs=self._struct(found.inputs),
                olds=self._struct(found.outputs),
                news=self._struct(inputs),
                ignoreChanges=resource.get("ignoreChanges") or (),
            ),
        )
        kinds: dict[str, str] = {}
        if answer.changes == _DIFF.DIFF_SOME:
            kinds = {path: _kind(told.kind) for path, told in answer.detailedDiff.items()}
            names = {*answer.diffs, *answer.replaces} or {"unknown"}
            kinds = kinds or dict.fromkeys(names, "update")
        elif answer.changes == _DIFF.DIFF_UNKNOWN:  # then the engine compares the inputs itself
            names = {*found.inputs, *inputs} - set(resource.get("ignoreChanges") or ())
            names = {n for n in names if bared(found.inputs.get(n)) != bared(inputs.get(n))}
            kinds = dict.fromkeys(names, "update")
        return Difference(kinds=kinds, replaces=bool(answer.replaces))

    def _struct(self, properties: Properties) -> Any:
        return ParseDict(properties if self._keeps_secrets else bared(properties), Struct())

    def _ask(self, method: Any, request: Any) -> Any:
        try:
            return method(request)
        except grpc.RpcError as error:
            raise _said(error) from error

    def _ask_if_possible(self, method: Any, request: Any) -> Any:
        """Return the answer, None from a provider that does not know the question."""
        try:
            return method(request)
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return None
            raise _said(error) from error


def _kind(kind: Any) -> str:
    """Return ``add``, ``update`` or ``delete``, whether that replaces the resource or not."""
    return str(provider_pb2.PropertyDiff.Kind.Name(kind)).partition("_")[0].lower()


def _named(resource: Mapping[str, Any]) -> dict[str, Any]:
    urn = resource["urn"]
    return {"urn": urn, "name": name_of(urn), "type": type_of(urn)}


def _variable(value: Any) -> str:
    """Return an argument for providers that take texts alone: JSON as Go writes it."""
    bare = bared(value)
    if isinstance(bare, str):
        return bare
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _said(error: Any) -> Exception:
    if error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return CallFailed(Code.PROVIDER_DIED, "The provider exited while it was needed.")
    return ProviderError(str(error.details()))


def _unhealthy(error: Any) -> Any:
    """Return what an error says of a resource that exists and is not well, None if it is none."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS:
            for detail in status_pb2.Status.FromString(value).details:
                found = provider_pb2.ErrorResourceInitFailed()
                if detail.Unpack(found):
                    return found
    return None


if TYPE_CHECKING:  # generic in the stubs alone
    _GenericRpcHandler = grpc.GenericRpcHandler[Any, Any]
else:
    _GenericRpcHandler = grpc.GenericRpcHandler


class _Log(_GenericRpcHandler):
    """The one method of the engine that providers of resources use: they log."""

    def __init__(self, said: list[dict[str, Any]]) -> None:
        self._said = said

    def service(self, handler_call_details: Any) -> Any:
        """Return the handler of a call, None when the method is not served."""
        if handler_call_details.method != _LOG:
            return None
        return grpc.unary_unary_rpc_method_handler(self._take)

    def _take(self, request: bytes, _context: Any) -> bytes:
        line = engine_pb2.LogRequest.FromString(request)
        self._said.append(
            {
                "severity": _SEVERITIES.get(line.severity, "info"),
                "message": line.message,
                "urn": line.urn,
                "ephemeral": line.ephemeral,
            }
        )
        return b""  # an empty message
