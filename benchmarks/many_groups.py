"""A program of many log groups, in the place of Mode B's: what is measured is where states lie.

None of the product's own programs comes near two hundred resources: a dedicated Hub has some
seventy, and a security group takes no more than sixty rules. A log group takes the emulated cloud
two requests, and holds no secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
from pulumi_aws import Provider
from pulumi_aws.cloudwatch import LogGroup

from stacks.spec import DedicatedSpec

RESOURCES = 200


def build(spec: DedicatedSpec, provider: Provider) -> Mapping[str, pulumi.Input[Any]]:
    """Register the log groups, each by itself."""
    opts = pulumi.ResourceOptions(provider=provider)
    groups = [
        # with the same number of digits none begins with the name of another
        LogGroup(f"group-{number:03}", name=f"/{spec.owner.short}/{number:03}", opts=opts)
        for number in range(RESOURCES)
    ]
    return {"first": groups[0].arn, "last": groups[-1].arn}
