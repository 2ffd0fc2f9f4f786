"""RDS subnet groups and parameter groups."""

from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import ApiError, Aws
from stacks.sandbox.provider.rds import TAGGING
from stacks.sandbox.provider.resource import ResourceType
from stacks.sandbox.provider.schema import TAGS, Fields, block, flag, set_of, text
from stacks.sandbox.provider.tags import from_pairs, pairs
from stacks.sandbox.provider.wire import Properties

_SUBNETS_GONE = {"DBSubnetGroupNotFoundFault", "DBSubnetGroupNotFound"}
_PARAMETERS_GONE = {"DBParameterGroupNotFound", "DBParameterGroupNotFoundFault"}
_PARAMETERS_A_CALL = 20


class SubnetGroup(ResourceType):
    """The subnets an instance may live in, over at least two zones."""

    urn_type = "aws:rds/subnetGroup:SubnetGroup"
    label = "RDS DB Subnet Group"
    fields: ClassVar[Fields] = {
        "name": text(
            named=True,
            computed=True,
            replaces=True,
            rule=rules.matching(
                r"(?!default$)[a-z0-9_. -]{1,255}", "lower-case letters, digits or _. -"
            ),
        ),
        "description": text(default="Managed by Pulumi"),
        "subnetIds": set_of(text(), required=True, rule=rules.some),
        **TAGS,
    }
    outputs = ("arn", "supportedNetworkTypes", "vpcId")
    tagging = TAGGING

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the group; the emulator lacks two refusals of AWS, which are made up for here."""
        name = inputs["name"]
        if _subnet_group(aws, name) is not None:
            reason = f"The DB subnet group '{name}' already exists."
            raise ApiError("CreateDBSubnetGroup", "DBSubnetGroupAlreadyExists", reason)
        _over_two_zones(aws, "CreateDBSubnetGroup", inputs["subnetIds"])
        aws.call(
            "rds",
            "create_db_subnet_group",
            DBSubnetGroupName=name,
            DBSubnetGroupDescription=inputs.get("description") or "Managed by Pulumi",
            SubnetIds=inputs["subnetIds"],
            Tags=pairs(inputs.get("tagsAll")),
        )
        return str(name)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        group = _subnet_group(aws, identity)
        if group is None:
            return None
        arn = group["DBSubnetGroupArn"]
        tags = aws.call("rds", "list_tags_for_resource", ResourceName=arn)
        return {
            "name": group["DBSubnetGroupName"],
            "arn": arn,
            "description": group.get("DBSubnetGroupDescription"),
            "subnetIds": sorted(item["SubnetIdentifier"] for item in group.get("Subnets") or []),
            "supportedNetworkTypes": group.get("SupportedNetworkTypes") or ["IPV4"],
            "vpcId": group.get("VpcId"),
            "tagsAll": from_pairs(tags["TagList"]),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Set description and subnets."""
        _over_two_zones(aws, "ModifyDBSubnetGroup", new["subnetIds"])
        aws.call(
            "rds",
            "modify_db_subnet_group",
            DBSubnetGroupName=identity,
            DBSubnetGroupDescription=new.get("description") or "Managed by Pulumi",
            SubnetIds=new["subnetIds"],
        )

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        answer = aws.find(
            "rds", "delete_db_subnet_group", _SUBNETS_GONE, DBSubnetGroupName=identity
        )
        return answer is not None


def _subnet_group(aws: Aws, name: str) -> Mapping[str, Any] | None:
    answer = aws.find("rds", "describe_db_subnet_groups", _SUBNETS_GONE, DBSubnetGroupName=name)
    groups = (answer or {}).get("DBSubnetGroups") or []
    return groups[0] if groups else None


def _over_two_zones(aws: Aws, operation: str, subnets: list[str]) -> None:
    found = aws.call("ec2", "describe_subnets", SubnetIds=subnets)["Subnets"]
    if len({subnet["AvailabilityZone"] for subnet in found}) < 2:
        reason = "The DB subnet group doesn't meet Availability Zone (AZ) coverage requirement."
        raise ApiError(operation, "DBSubnetGroupDoesNotCoverEnoughAZs", reason)


