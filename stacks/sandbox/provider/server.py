"""The gRPC side of the provider: the protocol of Pulumi's resource providers.

Source: `proto/pulumi/provider.proto` of Pulumi 3.259 and the order in which its engine calls.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import grpc
from google.protobuf import empty_pb2  # type: ignore[import-untyped] # no types shipped
from pulumi.runtime.proto import (
    engine_pb2,
    engine_pb2_grpc,
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
)
from typing_extensions import override

from stacks.sandbox.provider import operations, sdk_version
from stacks.sandbox.provider.arguments import (
    ARGUMENTS,
    ProviderArguments,
    argument_changes,
    argument_problems,
    parse,
)
from stacks.sandbox.provider.aws import ApiError, Aws, CanceledError
from stacks.sandbox.provider.catalogue import find_type
from stacks.sandbox.provider.replies import (
    CALLER_IDENTITY,
    diff_response,
    failure,
    incomplete,
    output_secrets,
    schema,
    with_tags,
)
from stacks.sandbox.provider.wire import (
    Properties,
    SecretPaths,
    decode,
    encode,
    secret_strings,
)

Context = grpc.ServicerContext


@dataclass(frozen=True)
class _Configured:
    arguments: ProviderArguments
    aws: Aws


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """One provider process: one configuration, many calls at once."""

    def __init__(self) -> None:
        self._configured: _Configured | None = None
        self._engine: engine_pb2_grpc.EngineStub | None = None
        self._lock = threading.Lock()

    # What the engine asks first

    @override
    def Handshake(
        self, request: provider_pb2.ProviderHandshakeRequest, context: Context
    ) -> provider_pb2.ProviderHandshakeResponse:
        """Say what kinds of values this provider takes."""
        self._talk_to(request.engine_address)
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=True, accept_outputs=True
        )

    @override
    def Attach(self, request: plugin_pb2.PluginAttach, context: Context) -> empty_pb2.Empty:
        """Take the address of an engine that did not start this process."""
        self._talk_to(request.address)
        return empty_pb2.Empty()

    @override
    def GetPluginInfo(self, request: empty_pb2.Empty, context: Context) -> plugin_pb2.PluginInfo:
        """Return the version of the SDK this provider serves."""
        return plugin_pb2.PluginInfo(version=sdk_version())

    @override
    def GetSchema(
        self, request: provider_pb2.GetSchemaRequest, context: Context
    ) -> provider_pb2.GetSchemaResponse:
        """Return the names and kinds of what this provider serves."""
        return provider_pb2.GetSchemaResponse(schema=schema())

    @override
    def Cancel(self, request: empty_pb2.Empty, context: Context) -> empty_pb2.Empty:
        """End waits and make no further call."""
        if self._configured is not None:
            self._configured.aws.cancel()
        return empty_pb2.Empty()

    # The provider itself

    @override
    def CheckConfig(
        self, request: provider_pb2.CheckRequest, context: Context
    ) -> provider_pb2.CheckResponse:
        """Refuse arguments that are unknown or wrong."""
        sent, secrets = decode(request.news)
        failures = [failure(found, ARGUMENTS, secrets) for found in argument_problems(sent)]
        return provider_pb2.CheckResponse(inputs=request.news, failures=failures)

    @override
    def DiffConfig(
        self, request: provider_pb2.DiffRequest, context: Context
    ) -> provider_pb2.DiffResponse:
        """Say whether other arguments make another provider."""
        old, _ = decode(request.olds)
        new, _ = decode(request.news)
        return diff_response(argument_changes(old, new), delete_first=False)

    @override
    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: Context
    ) -> provider_pb2.ConfigureResponse:
        """Take the arguments and make sure that the account is an allowed one."""
        sent, _ = decode(request.args)
        arguments = parse(sent)
        try:
            configured = _Configured(arguments, Aws(arguments))
            _refuse_wrong_account(configured)
        except (ApiError, CanceledError) as error:
            _abort(context, f"configuring the AWS provider: {error}")
        with self._lock:
            self._configured = configured
        return provider_pb2.ConfigureResponse(
            acceptSecrets=True, acceptResources=True, acceptOutputs=True, supportsPreview=True
        )

    # Resources

    @override
    def Check(
        self, request: provider_pb2.CheckRequest, context: Context
    ) -> provider_pb2.CheckResponse:
        """Refuse wrong inputs, complete the others."""
        subject = _subject(request, context)
        old, _ = decode(request.olds)
        new, secrets = decode(request.news)
        tags = self._default_tags()
        inputs, problems = operations.check(subject, old, new, request.randomSeed, tags)
        return provider_pb2.CheckResponse(
            inputs=encode(inputs, with_tags(secrets)),
            failures=[failure(found, subject.kind.fields, secrets) for found in problems],
        )

    @override
    def Diff(
        self, request: provider_pb2.DiffRequest, context: Context
    ) -> provider_pb2.DiffResponse:
        """Say what would change, and what that replaces."""
        subject = _subject(request, context)
        old, _ = decode(request.olds)
        new, _ = decode(request.news)
        found = operations.diff(subject.kind, old, new, request.ignoreChanges)
        return diff_response(found.changes, delete_first=found.delete_first)

    @override
    def Create(
        self, request: provider_pb2.CreateRequest, context: Context
    ) -> provider_pb2.CreateResponse:
        """Create a resource, or say what it would be."""
        inputs, secrets = decode(request.properties)
        subject = _subject(request, context, inputs, secrets)
        wrapped = output_secrets(subject.kind.fields, secrets)
        if request.preview:
            region = self._region()
            planned = subject.kind.planned(inputs, region)
            return provider_pb2.CreateResponse(properties=encode(planned, wrapped))
        ready = self._ready(context)
        tags = ready.arguments.default_tags
        identity, state = _carried_out(
            context, wrapped, lambda: operations.create(subject, ready.aws, inputs, tags)
        )
        return provider_pb2.CreateResponse(id=identity, properties=encode(state, wrapped))

    @override
    def Read(
        self, request: provider_pb2.ReadRequest, context: Context
    ) -> provider_pb2.ReadResponse:
        """Look a resource up, for a refresh or an import."""
        known, secrets = decode(request.properties)
        told, told_secrets = decode(request.inputs)
        subject = _subject(request, context, known, secrets)
        wrapped = output_secrets(subject.kind.fields, secrets | told_secrets)
        ready = self._ready(context)
        # Of a resource whose creation was interrupted there are inputs and no outputs.
        known = {**told, **known}
        remembered = told if told or known else None
        tags = ready.arguments.default_tags
        found = _carried_out(
            context,
            wrapped,
            lambda: operations.read(subject, ready.aws, request.id, known, remembered, tags),
        )
        if found is None:
            return provider_pb2.ReadResponse()
        identity, state, inputs = found
        return provider_pb2.ReadResponse(
            id=identity, properties=encode(state, wrapped), inputs=encode(inputs, wrapped)
        )

    @override
    def Update(
        self, request: provider_pb2.UpdateRequest, context: Context
    ) -> provider_pb2.UpdateResponse:
        """Change a resource, or say what it would be then."""
        old, old_secrets = decode(request.olds)
        new, secrets = decode(request.news)
        subject = _subject(request, context, new, secrets | old_secrets)
        wrapped = output_secrets(subject.kind.fields, secrets)
        if request.preview:
            found = operations.diff(subject.kind, old, new, request.ignoreChanges)
            changed = frozenset(change.name for change in found.changes)
            state = subject.kind.replanned(old, new, changed)
            return provider_pb2.UpdateResponse(properties=encode(state, wrapped))
        ready = self._ready(context)
        tags = ready.arguments.default_tags
        state = _carried_out(
            context,
            wrapped,
            lambda: operations.update(
                subject, ready.aws, request.id, old, new, tags, request.ignoreChanges
            ),
        )
        return provider_pb2.UpdateResponse(properties=encode(state, wrapped))

    @override
    def Delete(self, request: provider_pb2.DeleteRequest, context: Context) -> empty_pb2.Empty:
        state, secrets = decode(request.properties)
        subject = _subject(request, context, state, secrets)
        ready = self._ready(context)
        say = self._narrator(request.urn)
        _carried_out(
            context,
            secrets,
            lambda: operations.delete(subject, ready.aws, request.id, state, say),
        )
        return empty_pb2.Empty()

    @override
    def Invoke(
        self, request: provider_pb2.InvokeRequest, context: Context
    ) -> provider_pb2.InvokeResponse:
        """Answer the one function stacks may ask: who am I."""
        if request.tok != CALLER_IDENTITY:
            _abort(context, f"the sandbox provider has no function {request.tok}")
        ready = self._ready(context)
        try:
            caller = ready.aws.call("sts", "get_caller_identity")
        except (ApiError, CanceledError) as error:
            _abort(context, f"reading the caller identity: {error}")
        answer = {
            "accountId": caller["Account"],
            "arn": caller["Arn"],
            "id": caller["Account"],
            "userId": caller["UserId"],
        }
        return provider_pb2.InvokeResponse(**{"return": encode(answer)})

    # State of the process

    def _ready(self, context: Context) -> _Configured:
        with self._lock:
            if self._configured is None:
                _abort(context, "the AWS provider has not been configured")
            return self._configured

    def _default_tags(self) -> Mapping[str, str]:
        with self._lock:
            return {} if self._configured is None else self._configured.arguments.default_tags

    def _region(self) -> str:
        with self._lock:
            return "" if self._configured is None else self._configured.aws.region

    def _talk_to(self, address: str) -> None:
        if address:
            channel = grpc.insecure_channel(address)
            with self._lock:
                self._engine = engine_pb2_grpc.EngineStub(channel)

    def _narrator(self, urn: str) -> Callable[[str], None]:
        def say(message: str) -> None:
            if self._engine is not None:
                line = engine_pb2.LogRequest(
                    severity=engine_pb2.INFO, message=message, urn=urn, ephemeral=False
                )
                try:
                    self._engine.Log(line, timeout=5)
                except grpc.RpcError:
                    return  # the message is a courtesy, the operation has succeeded

        return say


def _refuse_wrong_account(configured: _Configured) -> None:
    arguments = configured.arguments
    allowed, forbidden = arguments.allowed_account_ids, arguments.forbidden_account_ids
    if not allowed and not forbidden:
        return
    account = configured.aws.account_id
    if (allowed and account not in allowed) or account in forbidden:
        raise ApiError("", "", f"the AWS account {account} is not allowed by the provider")


def _subject(
    request: Any,
    context: Context,
    values: Properties | None = None,
    secrets: SecretPaths = frozenset(),
) -> operations.Subject:
    urn_type = request.type or request.urn.split("::")[2].rpartition("$")[2]
    kind = find_type(urn_type)
    if kind is None:
        _abort(context, f"the sandbox provider has no resource type {urn_type}")
    paths = [*secrets, *((name,) for name, known in kind.fields.items() if known.secret)]
    return operations.Subject(
        kind=kind,
        logical_name=request.name or request.urn.rpartition("::")[2],
        secrets=frozenset(secret_strings(values or {}, paths)),
    )


def _carried_out(context: Context, wrapped: SecretPaths, act: Callable[[], Any]) -> Any:
    """Return the result of an operation, its failure as a gRPC error of the right kind."""
    try:
        return act()
    except operations.RefusedError as error:
        _abort(context, str(error))
    except operations.IncompleteError as error:
        context.set_trailing_metadata(incomplete(error, wrapped))
        _abort(context, error.reason)


def _abort(context: Context, message: str) -> NoReturn:
    context.abort(grpc.StatusCode.UNKNOWN, message)
    raise AssertionError(message)  # abort does not return
