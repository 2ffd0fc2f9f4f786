"""Log groups, encrypted with the key for logs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws.cloudwatch import LogGroup

from stacks.components.tags import DataClass, tags


@dataclass(frozen=True, kw_only=True)
class LogGroupsConfig:
    """``groups``: what they are for -> their physical name. ``days``: how long lines are kept."""

    groups: Mapping[str, str]
    key_arn: pulumi.Input[str]
    days: int


class LogGroups(pulumi.ComponentResource):
    """Log groups; ``arns`` by what they are for."""

    arns: Mapping[str, pulumi.Output[str]]

    def __init__(
        self, name: str, config: LogGroupsConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:LogGroups", name, None, opts)
        self.arns = {
            what: LogGroup(
                what,
                name=group,
                kms_key_id=config.key_arn,
                retention_in_days=config.days,
                tags=tags(group, DataClass.OPERATIONAL),
                opts=pulumi.ResourceOptions(parent=self),
            ).arn
            for what, group in config.groups.items()
        }
        self.register_outputs({"arns": dict(self.arns)})
