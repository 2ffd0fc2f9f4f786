"""The version of a Hub, where those who deploy the application into it find it."""

from __future__ import annotations

import pulumi
from pulumi_aws.ssm import Parameter

from stacks.components.naming import Names
from stacks.components.tags import DataClass, tags


def hub_version(names: Names, version: str | None, opts: pulumi.ResourceOptions) -> None:
    """Register the parameter that names the version; a Hub that was never given one has none."""
    if version is None:
        return
    path = f"{names.path}/version"
    Parameter(
        "version",
        name=path,
        description="The version that this Hub is brought to.",
        type="String",
        insecure_value=version,  # no secret, and shown in the plan
        tags=tags(path, DataClass.OPERATIONAL),
        opts=opts,
    )
