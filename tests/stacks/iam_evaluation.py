"""Whether AWS would allow a request of a role within its account, by the documents that apply.

One document is evaluated as the emulated cloud does (``stacks/sandbox/policy.py``); here they are
put together as the IAM user guide says under "Policy evaluation logic".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from stacks.sandbox.policy import Access, Effect, evaluate
from tests.stacks.sample_specs import ACCOUNT


@dataclass(frozen=True, kw_only=True)
class Request:
    """An API call: ``context`` has the condition keys that AWS fills in, each with its values."""

    action: str
    resource: str
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Role:
    """A role and the documents that limit it, as JSON text."""

    arn: str
    policy: str
    boundary: str


def may(role: Role, request: Request, resource_policy: str | None = None) -> bool:
    """Tell whether ``role`` may do what it asks.

    ``resource_policy`` is that of the bucket or key. A key's policy must allow or leave it to IAM,
    since IAM alone opens no key; a bucket's need say nothing.
    """
    context = {name.lower(): tuple(values) for name, values in request.context.items()}
    access = Access(
        action=request.action,
        resource=request.resource,
        principals=(role.arn,),
        account=ACCOUNT,
        context={**context, "aws:principalarn": (role.arn,), "aws:principalaccount": (ACCOUNT,)},
    )
    identity = evaluate(json.loads(role.policy), access)
    boundary = evaluate(json.loads(role.boundary), access)
    resource = Effect.NEUTRAL
    if resource_policy is not None:
        resource = evaluate(json.loads(resource_policy), access, of_resource=True)
    if Effect.DENIED in (identity, boundary, resource) or boundary is not Effect.ALLOWED:
        return False
    if resource is Effect.ALLOWED:
        return True
    if request.action.startswith("kms:") and resource is not Effect.DELEGATED:
        return False
    return identity is Effect.ALLOWED
