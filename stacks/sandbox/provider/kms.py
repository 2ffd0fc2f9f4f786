"""KMS keys and their aliases."""

from collections.abc import Iterator
from typing import ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import Aws
from stacks.sandbox.provider.resource import Follows, ResourceType
from stacks.sandbox.provider.schema import TAGS, Fields, Problem, flag, integer, policy_text, text
from stacks.sandbox.provider.tags import Tagging, from_pairs, pairs
from stacks.sandbox.provider.wire import Properties

_GONE = {"NotFoundException"}
_KEY_SPECS = (
    *("SYMMETRIC_DEFAULT", "RSA_2048", "RSA_3072", "RSA_4096", "HMAC_256", "HMAC_384", "HMAC_512"),
    *("ECC_NIST_P256", "ECC_NIST_P384", "ECC_NIST_P521", "ECC_SECG_P256K1"),
)


class Key(ResourceType):
    """A KMS key. Deleting it schedules the deletion, and from then on it counts as gone."""

    urn_type = "aws:kms/key:Key"
    label = "KMS Key"
    fields: ClassVar[Fields] = {
        "description": text(computed=True, rule=rules.matching(r"(?s).{0,8192}", "shorter")),
        "keyUsage": text(
            default="ENCRYPT_DECRYPT",
            replaces=True,
            rule=rules.one_of("ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC"),
        ),
        "customerMasterKeySpec": text(
            default="SYMMETRIC_DEFAULT", replaces=True, rule=rules.one_of(*_KEY_SPECS)
        ),
        "multiRegion": flag(computed=True, replaces=True),
        "policy": policy_text(computed=True),
        "bypassPolicyLockoutSafetyCheck": flag(default=False, local=True),
        "deletionWindowInDays": integer(local=True, rule=rules.between(7, 30)),
        "enableKeyRotation": flag(default=False),
        "rotationPeriodInDays": integer(computed=True, rule=rules.between(90, 2560)),
        "isEnabled": flag(default=True),
        **TAGS,
    }
    outputs = ("arn", "keyId")
    tagging = Tagging(service="kms", place="KeyId", pair=("TagKey", "TagValue"))

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """A rotation period needs rotation, and rotation a symmetric key."""
        rotates = inputs.get("enableKeyRotation") or False
        if inputs.get("rotationPeriodInDays") is not None and rotates is False:
            yield Problem("rotationPeriodInDays", "needs enableKeyRotation")
        spec = inputs.get("customerMasterKeySpec")
        if rotates is True and spec not in (None, "SYMMETRIC_DEFAULT"):
            yield Problem("enableKeyRotation", "is for symmetric keys only")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the key with its policy and tags; rotation and state follow."""
        answer = aws.call(
            "kms",
            "create_key",
            Description=inputs.get("description"),
            KeyUsage=inputs.get("keyUsage"),
            KeySpec=inputs.get("customerMasterKeySpec"),
            MultiRegion=inputs.get("multiRegion"),
            Policy=inputs.get("policy"),
            BypassPolicyLockoutSafetyCheck=inputs.get("bypassPolicyLockoutSafetyCheck"),
            Tags=pairs(inputs.get("tagsAll"), "TagKey", "TagValue"),
        )
        return str(answer["KeyMetadata"]["KeyId"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        """Switch rotation on and the key off, where asked for."""
        if inputs.get("enableKeyRotation"):
            self._rotate(aws, identity, inputs)
        if inputs.get("isEnabled") is False:
            aws.call("kms", "disable_key", KeyId=identity)

    @staticmethod
    def _rotate(aws: Aws, identity: str, inputs: Properties) -> None:
        if inputs.get("enableKeyRotation"):
            period = inputs.get("rotationPeriodInDays")
            aws.call("kms", "enable_key_rotation", KeyId=identity, RotationPeriodInDays=period)
        else:
            aws.call("kms", "disable_key_rotation", KeyId=identity)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Describe the key; one that waits for its deletion is gone."""
        answer = aws.find("kms", "describe_key", _GONE, KeyId=identity)
        if answer is None or answer["KeyMetadata"]["KeyState"] == "PendingDeletion":
            return None
        key = answer["KeyMetadata"]
        identity = key["KeyId"]
        spec = key.get("KeySpec") or key.get("CustomerMasterKeySpec")
        state = {
            "id": identity,
            "keyId": identity,
            "arn": key["Arn"],
            "description": key.get("Description") or "",
            "keyUsage": key["KeyUsage"],
            "customerMasterKeySpec": spec,
            "multiRegion": bool(key.get("MultiRegion")),
            "isEnabled": bool(key["Enabled"]),
            "policy": aws.call("kms", "get_key_policy", KeyId=identity, PolicyName="default")[
                "Policy"
            ],
            "enableKeyRotation": False,
            "tagsAll": from_pairs(
                aws.collect("kms", "list_resource_tags", "Tags", KeyId=identity),
                "TagKey",
                "TagValue",
            ),
        }
        if spec == "SYMMETRIC_DEFAULT":
            rotation = aws.call("kms", "get_key_rotation_status", KeyId=identity)
            state["enableKeyRotation"] = bool(rotation["KeyRotationEnabled"])
            state["rotationPeriodInDays"] = rotation.get("RotationPeriodInDays")
        return state

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Change what changed; a disabled key is enabled first, for AWS changes no other."""
        if "isEnabled" in changed and new.get("isEnabled") is not False:
            aws.call("kms", "enable_key", KeyId=identity)
        if "description" in changed:
            described_as = new.get("description") or ""
            aws.call("kms", "update_key_description", KeyId=identity, Description=described_as)
        if "policy" in changed:
            aws.call(
                "kms",
                "put_key_policy",
                KeyId=identity,
                PolicyName="default",
                Policy=new["policy"],
                BypassPolicyLockoutSafetyCheck=new.get("bypassPolicyLockoutSafetyCheck"),
            )
        if changed & {"enableKeyRotation", "rotationPeriodInDays"}:
            self._rotate(aws, identity, new)
        if "isEnabled" in changed and new.get("isEnabled") is False:
            aws.call("kms", "disable_key", KeyId=identity)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Schedule the deletion."""
        if self.read(aws, identity, state) is None:
            return False
        window = state.get("deletionWindowInDays")
        aws.call("kms", "schedule_key_deletion", KeyId=identity, PendingWindowInDays=window)
        return True


