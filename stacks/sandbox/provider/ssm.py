"""Parameters of the Systems Manager parameter store."""

from collections.abc import Iterator
from typing import ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import Aws
from stacks.sandbox.provider.resource import Follows, ResourceType
from stacks.sandbox.provider.schema import TAGS, Fields, Problem, flag, text
from stacks.sandbox.provider.tags import TagChange, Tagging, from_pairs, pairs
from stacks.sandbox.provider.wire import Properties

_GONE = {"ParameterNotFound"}


class Parameter(ResourceType):
    """A parameter. Its value is a secret in the state for every type."""

    urn_type = "aws:ssm/parameter:Parameter"
    label = "SSM Parameter"
    fields: ClassVar[Fields] = {
        "name": text(
            named=True,
            computed=True,
            replaces=True,
            rule=rules.matching(r"[a-zA-Z0-9_.\-/]{1,2048}", "letters, digits, _.- and /"),
        ),
        "type": text(required=True, rule=rules.one_of("String", "StringList", "SecureString")),
        "value": text(computed=True, secret=True),
        "insecureValue": text(computed=True),
        "description": text(),
        "keyId": text(computed=True),
        "tier": text(
            computed=True, rule=rules.one_of("Standard", "Advanced", "Intelligent-Tiering")
        ),
        "allowedPattern": text(),
        "dataType": text(
            computed=True,
            replaces=True,
            rule=rules.one_of("text", "aws:ec2:image", "aws:ssm:integration"),
        ),
        "overwrite": flag(local=True),
        **TAGS,
    }
    outputs = ("arn", "version")
    tagging = Tagging(
        service="ssm", place="ResourceId", further={"ResourceType": "Parameter"},
        remove="remove_tags_from_resource", put="add_tags_to_resource",
    )  # fmt: skip
    follows: ClassVar[Follows] = {
        "version": frozenset({"value", "insecureValue", "type", "description", "keyId", "tier"})
    }

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """One value; an insecure one is not for secure strings."""
        if (inputs.get("value") is None) == (inputs.get("insecureValue") is None):
            yield Problem("", "exactly one of value, insecureValue is required")
        secure = inputs["type"] == "SecureString"
        if secure and inputs.get("insecureValue") is not None:
            yield Problem("insecureValue", "is not for the type SecureString")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Put the parameter, over one of the same name only when that was asked for."""
        overwrite = bool(inputs.get("overwrite"))
        tags = pairs(inputs.get("tagsAll"))
        self._put(aws, inputs, overwrite=overwrite, tags=None if overwrite else tags)
        return str(inputs["name"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        """Set the tags that AWS does not take together with overwriting."""
        if inputs.get("overwrite") and inputs.get("tagsAll"):
            self.retag(aws, identity, inputs, TagChange(remove=[], put=inputs["tagsAll"]))

    @staticmethod
    def _put(
        aws: Aws, inputs: Properties, *, overwrite: bool, tags: list[dict[str, str]] | None
    ) -> None:
        value = inputs.get("value")
        aws.call(
            "ssm",
            "put_parameter",
            Name=inputs["name"],
            Type=inputs["type"],
            Value=inputs.get("insecureValue") if value is None else value,
            Description=inputs.get("description") or ("" if overwrite else None),
            KeyId=inputs.get("keyId") if inputs["type"] == "SecureString" else None,
            Tier=inputs.get("tier"),
            AllowedPattern=inputs.get("allowedPattern"),
            DataType=inputs.get("dataType"),
            Overwrite=overwrite,
            Tags=tags or None,
        )

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Get the value and describe the rest."""
        answer = aws.find("ssm", "get_parameter", _GONE, Name=identity, WithDecryption=True)
        if answer is None:
            return None
        parameter = answer["Parameter"]
        filters = [{"Key": "Name", "Option": "Equals", "Values": [identity]}]
        found = aws.collect("ssm", "describe_parameters", "Parameters", ParameterFilters=filters)
        about = found[0] if found else {}
        tags = aws.call(
            "ssm", "list_tags_for_resource", ResourceType="Parameter", ResourceId=identity
        )
        field = "value" if known.get("insecureValue") is None else "insecureValue"
        return {
            "name": identity,
            "arn": parameter["ARN"],
            "type": parameter["Type"],
            field: parameter["Value"],
            "version": parameter["Version"],
            "dataType": parameter.get("DataType") or "text",
            "description": about.get("Description") or "",
            "keyId": about.get("KeyId"),
            "tier": about.get("Tier") or "Standard",
            "allowedPattern": about.get("AllowedPattern"),
            "tagsAll": from_pairs(tags["TagList"]),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        if changed - {"overwrite"}:
            self._put(aws, {**new, "name": identity}, overwrite=True, tags=None)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        return aws.find("ssm", "delete_parameter", _GONE, Name=identity) is not None


TYPES = (Parameter(),)
