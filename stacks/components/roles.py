"""Roles under a ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws.iam import Policy, RolePolicy
from pulumi_aws.iam import Role as IamRole

from stacks.components.documents import Statement, document, statement
from stacks.components.naming import Names
from stacks.components.tags import tags


@dataclass(frozen=True, kw_only=True)
class BoundaryConfig:
    """``policy``: JSON document of the most that a role under this ceiling may do."""

    names: Names
    description: str
    policy: str


class Boundary(pulumi.ComponentResource):
    """The ceiling of every role of a Hub. ``arn`` is composed, so that a plan shows it."""

    arn: str

    def __init__(
        self, name: str, config: BoundaryConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:Boundary", name, None, opts)
        policy_name = config.names.of("boundary")
        self.arn = config.names.iam_arn(f"policy/{policy_name}")
        Policy(
            name,
            name=policy_name,
            description=config.description,
            policy=config.policy,
            tags=tags(policy_name),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"arn": self.arn})


@dataclass(frozen=True, kw_only=True)
class RoleConfig:
    """A role: ``trust`` says who assumes it, ``policy`` what it may do, under ``boundary_arn``.

    ``after``: what must exist before the role; a composed ARN does not say so by itself.
    """

    names: Names
    what: str
    description: str
    trust: str
    policy: str
    boundary_arn: str
    after: Sequence[pulumi.Resource] = ()


class Role(pulumi.ComponentResource):
    """A role and its one inline policy."""

    name: str
    arn: pulumi.Output[str]

    def __init__(
        self, name: str, config: RoleConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:Role", name, None, opts)
        self.name = config.names.of(config.what)
        role = IamRole(
            name,
            name=self.name,
            description=config.description,
            assume_role_policy=config.trust,
            permissions_boundary=config.boundary_arn,
            tags=tags(self.name),
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(config.after)),
        )
        RolePolicy(
            name,
            name="hub",
            role=role.name,
            policy=config.policy,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = role.arn
        self.register_outputs({"arn": self.arn})


def never_rights(names: Names) -> tuple[Statement, ...]:
    """Return what no role of a Hub may ever do: change rights, or act in another region."""
    return (
        statement(
            "NeverRights",
            ["account:*", "iam:*", "organizations:*", "sts:AssumeRole*"],
            ["*"],
            effect="Deny",
        ),
        statement(
            "StayInRegion",
            ["*"],
            ["*"],
            effect="Deny",
            condition={"StringNotEquals": {"aws:RequestedRegion": [names.region]}},
        ),
    )


def deliver_flow_logs(names: Names, log_group: str) -> str:
    """Return the policy of the role that delivers flow logs to ``log_group``."""
    return document(
        statement(
            "Deliver",
            ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
            [f"{names.log_group_arn(log_group)}:*"],
        ),
        # AWS offers no narrower resource for a listing
        statement("Find", ["logs:DescribeLogGroups"], [names.log_group_arn("*")]),
    )
