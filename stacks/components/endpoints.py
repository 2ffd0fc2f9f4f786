"""Ways to AWS services that do not leave the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws.ec2 import SecurityGroup, VpcEndpoint

from stacks.components.documents import EVERYBODY, document, statement
from stacks.components.naming import Names
from stacks.components.tags import tags

GATEWAYS = ("dynamodb", "s3")
# what tasks in a network without a way out need: images, keys, logs, secrets, parameters, identity
INTERFACES = ("ecr.api", "ecr.dkr", "kms", "logs", "secretsmanager", "ssm", "sts")


@dataclass(frozen=True, kw_only=True)
class EndpointsConfig:
    """Which services are reached from which network. ``interfaces``: names of AWS services."""

    names: Names
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    route_table_id: pulumi.Input[str]
    interfaces: Sequence[str]


class Endpoints(pulumi.ComponentResource):
    """Gateway endpoints of S3 and DynamoDB, interface endpoints and their security group.

    ``prefix_list_ids``: service of a gateway endpoint -> its addresses, for rules of groups.
    """

    security_group_id: pulumi.Output[str]
    prefix_list_ids: Mapping[str, pulumi.Output[str]]

    def __init__(
        self, name: str, config: EndpointsConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:Endpoints", name, None, opts)
        names = config.names
        child = pulumi.ResourceOptions(parent=self)
        gateway_policies = {"dynamodb": own_principals(names), "s3": own_buckets(names)}
        gateways = {
            service: VpcEndpoint(
                service,
                vpc_id=config.vpc_id,
                vpc_endpoint_type="Gateway",
                service_name=f"com.amazonaws.{names.region}.{service}",
                route_table_ids=[config.route_table_id],
                policy=gateway_policies[service],
                tags=tags(names.of(service)),
                opts=child,
            )
            for service in GATEWAYS
        }
        group = SecurityGroup(
            "endpoints",
            name=names.of("endpoints"),
            description="Interface endpoints: in from the application, out to nothing.",
            vpc_id=config.vpc_id,
            tags=tags(names.of("endpoints")),
            opts=child,
        )
        for service in config.interfaces:
            VpcEndpoint(
                service.replace(".", "-"),
                vpc_id=config.vpc_id,
                vpc_endpoint_type="Interface",
                service_name=f"com.amazonaws.{names.region}.{service}",
                private_dns_enabled=True,
                subnet_ids=list(config.subnet_ids),
                security_group_ids=[group.id],
                policy=own_principals(names),
                tags=tags(names.of(service.replace(".", "-"))),
                opts=child,
            )
        self.security_group_id = group.id
        self.prefix_list_ids = {
            service: endpoint.prefix_list_id for service, endpoint in gateways.items()
        }
        self.register_outputs({"security_group_id": self.security_group_id})


def own_principals(names: Names) -> str:
    """Return the endpoint policy that lets principals of this account through, nobody else."""
    return document(
        statement(
            "PrincipalsOfThisAccount",
            ["*"],
            ["*"],
            principal=EVERYBODY,
            condition={"StringEquals": {"aws:PrincipalAccount": names.account_id}},
        )
    )


def own_buckets(names: Names) -> str:
    """Return the endpoint policy of S3: nothing is carried to a bucket of somebody else's.

    The layers of container images lie in a bucket of AWS, and ECR signs the reads (ECR user guide,
    interface endpoints).
    """
    return document(
        statement(
            "BucketsOfThisAccount",
            ["*"],
            ["*"],
            principal=EVERYBODY,
            condition={
                "StringEquals": {
                    "aws:PrincipalAccount": names.account_id,
                    "aws:ResourceAccount": names.account_id,
                }
            },
        ),
        statement(
            "ImageLayers",
            ["s3:GetObject"],
            [f"arn:aws:s3:::prod-{names.region}-starport-layer-bucket/*"],
            principal=EVERYBODY,
        ),
    )
