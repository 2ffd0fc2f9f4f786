"""Secrets of Secrets Manager, without their values."""

from typing import ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import ApiError, Aws
from stacks.sandbox.provider.resource import ResourceType
from stacks.sandbox.provider.schema import TAGS, Fields, flag, integer, policy_text, text
from stacks.sandbox.provider.tags import Tagging, from_pairs, pairs
from stacks.sandbox.provider.wire import Properties

_GONE = {"ResourceNotFoundException"}


def _window(days: int) -> str | None:
    return None if days == 0 or 7 <= days <= 30 else "must be 0 or between 7 and 30"


class Secret(ResourceType):
    """A secret's shell. Deleted with a window it stays restorable, and its name taken."""

    urn_type = "aws:secretsmanager/secret:Secret"
    label = "Secrets Manager Secret"
    fields: ClassVar[Fields] = {
        "name": text(
            named=True,
            computed=True,
            replaces=True,
            rule=rules.matching(
                r"[0-9A-Za-z/_+=.@-]{1,512}", "1 to 512 of letters, digits, /_+=.@-"
            ),
        ),
        "description": text(),
        "kmsKeyId": text(),
        "policy": policy_text(computed=True),
        "recoveryWindowInDays": integer(default=30, local=True, rule=_window),
        "forceOverwriteReplicaSecret": flag(default=False, local=True),
        **TAGS,
    }
    outputs = ("arn",)
    name_limit = 512
    tagging = Tagging(service="secretsmanager", place="SecretId")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the secret without a value; its policy follows."""
        try:
            answer = aws.call(
                "secretsmanager",
                "create_secret",
                Name=inputs["name"],
                Description=inputs.get("description"),
                KmsKeyId=inputs.get("kmsKeyId"),
                Tags=pairs(inputs.get("tagsAll")),
            )
        except ApiError as error:
            raise _refused(aws, inputs["name"], error) from error
        return str(answer["ARN"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        if inputs.get("policy"):
            self._put_policy(aws, identity, inputs["policy"])

    @staticmethod
    def _put_policy(aws: Aws, identity: str, policy: str) -> None:
        aws.call("secretsmanager", "put_resource_policy", SecretId=identity, ResourcePolicy=policy)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Describe the secret; one that waits for its deletion is gone."""
        secret = aws.find("secretsmanager", "describe_secret", _GONE, SecretId=identity)
        if secret is None or secret.get("DeletedDate"):
            return None
        answer = aws.call("secretsmanager", "get_resource_policy", SecretId=identity)
        return {
            "id": secret["ARN"],
            "arn": secret["ARN"],
            "name": secret["Name"],
            "description": secret.get("Description") or "",
            "kmsKeyId": secret.get("KmsKeyId"),
            "policy": answer.get("ResourcePolicy"),
            "tagsAll": from_pairs(secret.get("Tags")),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Change description, key and policy."""
        if changed & {"description", "kmsKeyId"}:
            aws.call(
                "secretsmanager",
                "update_secret",
                SecretId=identity,
                Description=new.get("description") or "",
                KmsKeyId=new.get("kmsKeyId"),
            )
        if "policy" in changed:
            self._put_policy(aws, identity, new["policy"])

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete the secret, at once when the window is 0."""
        if self.read(aws, identity, state) is None:
            return False
        days = state.get("recoveryWindowInDays", 30)
        aws.call(
            "secretsmanager",
            "delete_secret",
            SecretId=identity,
            RecoveryWindowInDays=days or None,
            ForceDeleteWithoutRecovery=True if days == 0 else None,
        )
        return True


def _refused(aws: Aws, name: str, error: ApiError) -> ApiError:
    """Return the error AWS gives for the name of a secret that waits for its deletion."""
    if error.code != "ResourceExistsException":
        return error
    secret = aws.find("secretsmanager", "describe_secret", _GONE, SecretId=name) or {}
    if not secret.get("DeletedDate"):
        return error
    reason = "a secret with this name is already scheduled for deletion"
    return ApiError(error.operation, "InvalidRequestException", reason)


TYPES = (Secret(),)
