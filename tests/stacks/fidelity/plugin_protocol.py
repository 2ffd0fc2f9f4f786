"""Terraform's plugin protocol 5, as far as a judge of configurations needs it.

The messages are those of ``tfplugin5.proto`` (the Terraform CLI's documentation, "Plugin protocol")
that are used here, with their field numbers; what is left out is skipped by protobuf.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import msgpack
from google.protobuf import (  # type: ignore[import-untyped] # ships no types
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

START_SECONDS = 60.0
CALL_SECONDS = 60.0

_ERROR = 1
_COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"  # of go-plugin's host
_TERRAFORM = "1.11.0"
_UNKNOWN = msgpack.ExtType(0, b"\0")
UNKNOWN_VALUE: Any = _UNKNOWN  # a value that is not known yet, as Terraform writes it

# message -> (field, number, type, repeated); types: text, bytes, int, bool or a message
_MESSAGES: Mapping[str, Sequence[tuple[str, int, str, bool]]] = {
    "DynamicValue": [("msgpack", 1, "bytes", False)],
    "Step": [
        ("attribute_name", 1, "text", False),
        ("element_key_string", 2, "text", False),
        ("element_key_int", 3, "int", False),
    ],
    "AttributePath": [("steps", 1, "Step", True)],
    "Diagnostic": [
        ("severity", 1, "int", False),
        ("summary", 2, "text", False),
        ("detail", 3, "text", False),
        ("attribute", 4, "AttributePath", False),
    ],
    "Attribute": [
        ("name", 1, "text", False),
        ("type", 2, "bytes", False),
        ("required", 4, "bool", False),
        ("optional", 5, "bool", False),
        ("computed", 6, "bool", False),
    ],
    "NestedBlock": [
        ("type_name", 1, "text", False),
        ("block", 2, "Block", False),
        ("nesting", 3, "int", False),
        ("min_items", 4, "int", False),
        ("max_items", 5, "int", False),
    ],
    "Block": [("attributes", 2, "Attribute", True), ("block_types", 3, "NestedBlock", True)],
    "Schema": [("version", 1, "int", False), ("block", 2, "Block", False)],
    "SchemaEntry": [("key", 1, "text", False), ("value", 2, "Schema", False)],
    "Empty": [],
    "SchemaResponse": [
        ("provider", 1, "Schema", False),
        ("resource_schemas", 2, "SchemaEntry", True),
        ("diagnostics", 4, "Diagnostic", True),
    ],
    "ConfigureRequest": [
        ("terraform_version", 1, "text", False),
        ("config", 2, "DynamicValue", False),
    ],
    "Diagnostics": [("diagnostics", 1, "Diagnostic", True)],
    "ValidateRequest": [("type_name", 1, "text", False), ("config", 2, "DynamicValue", False)],
    "PlanRequest": [
        ("type_name", 1, "text", False),
        ("prior_state", 2, "DynamicValue", False),
        ("proposed_new_state", 3, "DynamicValue", False),
        ("config", 4, "DynamicValue", False),
    ],
    "PlanResponse": [
        ("planned_state", 1, "DynamicValue", False),
        ("diagnostics", 4, "Diagnostic", True),
    ],
}


def _messages() -> dict[str, Any]:
    field = descriptor_pb2.FieldDescriptorProto
    plain = {
        "text": field.TYPE_STRING,
        "bytes": field.TYPE_BYTES,
        "int": field.TYPE_INT64,
        "bool": field.TYPE_BOOL,
    }
    file = descriptor_pb2.FileDescriptorProto(name="judge.proto", package="judge", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for each, number, type_, repeated in fields:
            label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
            added = message.field.add(name=each, number=number, label=label)
            if type_ in plain:
                added.type = plain[type_]
            else:
                added.type = field.TYPE_MESSAGE
                added.type_name = f".judge.{type_}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"judge.{name}"))
        for name in _MESSAGES
    }


_OF = _messages()


class Refused(Exception):
    """The provider does not accept a configuration; the text is its own."""


class ProviderProcess:
    """The provider's own program, as Terraform runs it; a context manager that ends it.

    ``schemas``: resource type -> its block. ``provider_block``: that of the provider's settings.
    """

    def __init__(self, executable: Path) -> None:
        environment = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
        self._sockets = tempfile.TemporaryDirectory()  # it leaves its socket where it was
        self._process = subprocess.Popen(
            [executable],
            env=environment
            | {
                "TF_PLUGIN_MAGIC_COOKIE": _COOKIE,
                "PLUGIN_PROTOCOL_VERSIONS": "5",
                "TF_LOG": "off",
                "TMPDIR": self._sockets.name,
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._channel: grpc.Channel | None = None
        self.schemas: dict[str, Any] = {}
        self.provider_block: Any = None

    def __enter__(self) -> Self:
        try:
            self._connect()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Give the provider its settings. Raises ``Refused``."""
        request = _OF["ConfigureRequest"](terraform_version=_TERRAFORM, config=_packed(settings))
        _check(self._call("Configure", request, "Diagnostics"))

    def validate(self, type_: str, config: Mapping[str, Any]) -> None:
        """Let the provider look at one configuration by itself. Raises ``Refused``."""
        request = _OF["ValidateRequest"](type_name=type_, config=_packed(config))
        _check(self._call("ValidateResourceTypeConfig", request, "Diagnostics"))

    def plan(self, type_: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Let the provider plan to create it; return what it would be, defaults filled in.

        What only the creation will tell is left out. Raises ``Refused``.
        """
        packed = _packed(config)
        request = _OF["PlanRequest"](
            type_name=type_, prior_state=_packed(None), proposed_new_state=packed, config=packed
        )
        answer = self._call("PlanResourceChange", request, "PlanResponse")
        _check(answer)
        planned = msgpack.unpackb(answer.planned_state.msgpack, strict_map_key=False)
        known: dict[str, Any] = _without_unknown(planned)
        return known

    def _connect(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        readable, _, _ = select.select([stdout], [], [], START_SECONDS)
        parts = stdout.readline().strip().split("|") if readable else []
        if len(parts) < 5 or parts[1] != "5":
            raise AssertionError(f"the provider did not start as a plugin of protocol 5: {parts}")
        address = f"unix:{parts[3]}" if parts[2] == "unix" else parts[3]
        self._channel = grpc.insecure_channel(
            address,
            options=[
                ("grpc.max_receive_message_length", -1),
                ("grpc.default_authority", "localhost"),
            ],
        )
        answer = self._call("GetSchema", _OF["Empty"](), "SchemaResponse")
        _check(answer)
        self.schemas = {entry.key: entry.value.block for entry in answer.resource_schemas}
        self.provider_block = answer.provider.block

    def _call(self, method: str, request: Any, response: str) -> Any:
        assert self._channel is not None
        call = self._channel.unary_unary(
            f"/tfplugin5.Provider/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=_OF[response].FromString,
        )
        return call(request, timeout=CALL_SECONDS)

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._sockets.cleanup()


def attribute_type(attribute: Any) -> Any:
    """Return the type of an attribute: "string", ["list", "string"], ["object", {...}] ..."""
    return json.loads(attribute.type)


def _without_unknown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_unknown(inner)
            for key, inner in value.items()
            if not isinstance(inner, msgpack.ExtType)
        }
    if isinstance(value, list):
        return [_without_unknown(one) for one in value if not isinstance(one, msgpack.ExtType)]
    return value


def _packed(value: Any) -> Any:
    return _OF["DynamicValue"](msgpack=msgpack.packb(value))


def _check(answer: Any) -> None:
    errors = [_sentence(one) for one in answer.diagnostics if one.severity == _ERROR]
    if errors:
        raise Refused("; ".join(errors))


def _sentence(diagnostic: Any) -> str:
    steps = [
        step.attribute_name or step.element_key_string or str(step.element_key_int)
        for step in diagnostic.attribute.steps
    ]
    text = f"{diagnostic.summary}: {diagnostic.detail}".strip(": ")
    return f"{text} (at {'.'.join(steps)})" if steps else text
