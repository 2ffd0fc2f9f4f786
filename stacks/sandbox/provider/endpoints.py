"""VPC endpoints and flow logs."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import ApiError, Aws
from stacks.sandbox.provider.ec2 import Ec2Type, described, tag_specifications
from stacks.sandbox.provider.resource import Follows
from stacks.sandbox.provider.schema import (
    TAGS,
    Fields,
    Problem,
    block,
    flag,
    integer,
    policy_text,
    set_of,
    text,
)
from stacks.sandbox.provider.tags import from_pairs
from stacks.sandbox.provider.wire import Properties

_READY_SECONDS = 60


class VpcEndpoint(Ec2Type):
    """A private way to a service: gateway (routes) or interface (addresses in subnets)."""

    urn_type = "aws:ec2/vpcEndpoint:VpcEndpoint"
    label = "EC2 VPC Endpoint"
    fields: ClassVar[Fields] = {
        "vpcId": text(required=True, replaces=True),
        "serviceName": text(required=True, replaces=True),
        "vpcEndpointType": text(
            default="Gateway", replaces=True, rule=rules.one_of("Gateway", "Interface")
        ),
        "autoAccept": flag(local=True),
        "policy": policy_text(computed=True),
        "privateDnsEnabled": flag(computed=True),
        "routeTableIds": set_of(text(), computed=True),
        "securityGroupIds": set_of(text(), computed=True),
        "subnetIds": set_of(text(), computed=True),
        **TAGS,
    }
    outputs = (
        *("arn", "cidrBlocks", "dnsEntries", "networkInterfaceIds", "ownerId", "prefixListId"),
        *("requesterManaged", "state"),
    )
    follows: ClassVar[Follows] = {"networkInterfaceIds": frozenset({"subnetIds"})}
    _GONE = "InvalidVpcEndpointId.NotFound"
    _LISTS: ClassVar[Mapping[str, tuple[str, str]]] = {
        "routeTableIds": ("AddRouteTableIds", "RemoveRouteTableIds"),
        "securityGroupIds": ("AddSecurityGroupIds", "RemoveSecurityGroupIds"),
        "subnetIds": ("AddSubnetIds", "RemoveSubnetIds"),
    }

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """Each type has lists of its own."""
        gateway = (inputs.get("vpcEndpointType") or "Gateway") == "Gateway"
        wrong = ("subnetIds", "securityGroupIds") if gateway else ("routeTableIds",)
        for name in wrong:
            if inputs.get(name):
                kind = "Gateway" if gateway else "Interface"
                yield Problem(name, f"is not for endpoints of type {kind}")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        answer = aws.call(
            "ec2",
            "create_vpc_endpoint",
            VpcId=inputs["vpcId"],
            ServiceName=inputs["serviceName"],
            VpcEndpointType=inputs.get("vpcEndpointType") or "Gateway",
            PolicyDocument=inputs.get("policy"),
            PrivateDnsEnabled=inputs.get("privateDnsEnabled"),
            RouteTableIds=inputs.get("routeTableIds"),
            SecurityGroupIds=inputs.get("securityGroupIds"),
            SubnetIds=inputs.get("subnetIds"),
            TagSpecifications=tag_specifications("vpc-endpoint", inputs),
        )
        return str(answer["VpcEndpoint"]["VpcEndpointId"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        """Wait until the endpoint works."""
        aws.wait_until(
            lambda: (self._describe(aws, identity) or {}).get("State", "").lower() == "available",
            _READY_SECONDS,
            f"state available of {identity}",
        )

    def _describe(self, aws: Aws, identity: str) -> dict[str, Any] | None:
        endpoint = described(
            aws, "describe_vpc_endpoints", "VpcEndpoints", self._GONE, VpcEndpointIds=[identity]
        )
        if endpoint is None or str(endpoint.get("State", "")).lower() in {"deleted", "deleting"}:
            return None
        return endpoint

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        endpoint = self._describe(aws, identity)
        if endpoint is None:
            return None
        return {
            "arn": aws.arn("ec2", f"vpc-endpoint/{identity}"),
            "vpcId": endpoint["VpcId"],
            "serviceName": endpoint["ServiceName"],
            "vpcEndpointType": endpoint.get("VpcEndpointType") or "Gateway",
            "policy": endpoint.get("PolicyDocument"),
            "privateDnsEnabled": bool(endpoint.get("PrivateDnsEnabled")),
            "routeTableIds": sorted(endpoint.get("RouteTableIds") or []),
            "subnetIds": sorted(endpoint.get("SubnetIds") or []),
            "securityGroupIds": sorted(item["GroupId"] for item in endpoint.get("Groups") or []),
            "networkInterfaceIds": sorted(endpoint.get("NetworkInterfaceIds") or []),
            "dnsEntries": [
                {"dnsName": entry.get("DnsName"), "hostedZoneId": entry.get("HostedZoneId")}
                for entry in endpoint.get("DnsEntries") or []
            ],
            "cidrBlocks": [],
            **self._prefix_list(aws, endpoint),
            "ownerId": endpoint.get("OwnerId") or aws.account_id,
            "requesterManaged": bool(endpoint.get("RequesterManaged")),
            "state": endpoint.get("State"),
            "tagsAll": from_pairs(endpoint.get("Tags")),
        }

    @staticmethod
    def _prefix_list(aws: Aws, endpoint: Properties) -> Properties:
        if (endpoint.get("VpcEndpointType") or "Gateway") != "Gateway":
            return {}
        filters = [{"Name": "prefix-list-name", "Values": [endpoint["ServiceName"]]}]
        lists = aws.call("ec2", "describe_prefix_lists", Filters=filters).get("PrefixLists") or []
        found = [item for item in lists if item.get("PrefixListName") == endpoint["ServiceName"]]
        if not found:
            return {}
        return {"prefixListId": found[0]["PrefixListId"], "cidrBlocks": found[0].get("Cidrs")}

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Change policy, private DNS and the lists."""
        parameters: dict[str, Any] = {}
        if "policy" in changed:
            parameters["PolicyDocument"] = new.get("policy")
        if "privateDnsEnabled" in changed:
            parameters["PrivateDnsEnabled"] = new.get("privateDnsEnabled")
        for name, (add, remove) in self._LISTS.items():
            before, after = set(old.get(name) or []), set(new.get(name) or [])
            if name in changed:
                parameters[add] = sorted(after - before) or None
                parameters[remove] = sorted(before - after) or None
        if any(value is not None for value in parameters.values()):
            aws.call("ec2", "modify_vpc_endpoint", VpcEndpointId=identity, **parameters)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete the endpoint and wait until it is gone."""
        if self._describe(aws, identity) is None:
            return False
        answer = aws.call("ec2", "delete_vpc_endpoints", VpcEndpointIds=[identity])
        for failed in answer.get("Unsuccessful") or []:
            error = failed["Error"]
            raise ApiError("DeleteVpcEndpoints", error["Code"], error["Message"])
        aws.wait_until(
            lambda: self._describe(aws, identity) is None, _READY_SECONDS, f"end of {identity}"
        )
        return True


_PLACES = {"vpcId": "VPC", "subnetId": "Subnet", "eniId": "NetworkInterface"}


class FlowLog(Ec2Type):
    """A log of the traffic of a VPC, subnet or interface. Only its tags change in place."""

    urn_type = "aws:ec2/flowLog:FlowLog"
    label = "EC2 Flow Log"
    fields: ClassVar[Fields] = {
        "vpcId": text(replaces=True),
        "subnetId": text(replaces=True),
        "eniId": text(replaces=True),
        "trafficType": text(replaces=True, rule=rules.one_of("ACCEPT", "REJECT", "ALL")),
        "logDestinationType": text(
            default="cloud-watch-logs",
            replaces=True,
            rule=rules.one_of("cloud-watch-logs", "s3"),
        ),
        "logDestination": text(required=True, replaces=True, rule=rules.arn),
        "iamRoleArn": text(replaces=True, rule=rules.arn),
        "logFormat": text(computed=True, replaces=True),
        "maxAggregationInterval": integer(default=600, replaces=True, rule=rules.one_of(60, 600)),
        "destinationOptions": block(
            {
                "fileFormat": text(
                    default="plain-text",
                    replaces=True,
                    rule=rules.one_of("plain-text", "parquet"),
                ),
                "hiveCompatiblePartitions": flag(replaces=True),
                "perHourPartition": flag(replaces=True),
            },
            local=True,
        ),
        **TAGS,
    }
    outputs = ("arn",)
    _GONE = "InvalidFlowLogId.NotFound"

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """One place is observed; what goes to CloudWatch needs a role."""
        if sum(bool(inputs.get(name)) for name in _PLACES) != 1:
            yield Problem("", f"exactly one of {', '.join(_PLACES)} is required")
        if not inputs.get("trafficType"):
            yield Problem("trafficType", "is required and missing")
        if inputs.get("logDestinationType") != "s3" and not inputs.get("iamRoleArn"):
            yield Problem("iamRoleArn", "is required when the log goes to CloudWatch")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        place = next(name for name in _PLACES if inputs.get(name))
        options = inputs.get("destinationOptions")
        answer = aws.call(
            "ec2",
            "create_flow_logs",
            ResourceIds=[inputs[place]],
            ResourceType=_PLACES[place],
            TrafficType=inputs["trafficType"],
            LogDestinationType=inputs.get("logDestinationType") or "cloud-watch-logs",
            LogDestination=inputs["logDestination"],
            DeliverLogsPermissionArn=inputs.get("iamRoleArn"),
            LogFormat=inputs.get("logFormat"),
            MaxAggregationInterval=inputs.get("maxAggregationInterval") or 600,
            DestinationOptions={
                "FileFormat": options.get("fileFormat") or "plain-text",
                "HiveCompatiblePartitions": bool(options.get("hiveCompatiblePartitions")),
                "PerHourPartition": bool(options.get("perHourPartition")),
            }
            if options
            else None,
            TagSpecifications=tag_specifications("vpc-flow-log", inputs),
        )
        for failed in answer.get("Unsuccessful") or []:
            error = failed["Error"]
            raise ApiError("CreateFlowLogs", str(error["Code"]), str(error["Message"]))
        return str(answer["FlowLogIds"][0])

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        log = described(aws, "describe_flow_logs", "FlowLogs", self._GONE, FlowLogIds=[identity])
        if log is None:
            return None
        observed = log["ResourceId"]
        prefixes = {"vpc-": "vpcId", "subnet-": "subnetId", "eni-": "eniId"}
        place = next((name for prefix, name in prefixes.items() if observed.startswith(prefix)))
        return {
            "arn": aws.arn("ec2", f"vpc-flow-log/{identity}"),
            place: observed,
            "trafficType": log.get("TrafficType"),
            "logDestinationType": log.get("LogDestinationType"),
            "logDestination": log.get("LogDestination"),
            "iamRoleArn": log.get("DeliverLogsPermissionArn"),
            "logFormat": log.get("LogFormat"),
            "maxAggregationInterval": int(log.get("MaxAggregationInterval") or 600),
            "tagsAll": from_pairs(log.get("Tags")),
        }

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        if self.read(aws, identity, state) is None:
            return False
        aws.call("ec2", "delete_flow_logs", FlowLogIds=[identity])
        return True


TYPES = (VpcEndpoint(), FlowLog())
