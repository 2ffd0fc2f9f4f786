"""A private network that an application can work in: the network, its endpoints, its group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from stacks import spec
from stacks.components.application_group import ApplicationGroup, ApplicationGroupConfig
from stacks.components.endpoints import INTERFACES, Endpoints, EndpointsConfig
from stacks.components.naming import Names
from stacks.components.network import Network, NetworkConfig


@dataclass(frozen=True, kw_only=True)
class PrivateNetworkConfig:
    """Where the network lies, and who may reach the application in it."""

    names: Names
    network: spec.Network


class PrivateNetwork(pulumi.ComponentResource):
    """Network, endpoints of the AWS services that an application uses, its security group."""

    vpc_id: pulumi.Output[str]
    subnet_ids: Sequence[pulumi.Output[str]]
    app_group_id: pulumi.Output[str]

    def __init__(
        self, name: str, config: PrivateNetworkConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:components:PrivateNetwork", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        network = Network(
            "network", NetworkConfig(names=config.names, network=config.network), child
        )
        endpoints = Endpoints(
            "endpoints",
            EndpointsConfig(
                names=config.names,
                vpc_id=network.vpc_id,
                subnet_ids=network.subnet_ids,
                route_table_id=network.route_table_id,
                interfaces=INTERFACES,
            ),
            child,
        )
        group = ApplicationGroup(
            "application",
            ApplicationGroupConfig(
                names=config.names,
                vpc_id=network.vpc_id,
                client_cidrs=config.network.client_cidrs,
                endpoints=endpoints,
            ),
            child,
        )
        self.vpc_id = network.vpc_id
        self.subnet_ids = network.subnet_ids
        self.app_group_id = group.id
        self.register_outputs({"vpc_id": self.vpc_id, "app_group_id": self.app_group_id})
