"""The client of providers by itself: what a provider may answer, and what is made of it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.json_format import ParseDict  # type: ignore[import-untyped] # has no types
from google.protobuf.struct_pb2 import Struct  # type: ignore[import-untyped] # has no types
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

from stacks.contract import Code
from stacks.engine.failures import CallFailed
from stacks.engine.provider import Found, Provider, ProviderError
from stacks.engine.values import SECRET, SIGNATURE

pytestmark = pytest.mark.timeout(60)

URN = "urn:pulumi:acme.production.a::tenantplane::tests:x:Y$aws:ssm/parameter:Parameter::one"
ONE = {"urn": URN, "type": "aws:ssm/parameter:Parameter", "id": "1", "custom": True}
CLOUD = {
    "urn": "urn:pulumi:acme.production.a::tenantplane::pulumi:providers:aws::cloud",
    "type": "pulumi:providers:aws",
    "id": "2",
}
HIDDEN = {SIGNATURE: SECRET, "value": "canary"}


class Scripted(provider_pb2_grpc.ResourceProviderServicer):
    """Answers as a test says."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.read: Any = provider_pb2.ReadResponse()
        self.diff: Any = provider_pb2.DiffResponse()
        self.error: bytes | None = None

    def Attach(self, request: Any, context: Any) -> Any:
        engine = engine_pb2_grpc.EngineStub(grpc.insecure_channel(request.address))
        engine.Log(engine_pb2.LogRequest(severity=engine_pb2.WARNING, message="old", urn=URN))
        return super().Attach(request, context)  # it does not know the question

    def Configure(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return provider_pb2.ConfigureResponse(acceptSecrets=True)

    def Read(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        if self.error is not None:
            context.set_trailing_metadata((("grpc-status-details-bin", self.error),))
            context.abort(grpc.StatusCode.UNKNOWN, "refused")
        return self.read

    def Diff(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return self.diff


@contextmanager
def connected(servicer: Scripted) -> Iterator[Provider]:
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    provider = Provider(str(port))
    try:
        provider.configure(CLOUD, {"version": "7.51.1", "__internal": {}})
        yield provider
    finally:
        provider.close()
        server.stop(None)


def test_a_provider_is_configured_and_may_log() -> None:
    servicer = Scripted()
    with connected(servicer) as provider:
        provider.configure(
            CLOUD, {"__internal": {"a": 1}, "version": "7.51.1", "region": "x",
                    "token": HIDDEN, "tags": {"b": "<&>", "a": [1, True, None]}},
        )  # fmt: skip
        assert provider.said[0] == {
            "severity": "warning", "message": "old", "urn": URN, "ephemeral": False
        }  # fmt: skip
    request = servicer.asked[-1]
    assert dict(request.variables) == {
        "aws:config:region": "x",
        "aws:config:token": "canary",
        "aws:config:tags": '{"a":[1,true,null],"b":"\\u003c\\u0026\\u003e"}',
    }
    assert set(request.args) == {"version", "region", "token", "tags"}
    assert (request.urn, request.name, request.id) == (CLOUD["urn"], "cloud", "2")


def test_what_a_provider_does_not_find_is_gone() -> None:
    servicer = Scripted()
    with connected(servicer) as provider:
        assert provider.read(ONE, {}, {}) is None
        servicer.read = provider_pb2.ReadResponse(id="1")  # without properties it is none either
        assert provider.read(ONE, {}, {}) is None
        servicer.read = provider_pb2.ReadResponse(id="1", properties=Struct())
        found = provider.read({**ONE, "customTimeouts": {"read": 90}}, {"a": 1}, {})
    # a provider that tells no inputs leaves them as they were
    assert found == Found(id="1", outputs={}, inputs={"a": 1})
    assert servicer.asked[-1].timeout == 90


def test_what_exists_and_is_not_well_is_found_with_the_reasons() -> None:
    servicer = Scripted()
    detail = provider_pb2.ErrorResourceInitFailed(
        id="1", properties=ParseDict({"a": 1}, Struct()), reasons=["not ready"]
    )
    status = status_pb2.Status(code=2, message="refused")
    status.details.add().Pack(detail)
    servicer.error = status.SerializeToString()
    with connected(servicer) as provider:
        found = provider.read(ONE, {}, {})
        assert found == Found(id="1", outputs={"a": 1}, inputs={}, reasons=("not ready",))
        servicer.error = b""
        with pytest.raises(ProviderError, match="refused"):
            provider.read(ONE, {}, {})


@pytest.mark.parametrize(
    ("answer", "paths", "replaces"),
    [
        ({"changes": "DIFF_NONE", "diffs": ["a"]}, (), False),
        ({"changes": "DIFF_SOME", "diffs": ["b", "a"]}, ("a", "b"), False),
        ({"changes": "DIFF_SOME", "diffs": ["a"], "replaces": ["a"], "hasDetailedDiff": True,
          "detailedDiff": {"a[0]": {}}}, ("a[0]",), True),
        ({"changes": "DIFF_SOME"}, ("unknown",), False),
        # it does not say: what is not the same differs, but for what is ignored
        ({}, ("a", "more"), False),
    ],
)  # fmt: skip
def test_a_difference_has_the_paths_that_the_provider_tells(
    answer: dict[str, Any], paths: tuple[str, ...], replaces: bool
) -> None:
    servicer = Scripted()
    servicer.diff = ParseDict(answer, provider_pb2.DiffResponse())
    found = Found(id="1", outputs={}, inputs={"a": 1, "same": HIDDEN, "free": 1})
    wanted = {"a": 2, "same": "canary", "free": 2, "more": 1}
    with connected(servicer) as provider:
        told = provider.differences({**ONE, "ignoreChanges": ["free"]}, found, wanted)
    assert (told.paths, told.replaces) == (paths, replaces)


def test_a_provider_that_is_gone_is_told_from_one_that_refuses() -> None:
    provider = Provider("1")
    with pytest.raises(CallFailed) as failed:
        provider.configure(CLOUD, {})
    provider.close()
    assert failed.value.code is Code.PROVIDER_DIED
