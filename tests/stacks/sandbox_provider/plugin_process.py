"""Starts the provider's process without an engine and makes an engine's calls; for tests only."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2  # type: ignore[import-untyped] # no types shipped
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from stacks.sandbox.provider import write_plugin
from stacks.sandbox.provider.wire import encode
from tests.stacks.cloud_process import CloudProcess

REGION = "eu-west-1"
ACCOUNT = "123456789012"
OTHER_ACCOUNT = "222222222222"
CONFIG = {"region": REGION, "allowedAccountIds": json.dumps([ACCOUNT])}
TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        },
    }
)
READ_ALL = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"},
    }
)


def urn(kind: str, name: str = "one") -> str:
    return f"urn:pulumi:stack::project::{kind}::{name}"


class Plugin:
    """A plugin process and the calls an engine makes."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self._channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.stub = provider_pb2_grpc.ResourceProviderStub(self._channel)

    def close(self) -> None:
        self._channel.close()

    def configure(self, **arguments: Any) -> None:
        request = provider_pb2.ConfigureRequest(args=encode(arguments), acceptSecrets=True)
        self.stub.Configure(request, timeout=30)

    def check(self, kind: str, inputs: Mapping[str, Any], **more: Any) -> Any:
        request = provider_pb2.CheckRequest(
            urn=urn(kind), news=encode(inputs), randomSeed=b"seed", **more
        )
        return self.stub.Check(request, timeout=30)

    def create(self, kind: str, inputs: Mapping[str, Any], *, preview: bool = False) -> Any:
        checked = self.check(kind, inputs)
        assert not checked.failures, checked.failures
        request = provider_pb2.CreateRequest(
            urn=urn(kind), properties=checked.inputs, preview=preview
        )
        return self.stub.Create(request, timeout=60)

    def diff(self, kind: str, old: Mapping[str, Any], new: Mapping[str, Any], **more: Any) -> Any:
        request = provider_pb2.DiffRequest(
            urn=urn(kind), id="id", olds=encode(old), news=encode(new), **more
        )
        return self.stub.Diff(request, timeout=30)

    def diff_config(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Any:
        request = provider_pb2.DiffRequest(
            urn=urn("pulumi:providers:aws"), olds=encode(old), news=encode(new)
        )
        return self.stub.DiffConfig(request, timeout=30)

    def delete(self, kind: str, identity: str, state: struct_pb2.Struct) -> None:
        request = provider_pb2.DeleteRequest(urn=urn(kind), id=identity, properties=state)
        self.stub.Delete(request, timeout=60)


@contextmanager
def started(folder: Path, environment: Mapping[str, str]) -> Iterator[Plugin]:
    launcher = write_plugin(folder)
    process = subprocess.Popen(
        [str(launcher), "--logtostderr", ""],
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    try:
        plugin = Plugin(process, int(process.stdout.readline()))
        yield plugin
        plugin.close()
    finally:
        process.terminate()
        process.wait(timeout=60)
        process.stdout.close()


def keys(cloud: CloudProcess) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": cloud.endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


def refusal(act: Callable[[], Any]) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as caught:
        act()
    return caught.value
