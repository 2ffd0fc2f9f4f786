"""A slice of a shared Hub reaches what is its own and nothing else, and nobody else reaches it.

Judged only for a slice: the parameters then name its short name. The roles' rights (inline
policies, attached policies), who may become a role, and who may use the slice's keys are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from policies.buckets import BUCKET
from policies.catalog import CATALOG
from policies.confinement import Slice, opens, reaches, title_of
from policies.documents import Statement, documents_of, statements
from policies.model import (
    UNKNOWN,
    Finding,
    Operation,
    Parameters,
    Resource,
    Rule,
    Unknown,
    undecided,
    violated,
)

_ROLE: Final = "aws_iam_role"
_POLICY: Final = "aws_iam_policy"
_ATTACHMENT: Final = "aws_iam_role_policy_attachment"
_KEY: Final = "aws_kms_key"
_KEY_POLICY: Final = "aws_kms_key_policy"
_RIGHTS: Final = (_ROLE, _POLICY, "aws_iam_role_policy")
_GRANTS: Final = ("aws_kms_grant", "aws:kms/grant:Grant")
# Kinds of IAM that the rule reads; what another one gives, nobody can tell.
_IAM: Final = ("aws_iam_", "aws:iam/")
_READ: Final = (*_RIGHTS, _ATTACHMENT)
_OWN: Final = (
    "Name only resources of the slice, or restrict the statement to them with a condition."
)
_PLAIN: Final = "Compose it from names, account and region."
_DOOR: Final = "Name the slice's own role, or restrict the statement to it with a condition."


@dataclass(frozen=True, kw_only=True)
class _World:
    """The slice and the resources of its plan, also by address."""

    own: Slice
    policies: frozenset[str]  # names of those that are judged here
    by_address: Mapping[str, Resource]
    resources: Sequence[Resource]

    def comes_from(self, resource: Resource, path: str, kind: str, names: frozenset[str]) -> bool:
        """Tell whether the plan shows that a value comes only from things of these names."""
        origins = [self.by_address.get(each) for each in resource.origins(path)]
        return bool(origins) and all(
            each is not None and each.kind == kind and each.value(CATALOG[kind].names[0]) in names
            for each in origins
        )


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:
    """Yield what reaches beyond the slice, or lets others in; nothing without a short name."""
    if not parameters.slice_short or not resources:
        return
    world = _World(
        own=_slice(resources, parameters.slice_short, parameters.account_id),
        policies=_names(resources, _POLICY, "name", f"{parameters.slice_short}-"),
        by_address={resource.address: resource for resource in resources},
        resources=resources,
    )
    if not any(resource.kind == _ROLE for resource in resources):
        yield violated(
            resources[0], "is part of a slice that has no role", "Give the slice a role of its own."
        )
    for resource in resources:
        yield from _of_resource(resource, world)


def _slice(resources: Sequence[Resource], short: str, account: str) -> Slice:
    """Return what is the slice's own: of what it makes, that which carries its name.

    A plan may take over a thing that exists, such as the Hub's bucket; that does not make it its
    own.
    """
    return Slice(
        short=short,
        account=account,
        roles=_names(resources, _ROLE, "name", f"{short}-"),
        aliases=_names(resources, "aws_kms_alias", "name", f"alias/{short}-"),
        keys=_names(resources, _KEY, "arn", "arn:"),
        buckets=_names(resources, BUCKET, "bucket", f"{short}-"),
    )


def _names(resources: Sequence[Resource], kind: str, path: str, prefix: str) -> frozenset[str]:
    values = (resource.value(path) for resource in resources if resource.kind == kind)
    return frozenset(each for each in values if isinstance(each, str) and each.startswith(prefix))


def _of_resource(resource: Resource, world: _World) -> Iterator[Finding]:
    kind = resource.kind
    if kind in _RIGHTS:
        yield from _rights(resource, world)
    elif kind == _ATTACHMENT:
        yield from _part_of(resource, "role", world.own.roles, _ROLE, world)
        yield from _attached(resource, "policy_arn", world)
    elif kind in _GRANTS:
        yield from _grant(resource, world)
    elif kind == "aws_kms_alias":
        yield from _alias(resource, world)
    elif kind.startswith(_IAM):
        yield violated(
            resource,
            f"has the type {kind}, whose permissions cannot be evaluated",
            f"Use {_READ[2]}.",
        )
    elif kind in (_KEY, _KEY_POLICY):
        yield from _key(resource, world)
    else:
        yield from _others(resource, world)


def _rights(resource: Resource, world: _World) -> Iterator[Finding]:
    for path, document in documents_of(resource):
        if path == "assume_role_policy":
            yield from _statements(resource, path, document, lambda s: opens(s, world.own), _DOOR)
        else:
            yield from _statements(resource, path, document, lambda s: reaches(s, world.own), _OWN)
    if resource.kind == _ROLE:
        yield from _attached(resource, "managed_policy_arns", world)
    elif resource.kind != _POLICY:
        yield from _part_of(resource, "role", world.own.roles, _ROLE, world)


def _attached(resource: Resource, path: str, world: _World) -> Iterator[Finding]:
    """Yield policies that are attached and not made, and so judged, with the slice."""
    arns, more = resource.body.texts(path)
    if more and not world.comes_from(resource, path, _POLICY, world.policies):
        yield undecided(resource, path, _PLAIN)
    for arn in arns:
        if world.own.name_of("policy", arn) not in world.policies:
            yield violated(
                resource,
                f"attaches {arn}, which is not a policy of the slice",
                "Put the role's permissions into a policy of the slice.",
                path,
            )


def _part_of(
    resource: Resource, path: str, names: frozenset[str], kind: str, world: _World
) -> Iterator[Finding]:
    """Yield what is put on a role or bucket of somebody else."""
    value = resource.value(path)
    if value is UNKNOWN:
        if not world.comes_from(resource, path, kind, names):
            yield undecided(resource, path, _PLAIN)
    elif value not in names:
        yield violated(
            resource,
            f"names {value} in {path}, which does not belong to the slice",
            "A slice may change only what is its own.",
            path,
        )


def _key(resource: Resource, world: _World) -> Iterator[Finding]:
    documents = tuple(documents_of(resource))
    if not documents and resource.kind == _KEY and not _has_policy(resource, world):
        yield violated(
            resource,
            "has no policy, so the AWS default lets the whole account use it",
            _DOOR,
            "policy",
        )
    for path, document in documents:
        yield from _statements(
            resource, path, document, lambda s: opens(s, world.own, is_key=True), _DOOR
        )


def _has_policy(key: Resource, world: _World) -> bool:
    """Tell whether a resource of the slice certainly gives a key its policy."""
    arn = key.value("arn")
    ids = {arn, arn.rpartition("/")[2]} if isinstance(arn, str) else set()
    return any(
        each.value("key_id") in ids
        or (each.value("key_id") is UNKNOWN and each.origins("key_id") == (key.address,))
        for each in world.resources
        if each.kind == _KEY_POLICY
    )


def _alias(resource: Resource, world: _World) -> Iterator[Finding]:
    """Yield an alias of somebody else's key: conditions on aliases would open it."""
    target = resource.value("target_key_id")
    if _is_foreign_key(target, world):
        yield violated(
            resource,
            f"points to the key {target}, which does not belong to the slice",
            "Point the alias to a key of the slice.",
            "target_key_id",
        )


