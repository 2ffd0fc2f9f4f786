"""The record of every connection in a network."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws.ec2 import FlowLog as VpcFlowLog

from stacks.components.documents import service_trust
from stacks.components.naming import Names
from stacks.components.roles import Boundary, Role, RoleConfig, deliver_flow_logs
from stacks.components.tags import tags

_AGGREGATION_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class FlowLogConfig:
    """``log_group``: name of the group that ``log_group_arn`` is the ARN of."""

    names: Names
    vpc_id: pulumi.Input[str]
    log_group: str
    log_group_arn: pulumi.Input[str]
    boundary: Boundary


class FlowLog(pulumi.ComponentResource):
    """Flow log of a VPC and the role that delivers it."""

    def __init__(
        self, name: str, config: FlowLogConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:FlowLog", name, None, opts)
        names = config.names
        role = Role(
            "flow-logs",
            RoleConfig(
                names=names,
                what="flow-logs",
                description="Delivers the VPC's flow logs to their log group.",
                trust=service_trust(
                    "vpc-flow-logs.amazonaws.com",
                    account_id=names.account_id,
                    source_arn=names.arn("ec2", "vpc-flow-log/*"),
                ),
                policy=deliver_flow_logs(names, config.log_group),
                boundary_arn=config.boundary.arn,
                after=[config.boundary],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        VpcFlowLog(
            name,
            vpc_id=config.vpc_id,
            iam_role_arn=role.arn,
            log_destination=config.log_group_arn,
            log_destination_type="cloud-watch-logs",
            max_aggregation_interval=_AGGREGATION_SECONDS,
            traffic_type="ALL",
            tags=tags(names.of("flow")),
            # AWS checks at once whether the role may deliver
            opts=pulumi.ResourceOptions(parent=self, depends_on=[role]),
        )
        self.register_outputs({})
