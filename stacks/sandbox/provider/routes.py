"""Route tables and their associations."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider.aws import ApiError, Aws
from stacks.sandbox.provider.ec2 import Ec2Type, deleted, described, tag_specifications
from stacks.sandbox.provider.schema import TAGS, Fields, Problem, block, set_of, text
from stacks.sandbox.provider.tags import from_pairs
from stacks.sandbox.provider.wire import Properties

_TARGETS = {
    "gatewayId": "GatewayId",
    "natGatewayId": "NatGatewayId",
    "networkInterfaceId": "NetworkInterfaceId",
    "transitGatewayId": "TransitGatewayId",
    "vpcEndpointId": "VpcEndpointId",
    "vpcPeeringConnectionId": "VpcPeeringConnectionId",
    "egressOnlyGatewayId": "EgressOnlyInternetGatewayId",
}
_DESTINATIONS = {
    "cidrBlock": "DestinationCidrBlock",
    "ipv6CidrBlock": "DestinationIpv6CidrBlock",
    "destinationPrefixListId": "DestinationPrefixListId",
}


class RouteTable(Ec2Type):
    """A route table with the routes that were given; local and endpoint routes are not listed."""

    urn_type = "aws:ec2/routeTable:RouteTable"
    label = "EC2 Route Table"
    fields: ClassVar[Fields] = {
        "vpcId": text(required=True, replaces=True),
        "routes": set_of(
            block({name: text() for name in (*_DESTINATIONS, *_TARGETS)}), computed=True
        ),
        **TAGS,
    }
    outputs = ("arn", "ownerId")
    _GONE = "InvalidRouteTableID.NotFound"

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """Each route has one destination and one target."""
        routes = inputs.get("routes")
        for index, route in enumerate(routes if isinstance(routes, list) else []):
            for names in (_DESTINATIONS, _TARGETS):
                if isinstance(route, dict) and sum(bool(route.get(name)) for name in names) != 1:
                    yield Problem(
                        f"routes[{index}]", f"must have exactly one of {', '.join(names)}"
                    )

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the table; its routes follow."""
        answer = aws.call(
            "ec2",
            "create_route_table",
            VpcId=inputs["vpcId"],
            TagSpecifications=tag_specifications("route-table", inputs),
        )
        return str(answer["RouteTable"]["RouteTableId"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        for route in inputs.get("routes") or []:
            self._create_route(aws, identity, route)

    @staticmethod
    def _create_route(aws: Aws, identity: str, route: Mapping[str, Any]) -> None:
        names = {**_DESTINATIONS, **_TARGETS}
        given = {names[name]: value for name, value in route.items() if value and name in names}
        aws.call("ec2", "create_route", RouteTableId=identity, **given)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Describe the table and its routes."""
        table = described(
            aws, "describe_route_tables", "RouteTables", self._GONE, RouteTableIds=[identity]
        )
        if table is None:
            return None
        return {
            "arn": aws.arn("ec2", f"route-table/{identity}"),
            "vpcId": table["VpcId"],
            "ownerId": table.get("OwnerId") or aws.account_id,
            "routes": [_route(item) for item in table.get("Routes") or [] if _own(item)],
            "tagsAll": from_pairs(table.get("Tags")),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Remove routes that are no longer wanted, then create the new ones."""
        if "routes" in changed:
            before = [route for route in old.get("routes") or [] if route]
            after = [_filled(route) for route in new.get("routes") or []]
            for route in before:
                if route not in after:
                    gone = {
                        parameter: route[name]
                        for name, parameter in _DESTINATIONS.items()
                        if route.get(name)
                    }
                    aws.call("ec2", "delete_route", RouteTableId=identity, **gone)
            for route in after:
                if route not in before:
                    self._create_route(aws, identity, route)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        return deleted(aws, "delete_route_table", self._GONE, RouteTableId=identity)


def _own(route: Mapping[str, Any]) -> bool:
    target = route.get("GatewayId") or ""
    return target != "local" and not target.startswith("vpce-")


def _route(route: Mapping[str, Any]) -> dict[str, Any]:
    names = {**_DESTINATIONS, **_TARGETS}
    return {name: route[key] for name, key in names.items() if route.get(key)}


def _filled(route: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in route.items() if value}


class RouteTableAssociation(Ec2Type):
    """The use of a route table by a subnet or a gateway."""

    urn_type = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    label = "EC2 Route Table Association"
    fields: ClassVar[Fields] = {
        "routeTableId": text(required=True),
        "subnetId": text(replaces=True),
        "gatewayId": text(replaces=True),
    }
    _GONE = "InvalidAssociationID.NotFound"

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """Exactly one thing is associated."""
        if bool(inputs.get("subnetId")) == bool(inputs.get("gatewayId")):
            yield Problem("subnetId", "or gatewayId is required, and not both")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Associate; refused when the subnet has a table already (the emulator would accept it)."""
        taken = self._find(aws, inputs.get("subnetId"), inputs.get("gatewayId"))
        if taken is not None:
            reason = f"the specified association conflicts with {taken[0]} of {taken[1]}"
            raise ApiError("AssociateRouteTable", "Resource.AlreadyAssociated", reason)
        answer = aws.call(
            "ec2",
            "associate_route_table",
            RouteTableId=inputs["routeTableId"],
            SubnetId=inputs.get("subnetId"),
            GatewayId=inputs.get("gatewayId"),
        )
        return str(answer["AssociationId"])

    @staticmethod
    def _find(aws: Aws, subnet: str | None, gateway: str | None) -> tuple[str, str] | None:
        name, value = ("subnet-id", subnet) if subnet else ("gateway-id", gateway)
        filters = [{"Name": f"association.{name}", "Values": [value]}]
        for table in aws.call("ec2", "describe_route_tables", Filters=filters)["RouteTables"]:
            for item in table.get("Associations") or []:
                if value in {item.get("SubnetId"), item.get("GatewayId")}:
                    return item["RouteTableAssociationId"], table["RouteTableId"]
        return None

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Find the association by its id, or by `<subnet or gateway>/<route table>` for an import.

        AWS gives it a new id when it moves to another table, so what is known of the subnet counts.
        The form of an import is not one of an id: with anything known, it names nothing.
        """
        if known and "/" in identity:
            return None
        if known:
            place = known.get("subnetId") or known.get("gatewayId") or ""
        else:
            place, _, _ = identity.partition("/")
        subnet = place if place.startswith("subnet-") else None
        found = self._find(aws, subnet, place) if place else None
        if found is None or (not known and found[1] != identity.partition("/")[2]):
            return None
        own = {"subnetId": subnet} if subnet else {"gatewayId": place}
        return {"id": found[0], "routeTableId": found[1], **own}

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Move the association to another table, which gives it another id."""
        current = self._find(aws, old.get("subnetId"), old.get("gatewayId"))
        aws.call(
            "ec2",
            "replace_route_table_association",
            AssociationId=current[0] if current else identity,
            RouteTableId=new["routeTableId"],
        )

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """End the association, under the id it has now."""
        current = self._find(aws, state.get("subnetId"), state.get("gatewayId"))
        if current is None or current[1] != state.get("routeTableId"):
            return False
        return deleted(aws, "disassociate_route_table", self._GONE, AssociationId=current[0])


TYPES = (RouteTable(), RouteTableAssociation())