def _is_foreign_key(key: object, world: _World) -> bool:
    """Tell whether a value certainly names a key of somebody else.

    What is not known yet comes from this plan, whose keys are the slice's. A plan has no ids of
    keys that exist; there the state, which has them, is judged after the apply.
    """
    mine = [each for each in world.resources if each.kind == _KEY]
    unnamed = any(
        each.operation is not Operation.CREATE and not isinstance(each.value("arn"), str)
        for each in mine
    )
    ids = world.own.keys | {arn.rpartition("/")[2] for arn in world.own.keys}
    return isinstance(key, str) and key not in ids and not unnamed


def _grant(resource: Resource, world: _World) -> Iterator[Finding]:
    grantee = resource.value("grantee_principal")
    if grantee is UNKNOWN:
        if not world.comes_from(resource, "grantee_principal", _ROLE, world.own.roles):
            yield undecided(resource, "grantee_principal", _PLAIN)
    elif not world.own.owns_role(str(grantee)):
        yield violated(
            resource,
            f"lets {grantee} use a key",
            "Grant the use of the slice's key only to its own role.",
            "grantee_principal",
        )
    key = resource.value("key_id")
    if _is_foreign_key(key, world):
        yield violated(
            resource,
            f"grants access to the key {key}, which does not belong to the slice",
            _DOOR,
            "key_id",
        )


def _others(resource: Resource, world: _World) -> Iterator[Finding]:
    """Judge the policies of buckets, secrets and whatever else holds one."""
    for path, document in documents_of(resource):
        yield from _statements(resource, path, document, lambda s: opens(s, world.own), _DOOR)
    if resource.kind.startswith("aws_s3_bucket_"):
        yield from _part_of(resource, "bucket", world.own.buckets, BUCKET, world)


def _statements(
    resource: Resource,
    path: str,
    document: Any,
    fault: Callable[[Statement], str],
    remedy: str,
) -> Iterator[Finding]:
    if isinstance(document, Unknown):
        yield undecided(resource, path, _PLAIN)
        return
    try:
        found = statements(document)
    except ValueError:
        yield violated(resource, f"has a {path} that is not a policy document", remedy, path)
        return
    for index, statement in enumerate(found):
        words = fault(statement)
        if words:
            yield violated(resource, f"{title_of(statement, index)} {words}", remedy, path)


RULE: Final = Rule(
    id="isolation",
    title="A slice reaches only its own resources, and nobody else reaches them",
    check=check,
)