class Alias(ResourceType):
    """A name of a key."""

    urn_type = "aws:kms/alias:Alias"
    label = "KMS Alias"
    fields: ClassVar[Fields] = {
        "name": text(
            named=True,
            computed=True,
            replaces=True,
            rule=rules.matching(
                r"alias/(?!aws/)[a-zA-Z0-9/_-]{1,250}", "alias/ and letters, digits, /, _ or -"
            ),
        ),
        "targetKeyId": text(required=True, form=lambda value: str(value).rpartition("/")[2]),
    }
    outputs = ("arn", "targetKeyArn")
    follows: ClassVar[Follows] = {"targetKeyArn": frozenset({"targetKeyId"})}
    name_prefix = "alias/"

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        aws.call("kms", "create_alias", AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
        return str(inputs["name"])

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Find the alias in the list, the only place that shows it."""
        aliases = aws.collect("kms", "list_aliases", "Aliases")
        alias = next((item for item in aliases if item["AliasName"] == identity), None)
        if alias is None or not alias.get("TargetKeyId"):
            return None
        target = alias["TargetKeyId"]
        return {
            "name": identity,
            "arn": alias["AliasArn"],
            "targetKeyId": target,
            "targetKeyArn": aws.arn("kms", f"key/{target}"),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Point the alias at another key."""
        aws.call("kms", "update_alias", AliasName=identity, TargetKeyId=new["targetKeyId"])

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        return aws.find("kms", "delete_alias", _GONE, AliasName=identity) is not None


TYPES = (Key(), Alias())
