"""The security group of the application, and what it may talk to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws.ec2 import SecurityGroup
from pulumi_aws.vpc import SecurityGroupEgressRule, SecurityGroupIngressRule

from stacks.components.endpoints import Endpoints
from stacks.components.naming import Names
from stacks.components.tags import tags

HTTPS = 443


@dataclass(frozen=True, kw_only=True)
class ApplicationGroupConfig:
    """``client_cidrs``: the networks whose clients may reach the application on port 443."""

    names: Names
    vpc_id: pulumi.Input[str]
    client_cidrs: Sequence[str]
    endpoints: Endpoints


class ApplicationGroup(pulumi.ComponentResource):
    """In from named clients, out to AWS endpoints.

    Rules are resources of their own: rules inside a group and beside it undo each other.
    """

    id: pulumi.Output[str]

    def __init__(
        self, name: str, config: ApplicationGroupConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:ApplicationGroup", name, None, opts)
        names = config.names
        child = pulumi.ResourceOptions(parent=self)
        group = SecurityGroup(
            "app",
            name=names.of("app"),
            description="The application: in from named clients, out to the database and to "
            "AWS endpoints.",
            vpc_id=config.vpc_id,
            tags=tags(names.of("app")),
            opts=child,
        )
        for cidr in config.client_cidrs:
            SecurityGroupIngressRule(
                f"app-from-{cidr.replace('/', '-')}",
                security_group_id=group.id,
                description="HTTPS from clients",
                cidr_ipv4=cidr,
                ip_protocol="tcp",
                from_port=HTTPS,
                to_port=HTTPS,
                tags=tags(names.of("app-from-clients")),
                opts=child,
            )
        SecurityGroupEgressRule(
            "app-to-endpoints",
            security_group_id=group.id,
            description="AWS services by interface endpoint",
            referenced_security_group_id=config.endpoints.security_group_id,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            tags=tags(names.of("app-to-endpoints")),
            opts=child,
        )
        SecurityGroupIngressRule(
            "endpoints-from-app",
            security_group_id=config.endpoints.security_group_id,
            description="HTTPS from the application",
            referenced_security_group_id=group.id,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            tags=tags(names.of("endpoints-from-app")),
            opts=child,
        )
        for service, addresses in config.endpoints.prefix_list_ids.items():
            SecurityGroupEgressRule(
                f"app-to-{service}",
                security_group_id=group.id,
                description=f"AWS services by gateway endpoint: {service}",
                prefix_list_id=addresses,
                ip_protocol="tcp",
                from_port=HTTPS,
                to_port=HTTPS,
                tags=tags(names.of(f"app-to-{service}")),
                opts=child,
            )
        self.id = group.id
        self.register_outputs({"id": self.id})
