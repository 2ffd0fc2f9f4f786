"""IAM that decides by resource and condition, in the place of moto's, which decides by action.

moto 5.2.5, with enforcement on, checks signatures and actions, and resources for S3, SQS and STS
alone; conditions of identity policies are taken for true, permissions boundaries, session policies,
key policies and bucket policies' conditions are ignored. Here:

- explicit denial, then boundary and session policy, then identity or resource policy, as in the
  IAM user guide; a KMS key and a role are reached only if their own policy says so;
- resources and condition keys of the stores in ``targets.py``; every other call is about ``*``;
- every request counts as sent over TLS, because the loopback stands for the TLS endpoint.

Not done: calls that AWS services make on the caller's behalf (S3 that uses a key), grants,
organisations' policies, tags as conditions but those of keys and secrets.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from moto.core.exceptions import JsonRESTError
from moto.iam import access_control
from moto.s3.models import FakeBucket
from moto.sts.models import sts_backends
from moto.utilities.utils import get_partition

from stacks.sandbox.policy import Access, Document, Effect, condition_keys, evaluate
from stacks.sandbox.targets import Call, Target, targets

_ALWAYS = {"aws:securetransport": ("true",), "aws:principalisawsservice": ("false",)}
# whose own policy must let the caller in, or leave it to the account's identity policies
_GUARDED = ("kms:", "sts:AssumeRole")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who signed a request, and the documents that say what it may do.

    Attributes:
        arn: As messages name it: the user, or the session of a role.
        principal: As policies name it: the user, or the role.
        ceilings: Permissions boundary and session policy: each must allow as well.
    """

    arn: str
    principal: str
    account: str
    policies: tuple[Document, ...]
    ceilings: tuple[Document, ...]


def install() -> None:
    """Put the decisions of this module in the place of moto's."""
    for owner, name, new in (
        (access_control.IAMRequestBase, "check_action_permitted", _check),
        (FakeBucket, "get_permission", _bucket_permission),
    ):
        setattr(owner, name, new)


def allowed(caller: Caller, target: Target, *, region: str) -> bool:
    """Decide on one action on one resource."""
    access = Access(
        action=target.action,
        resource=target.resource,
        principals=(caller.principal, caller.arn),
        account=caller.account,
        context={
            **_ALWAYS,
            "aws:principalarn": (caller.principal,),
            "aws:principalaccount": (caller.account,),
            "aws:requestedregion": (region,),
            "aws:sourceip": ("127.0.0.1",),
            **{key.lower(): values for key, values in target.context.items()},
        },
    )
    identity = [evaluate(each, access) for each in caller.policies]
    ceilings = [evaluate(each, access) for each in caller.ceilings]
    resource = Effect.NEUTRAL
    if target.policy is not None:
        resource = evaluate(json.loads(target.policy), access, of_resource=True)
    if Effect.DENIED in (*identity, resource) or any(e is not Effect.ALLOWED for e in ceilings):
        return False
    by_identity = Effect.ALLOWED in identity
    if target.policy is not None and target.action.startswith(_GUARDED):
        return resource is Effect.ALLOWED or (resource is Effect.DELEGATED and by_identity)
    return by_identity or resource is Effect.ALLOWED


def _check(request: Any, resource: str) -> None:
    """Take the place of ``IAMRequestBase.check_action_permitted``."""
    service, _, operation = request._action.partition(":")
    if (service, operation) == ("sts", "GetCallerIdentity"):  # nobody can be refused this
        return
    speaks_json = "X-Amz-Target" in request._headers
    call = Call(
        service=service,
        operation=operation,
        resource=resource,
        account=request.account_id,
        region=request._region,
        path=request._path,
        headers=request._headers,
        form=request._data if isinstance(request._data, Mapping) else {},
        body=json.loads(request._body or b"{}") if speaks_json else {},
    )
    caller = _caller(request)
    for target in targets(call):
        if allowed(caller, target, region=call.region):
            continue
        if speaks_json:
            raise JsonRESTError(
                "AccessDeniedException",
                f"User: {caller.arn} is not authorized to perform: {target.action} "
                f"on resource: {target.resource}",
            )
        request._raise_access_denied()


def _caller(request: Any) -> Caller:
    key = request._access_key
    backend = key.backend
    policies = [access_control.IAMPolicy(each)._policy_json for each in key.collect_policies()]
    ceilings: list[Document] = []
    principal: str = key.arn
    if isinstance(key, access_control.AssumedRoleAccessKey):
        session = next(
            each
            for each in sts_backends[request.account_id][
                get_partition(request._region)
            ].assumed_roles
            if each.access_key_id == key._access_key_id
        )
        principal = session.role_arn
        owner = backend.get_role_by_arn(principal)
        if session.policy:
            ceilings.append(json.loads(session.policy))
        if owner.permissions_boundary_arn:
            boundary = backend.get_policy(owner.permissions_boundary_arn)
            ceilings.append(access_control.IAMPolicy(boundary)._policy_json)
    return Caller(
        arn=key.arn,
        principal=principal,
        account=request.account_id,
        policies=tuple(policies),
        ceilings=tuple(ceilings),
    )


def _bucket_permission(bucket: Any, action: str, resource: str) -> Any:
    """Take the place of ``FakeBucket.get_permission``, which asks before it knows the caller.

    What depends on the caller is left to ``_check``; what is true of every request is decided.
    """
    result = access_control.PermissionResult
    if bucket.policy is None:
        return result.NEUTRAL
    statements = json.loads(bucket.policy)["Statement"]
    known = [
        each
        for each in (statements if isinstance(statements, list) else [statements])
        if condition_keys(each) <= set(_ALWAYS)
    ]
    access = Access(action=action, resource=resource, context=_ALWAYS)
    effect = evaluate({"Statement": known}, access, of_resource=True)
    return {Effect.DENIED: result.DENIED, Effect.ALLOWED: result.PERMITTED}.get(
        effect, result.NEUTRAL
    )