class ParameterGroup(ResourceType):
    """The parameters of database instances of one engine family."""

    urn_type = "aws:rds/parameterGroup:ParameterGroup"
    label = "RDS DB Parameter Group"
    fields: ClassVar[Fields] = {
        "name": text(
            named=True,
            computed=True,
            replaces=True,
            rule=rules.matching(
                r"(?!.*--)[a-z][a-z0-9-]{0,253}[a-z0-9]",
                "lower-case letters, digits and single hyphens, beginning with a letter",
            ),
        ),
        "family": text(required=True, replaces=True),
        "description": text(default="Managed by Pulumi", replaces=True),
        "parameters": set_of(
            block(
                {
                    "name": text(required=True),
                    "value": text(required=True),
                    "applyMethod": text(
                        default="immediate", rule=rules.one_of("immediate", "pending-reboot")
                    ),
                }
            )
        ),
        "skipDestroy": flag(default=False, local=True),
        **TAGS,
    }
    outputs = ("arn",)
    tagging = TAGGING

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the group; its parameters follow."""
        aws.call(
            "rds",
            "create_db_parameter_group",
            DBParameterGroupName=inputs["name"],
            DBParameterGroupFamily=inputs["family"],
            Description=inputs.get("description") or "Managed by Pulumi",
            Tags=pairs(inputs.get("tagsAll")),
        )
        return str(inputs["name"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        self._change(aws, "modify_db_parameter_group", identity, inputs.get("parameters") or [])

    @staticmethod
    def _change(aws: Aws, operation: str, identity: str, parameters: list[dict[str, Any]]) -> None:
        for start in range(0, len(parameters), _PARAMETERS_A_CALL):
            sent = [
                {
                    "ParameterName": item["name"],
                    "ParameterValue": item["value"],
                    "ApplyMethod": item.get("applyMethod") or "immediate",
                }
                for item in parameters[start : start + _PARAMETERS_A_CALL]
            ]
            aws.call("rds", operation, DBParameterGroupName=identity, Parameters=sent)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Describe the group and the parameters somebody set."""
        answer = aws.find(
            "rds",
            "describe_db_parameter_groups",
            _PARAMETERS_GONE,
            DBParameterGroupName=identity,
        )
        groups = (answer or {}).get("DBParameterGroups") or []
        if not groups:
            return None
        group = groups[0]
        arn = group["DBParameterGroupArn"]
        tags = aws.call("rds", "list_tags_for_resource", ResourceName=arn)
        parameters = aws.collect(
            "rds",
            "describe_db_parameters",
            "Parameters",
            DBParameterGroupName=identity,
            Source="user",
        )
        return {
            "name": group["DBParameterGroupName"],
            "arn": arn,
            "family": group["DBParameterGroupFamily"],
            "description": group.get("Description"),
            "parameters": [
                {
                    "name": item["ParameterName"],
                    "value": item["ParameterValue"],
                    "applyMethod": item.get("ApplyMethod") or "immediate",
                }
                for item in parameters
                if item.get("ParameterValue") is not None
            ],
            "tagsAll": from_pairs(tags["TagList"]),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Reset parameters that are no longer given, set the others."""
        if "parameters" in changed:
            wanted = new.get("parameters") or []
            names = {item["name"] for item in wanted}
            gone = [item for item in old.get("parameters") or [] if item["name"] not in names]
            self._change(aws, "reset_db_parameter_group", identity, gone)
            self._change(aws, "modify_db_parameter_group", identity, wanted)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete the group, unless it is to be kept."""
        if state.get("skipDestroy"):
            return True
        # The emulator answers a missing group with an error, the answer of AWS may be empty.
        if self.read(aws, identity, state) is None:
            return False
        answer = aws.find(
            "rds", "delete_db_parameter_group", _PARAMETERS_GONE, DBParameterGroupName=identity
        )
        return answer is not None


TYPES = (SubnetGroup(), ParameterGroup())
