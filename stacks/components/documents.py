"""Policy documents of IAM, as values.

They are composed from names, account and region, never from outputs of resources: a plan shows
every document whole, and a policy rule refuses one that is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Statement = dict[str, Any]
Condition = Mapping[str, Mapping[str, str | list[str]]]

EVERYBODY: Mapping[str, str] = {"AWS": "*"}


def statement(
    sid: str,
    actions: Sequence[str],
    resources: Sequence[str] = (),
    *,
    effect: str = "Allow",
    principal: Mapping[str, str] | None = None,
    condition: Condition | None = None,
) -> Statement:
    """Return a statement: a trust policy has no ``resources``, an identity policy no principal.

    A list of one is written as that one, as AWS does.
    """
    composed: Statement = {"Sid": sid, "Effect": effect}
    if principal is not None:
        composed["Principal"] = principal
    composed["Action"] = _short(actions)
    if resources:
        composed["Resource"] = _short(resources)
    if condition is not None:
        composed["Condition"] = condition
    return composed


def _short(texts: Sequence[str]) -> str | list[str]:
    return texts[0] if len(texts) == 1 else list(texts)


def document(*statements: Statement) -> str:
    """Return the JSON text of a policy."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))


def service_trust(service: str, *, account_id: str, source_arn: str) -> str:
    """Return the trust policy of a role that an AWS service assumes.

    The service may do so only for resources of this account that ``source_arn`` (an ARN pattern)
    matches, so that nobody else's resources can make it act with our rights (the confused deputy
    of the IAM user guide).
    """
    return document(
        statement(
            "OwnResourcesOnly",
            ["sts:AssumeRole"],
            principal={"Service": service},
            condition={
                "StringEquals": {"aws:SourceAccount": account_id},
                "ArnLike": {"aws:SourceArn": source_arn},
            },
        )
    )
