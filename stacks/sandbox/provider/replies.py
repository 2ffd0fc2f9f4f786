"""How answers of the provider look on the wire: failures, differences, partial results, schema."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import grpc
from pulumi.runtime.proto import provider_pb2, status_pb2

from stacks.sandbox.provider import sdk_version
from stacks.sandbox.provider.arguments import ARGUMENTS
from stacks.sandbox.provider.catalogue import all_types
from stacks.sandbox.provider.compare import Act, Change
from stacks.sandbox.provider.operations import IncompleteError
from stacks.sandbox.provider.schema import Fields, Kind, Problem
from stacks.sandbox.provider.wire import SecretPaths, encode

CALLER_IDENTITY: Final = "aws:index/getCallerIdentity:getCallerIdentity"

_DIFF = provider_pb2.PropertyDiff
_KINDS = {
    (Act.ADD, False): _DIFF.ADD,
    (Act.ADD, True): _DIFF.ADD_REPLACE,
    (Act.UPDATE, False): _DIFF.UPDATE,
    (Act.UPDATE, True): _DIFF.UPDATE_REPLACE,
    (Act.DELETE, False): _DIFF.DELETE,
    (Act.DELETE, True): _DIFF.DELETE_REPLACE,
}
# where gRPC carries a status with details
_DETAILS_KEY = "grpc-status-details-bin"


def with_tags(secrets: SecretPaths) -> SecretPaths:
    """Return secret paths with those of `tags` repeated for `tagsAll`."""
    return secrets | {("tagsAll", *path[1:]) for path in secrets if path[0] == "tags"}


def output_secrets(fields: Fields, secrets: SecretPaths) -> SecretPaths:
    """Return the paths that are secret in outputs: those of the inputs, and what always is."""
    always = {(name,) for name, known in fields.items() if known.secret}
    return with_tags(secrets) | always


def incomplete(error: IncompleteError, wrapped: SecretPaths) -> tuple[tuple[str, bytes]]:
    """Return the trailing metadata that tell the engine of a resource which exists half-made."""
    detail = provider_pb2.ErrorResourceInitFailed(
        id=error.identity,
        properties=encode(error.state, wrapped),
        reasons=[error.reason],
        refresh_before_update=error.guessed,
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=error.reason)
    status.details.add().Pack(detail)
    return ((_DETAILS_KEY, status.SerializeToString()),)


def failure(problem: Problem, fields: Fields, secrets: SecretPaths) -> provider_pb2.CheckFailure:
    """Return a problem for the engine, which prints the values of properties that it is named.

    Secret ones are not named to it, nor are nested ones, which it does not find; the reason says
    where they are.
    """
    known = fields.get(problem.path)
    hidden = known is None or known.secret or any(path[0] == problem.path for path in secrets)
    named = "" if hidden else problem.path
    reason = f"{problem.path} {problem.reason}" if problem.path else problem.reason
    return provider_pb2.CheckFailure(property=named, reason=reason)


def diff_response(found: Iterable[Change], *, delete_first: bool) -> provider_pb2.DiffResponse:
    """Return changes as the engine's detailed difference."""
    changes = list(found)
    some = provider_pb2.DiffResponse.DIFF_SOME
    return provider_pb2.DiffResponse(
        changes=some if changes else provider_pb2.DiffResponse.DIFF_NONE,
        diffs=sorted({change.name for change in changes}),
        replaces=sorted({change.name for change in changes if change.replaces}),
        deleteBeforeReplace=delete_first,
        detailedDiff={
            change.path: _DIFF(kind=_KINDS[change.act, change.replaces]) for change in changes
        },
        hasDetailedDiff=True,
    )


_SCHEMA_TYPES: Mapping[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.NUMBER: {"type": "number"},
    Kind.FLAG: {"type": "boolean"},
    Kind.MAP: {"type": "object", "additionalProperties": {"type": "string"}},
    Kind.LIST: {"type": "array", "items": {"$ref": "pulumi.json#/Any"}},
    Kind.SET: {"type": "array", "items": {"$ref": "pulumi.json#/Any"}},
    Kind.BLOCK: {"type": "object", "additionalProperties": {"$ref": "pulumi.json#/Any"}},
}


def schema() -> str:
    """Return the package schema: names and kinds of what the provider serves, as JSON."""
    resources = {}
    for kind in all_types():
        inputs = {name: _SCHEMA_TYPES[known.kind] for name, known in kind.fields.items()}
        outputs = {name: {"$ref": "pulumi.json#/Any"} for name in kind.outputs}
        resources[kind.urn_type] = {
            "inputProperties": inputs,
            "requiredInputs": [name for name, known in kind.fields.items() if known.required],
            "properties": {**inputs, **outputs},
        }
    variables = {name: _SCHEMA_TYPES[known.kind] for name, known in ARGUMENTS.items()}
    described = {
        "name": "aws",
        "version": sdk_version(),
        "provider": {"inputProperties": variables},
        "resources": resources,
        "functions": {CALLER_IDENTITY: {}},
    }
    return json.dumps(described)
