"""VPCs and subnets."""

from collections.abc import Iterator, Mapping
from typing import ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import Aws
from stacks.sandbox.provider.ec2 import Ec2Type, deleted, described, tag_specifications
from stacks.sandbox.provider.schema import TAGS, Fields, Problem, flag, text
from stacks.sandbox.provider.tags import from_pairs
from stacks.sandbox.provider.wire import Properties


class Vpc(Ec2Type):
    """A virtual private cloud."""

    urn_type = "aws:ec2/vpc:Vpc"
    label = "EC2 VPC"
    fields: ClassVar[Fields] = {
        "cidrBlock": text(required=True, replaces=True, rule=rules.cidr_ipv4),
        "enableDnsHostnames": flag(computed=True),
        "enableDnsSupport": flag(default=True),
        "enableNetworkAddressUsageMetrics": flag(computed=True),
        "instanceTenancy": text(
            default="default", replaces=True, rule=rules.one_of("default", "dedicated")
        ),
        **TAGS,
    }
    outputs = (
        *("arn", "defaultNetworkAclId", "defaultRouteTableId", "defaultSecurityGroupId"),
        *("dhcpOptionsId", "mainRouteTableId", "ownerId"),
    )
    _GONE = "InvalidVpcID.NotFound"
    _ATTRIBUTES = ("enableDnsSupport", "enableDnsHostnames", "enableNetworkAddressUsageMetrics")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the VPC; its attributes follow."""
        answer = aws.call(
            "ec2",
            "create_vpc",
            CidrBlock=inputs["cidrBlock"],
            InstanceTenancy=inputs.get("instanceTenancy"),
            TagSpecifications=tag_specifications("vpc", inputs),
        )
        return str(answer["Vpc"]["VpcId"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        """Set the attributes that were asked for."""
        self._set(aws, identity, inputs, frozenset(self._ATTRIBUTES))

    def _set(self, aws: Aws, identity: str, inputs: Properties, names: frozenset[str]) -> None:
        for name in self._ATTRIBUTES:
            value = inputs.get(name, self.fields[name].default)
            if name in names and value is not None:
                attribute = {name[0].upper() + name[1:]: {"Value": value}}
                aws.call("ec2", "modify_vpc_attribute", VpcId=identity, **attribute)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Describe the VPC, its attributes and the things it came with."""
        vpc = described(aws, "describe_vpcs", "Vpcs", self._GONE, VpcIds=[identity])
        if vpc is None:
            return None
        state = {
            "arn": aws.arn("ec2", f"vpc/{identity}"),
            "cidrBlock": vpc["CidrBlock"],
            "dhcpOptionsId": vpc.get("DhcpOptionsId") or "default",
            "instanceTenancy": vpc.get("InstanceTenancy"),
            "ownerId": vpc.get("OwnerId") or aws.account_id,
            "tagsAll": from_pairs(vpc.get("Tags")),
        }
        for name in self._ATTRIBUTES:
            answer = aws.call("ec2", "describe_vpc_attribute", VpcId=identity, Attribute=name)
            state[name] = answer[name[0].upper() + name[1:]]["Value"]
        return {**state, **self._came_with(aws, identity)}

    @staticmethod
    def _came_with(aws: Aws, identity: str) -> Properties:
        of_vpc = {"Name": "vpc-id", "Values": [identity]}
        main = {"Name": "association.main", "Values": ["true"]}
        default = {"Name": "default", "Values": ["true"]}
        named = {"Name": "group-name", "Values": ["default"]}
        tables = aws.call("ec2", "describe_route_tables", Filters=[of_vpc, main])["RouteTables"]
        acls = aws.call("ec2", "describe_network_acls", Filters=[of_vpc, default])["NetworkAcls"]
        groups = aws.call("ec2", "describe_security_groups", Filters=[of_vpc, named])
        table = tables[0]["RouteTableId"] if tables else None
        return {
            "mainRouteTableId": table,
            "defaultRouteTableId": table,
            "defaultNetworkAclId": acls[0]["NetworkAclId"] if acls else None,
            "defaultSecurityGroupId": next(
                (group["GroupId"] for group in groups["SecurityGroups"]), None
            ),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        self._set(aws, identity, new, changed)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        return deleted(aws, "delete_vpc", self._GONE, VpcId=identity)


class Subnet(Ec2Type):
    """A subnet of a VPC in one zone."""

    urn_type = "aws:ec2/subnet:Subnet"
    label = "EC2 Subnet"
    fields: ClassVar[Fields] = {
        "vpcId": text(required=True, replaces=True),
        "cidrBlock": text(required=True, replaces=True, rule=rules.cidr_ipv4),
        "availabilityZone": text(computed=True, replaces=True),
        "availabilityZoneId": text(computed=True, replaces=True),
        "mapPublicIpOnLaunch": flag(default=False),
        "enableResourceNameDnsARecordOnLaunch": flag(default=False),
        **TAGS,
    }
    outputs = ("arn", "ownerId")
    _GONE = "InvalidSubnetID.NotFound"

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """Refuse both ways of naming the zone at once."""
        if inputs.get("availabilityZone") and inputs.get("availabilityZoneId"):
            yield Problem("availabilityZoneId", "conflicts with availabilityZone")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the subnet; its attributes follow."""
        zone = inputs.get("availabilityZone")
        if zone is None and inputs.get("availabilityZoneId") is None:
            zones = aws.call("ec2", "describe_availability_zones")["AvailabilityZones"]
            zone = min(item["ZoneName"] for item in zones)
        answer = aws.call(
            "ec2",
            "create_subnet",
            VpcId=inputs["vpcId"],
            CidrBlock=inputs["cidrBlock"],
            AvailabilityZone=zone,
            AvailabilityZoneId=inputs.get("availabilityZoneId"),
            TagSpecifications=tag_specifications("subnet", inputs),
        )
        return str(answer["Subnet"]["SubnetId"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        """Set the attributes that differ from those of a new subnet."""
        wanted = {name for name in self._SETTERS if inputs.get(name)}
        self._set(aws, identity, inputs, frozenset(wanted))

    _SETTERS: ClassVar[Mapping[str, str]] = {
        "mapPublicIpOnLaunch": "MapPublicIpOnLaunch",
        "enableResourceNameDnsARecordOnLaunch": "EnableResourceNameDnsARecordOnLaunch",
    }

    def _set(self, aws: Aws, identity: str, inputs: Properties, names: frozenset[str]) -> None:
        for name, parameter in self._SETTERS.items():
            if name in names:
                attribute = {parameter: {"Value": bool(inputs.get(name))}}
                aws.call("ec2", "modify_subnet_attribute", SubnetId=identity, **attribute)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        subnet = described(aws, "describe_subnets", "Subnets", self._GONE, SubnetIds=[identity])
        if subnet is None:
            return None
        names = subnet.get("PrivateDnsNameOptionsOnLaunch") or {}
        return {
            "arn": subnet.get("SubnetArn") or aws.arn("ec2", f"subnet/{identity}"),
            "vpcId": subnet["VpcId"],
            "cidrBlock": subnet["CidrBlock"],
            "availabilityZone": subnet["AvailabilityZone"],
            "availabilityZoneId": subnet.get("AvailabilityZoneId"),
            "mapPublicIpOnLaunch": subnet.get("MapPublicIpOnLaunch", False),
            "enableResourceNameDnsARecordOnLaunch": names.get(
                "EnableResourceNameDnsARecord", False
            ),
            "ownerId": subnet.get("OwnerId") or aws.account_id,
            "tagsAll": from_pairs(subnet.get("Tags")),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        self._set(aws, identity, new, changed)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        return deleted(aws, "delete_subnet", self._GONE, SubnetId=identity)


TYPES = (Vpc(), Subnet())
