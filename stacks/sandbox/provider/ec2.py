"""What the resources of the EC2 API have in common."""

from typing import Any

from typing_extensions import override

from stacks.sandbox.provider.aws import Aws
from stacks.sandbox.provider.resource import ResourceType
from stacks.sandbox.provider.tags import TagChange, pairs
from stacks.sandbox.provider.wire import Properties


def tag_specifications(kind: str, inputs: Properties) -> list[dict[str, Any]] | None:
    """Return the tags of a new EC2 object of `kind`, None when it has none."""
    tags = pairs(inputs.get("tagsAll"))
    return [{"ResourceType": kind, "Tags": tags}] if tags else None


class Ec2Type(ResourceType):
    """A resource of the EC2 API, tagged by its id."""

    @override
    def retag(self, aws: Aws, identity: str, state: Properties, change: TagChange) -> None:
        if change.remove:
            keys = [{"Key": key} for key in change.remove]
            aws.call("ec2", "delete_tags", Resources=[identity], Tags=keys)
        if change.put:
            aws.call("ec2", "create_tags", Resources=[identity], Tags=pairs(change.put))


def described(
    aws: Aws, operation: str, key: str, gone: str, **parameters: Any
) -> dict[str, Any] | None:
    """Return the one object a describing call names, None when it is gone."""
    answer = aws.find("ec2", operation, {gone}, **parameters)
    found = (answer or {}).get(key) or []
    return found[0] if found else None


def deleted(aws: Aws, operation: str, gone: str, **parameters: Any) -> bool:
    """Call a deleting operation; False when the object was gone."""
    return aws.find("ec2", operation, {gone}, **parameters) is not None
