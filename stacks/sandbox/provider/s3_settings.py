"""The settings of S3 buckets, each a resource of its own."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import ApiError, Aws
from stacks.sandbox.provider.resource import ResourceType
from stacks.sandbox.provider.s3 import GONE
from stacks.sandbox.provider.schema import (
    Fields,
    Problem,
    block,
    flag,
    policy_text,
    set_of,
    text,
)
from stacks.sandbox.provider.wire import Properties

_BUCKET: Fields = {"bucket": text(required=True, replaces=True)}
_OWNED_BUCKET: Fields = {
    **_BUCKET,
    "expectedBucketOwner": text(
        replaces=True, rule=rules.matching(r"\d{12}", "an account id of 12 digits")
    ),
}


class BucketSetting(ResourceType):
    """A setting, identified by its bucket or by `<bucket>,<expected owner>`.

    To create it is to put it over what was there, in AWS too. missing: the codes with which AWS
    says that the bucket has no such setting. deleting: the operation that takes it away.
    """

    missing: ClassVar[frozenset[str]]
    deleting: ClassVar[str]

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        owner = inputs.get("expectedBucketOwner")
        identity = f"{inputs['bucket']},{owner}" if owner else str(inputs["bucket"])
        self.put(aws, self.place(identity), inputs)
        return identity

    @abstractmethod
    def put(self, aws: Aws, place: dict[str, str], inputs: Properties) -> None:
        """Put the setting on the bucket that the parameters in `place` name."""

    @staticmethod
    def place(identity: str) -> dict[str, str]:
        """Return the parameters that name the bucket."""
        bucket, _, owner = identity.partition(",")
        return {"Bucket": bucket, **({"ExpectedBucketOwner": owner} if owner else {})}

    def found(self, aws: Aws, operation: str, identity: str) -> dict[str, Any] | None:
        """Return what AWS says of the setting, None when bucket or setting is gone."""
        return aws.find("s3", operation, GONE | self.missing, **self.place(identity))

    @staticmethod
    def described(identity: str, **state: Any) -> Properties:
        """Return a state with the inputs that the id carries."""
        bucket, _, owner = identity.partition(",")
        return {"bucket": bucket, "expectedBucketOwner": owner or None, **state}

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        self.put(aws, self.place(identity), new)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Take the setting away."""
        gone = GONE | self.missing
        return aws.find("s3", self.deleting, gone, **self.place(identity)) is not None


class BucketVersioning(BucketSetting):
    """Whether a bucket keeps old versions. It can be suspended, never taken back."""

    urn_type = "aws:s3/bucketVersioning:BucketVersioning"
    label = "S3 Bucket Versioning"
    fields: ClassVar[Fields] = {
        **_OWNED_BUCKET,
        "mfa": text(secret=True, local=True),
        "versioningConfiguration": block(
            {
                "status": text(
                    required=True, rule=rules.one_of("Enabled", "Suspended", "Disabled")
                ),
                "mfaDelete": text(computed=True, rule=rules.one_of("Enabled", "Disabled")),
            },
            required=True,
        ),
    }
    missing = frozenset()

    @override
    def put(self, aws: Aws, place: dict[str, str], inputs: Properties) -> None:
        """Set the status; Disabled is what a bucket is before any."""
        wanted = inputs["versioningConfiguration"]
        if wanted["status"] == "Disabled":
            return
        configuration = {"Status": wanted["status"]}
        if wanted.get("mfaDelete"):
            configuration["MFADelete"] = wanted["mfaDelete"]
        aws.call(
            "s3",
            "put_bucket_versioning",
            **place,
            MFA=inputs.get("mfa"),
            VersioningConfiguration=configuration,
        )

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Read the status; a bucket that never had one has no such setting."""
        answer = self.found(aws, "get_bucket_versioning", identity)
        if answer is None:
            return None
        status = answer.get("Status")
        if status is None:
            if (known.get("versioningConfiguration") or {}).get("status") != "Disabled":
                return None
            status = "Disabled"
        configuration = {"status": status, "mfaDelete": answer.get("MFADelete")}
        return self.described(identity, versioningConfiguration=configuration)

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Set the status; AWS has no way back to Disabled."""
        if new["versioningConfiguration"]["status"] == "Disabled":
            reason = "versioning can be suspended, it cannot be disabled again"
            raise ApiError("PutBucketVersioning", "InvalidBucketState", reason)
        super().update(aws, identity, old, new, changed)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Suspend versioning."""
        status = (state.get("versioningConfiguration") or {}).get("status")
        if status == "Disabled":
            return True
        suspended = {"Status": "Suspended"}
        place = self.place(identity)
        answer = aws.find(
            "s3", "put_bucket_versioning", GONE, **place, VersioningConfiguration=suspended
        )
        return answer is not None


class BucketServerSideEncryptionConfiguration(BucketSetting):
    """With which key a bucket encrypts what is put into it."""

    urn_type = (
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
    )
    label = "S3 Bucket Server-side Encryption Configuration"
    fields: ClassVar[Fields] = {
        **_OWNED_BUCKET,
        "rules": set_of(
            block(
                {
                    "applyServerSideEncryptionByDefault": block(
                        {
                            "sseAlgorithm": text(
                                required=True,
                                rule=rules.one_of("AES256", "aws:kms", "aws:kms:dsse"),
                            ),
                            "kmsMasterKeyId": text(),
                        }
                    ),
                    "bucketKeyEnabled": flag(),
                }
            ),
            required=True,
            rule=rules.some,
        ),
    }
    missing = frozenset({"ServerSideEncryptionConfigurationNotFoundError"})
    deleting = "delete_bucket_encryption"

    @override
    def put(self, aws: Aws, place: dict[str, str], inputs: Properties) -> None:
        sent = []
        for rule in inputs["rules"]:
            default = rule.get("applyServerSideEncryptionByDefault")
            item: dict[str, Any] = {}
            if default:
                item["ApplyServerSideEncryptionByDefault"] = {
                    "SSEAlgorithm": default["sseAlgorithm"],
                    **(
                        {"KMSMasterKeyID": default["kmsMasterKeyId"]}
                        if default.get("kmsMasterKeyId")
                        else {}
                    ),
                }
            if rule.get("bucketKeyEnabled") is not None:
                item["BucketKeyEnabled"] = rule["bucketKeyEnabled"]
            sent.append(item)
        configuration = {"Rules": sent}
        aws.call(
            "s3", "put_bucket_encryption", **place, ServerSideEncryptionConfiguration=configuration
        )

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        answer = self.found(aws, "get_bucket_encryption", identity)
        if answer is None:
            return None
        found = []
        for rule in answer["ServerSideEncryptionConfiguration"]["Rules"]:
            default = rule.get("ApplyServerSideEncryptionByDefault")
            item: dict[str, Any] = {"bucketKeyEnabled": bool(rule.get("BucketKeyEnabled"))}
            if default:
                item["applyServerSideEncryptionByDefault"] = {
                    "sseAlgorithm": default["SSEAlgorithm"],
                    "kmsMasterKeyId": default.get("KMSMasterKeyID"),
                }
            found.append(item)
        return self.described(identity, rules=found)


class BucketPublicAccessBlock(BucketSetting):
    """What a bucket refuses to make public."""

    urn_type = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
    label = "S3 Bucket Public Access Block"
    fields: ClassVar[Fields] = {
        **_BUCKET,
        "blockPublicAcls": flag(default=False),
        "blockPublicPolicy": flag(default=False),
        "ignorePublicAcls": flag(default=False),
        "restrictPublicBuckets": flag(default=False),
    }
    missing = frozenset({"NoSuchPublicAccessBlockConfiguration"})
    deleting = "delete_public_access_block"
    _FLAGS: ClassVar[tuple[str, ...]] = (
        *("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"),
    )

    @override
    def put(self, aws: Aws, place: dict[str, str], inputs: Properties) -> None:
        flags = {name[0].upper() + name[1:]: bool(inputs.get(name)) for name in self._FLAGS}
        aws.call("s3", "put_public_access_block", **place, PublicAccessBlockConfiguration=flags)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        answer = self.found(aws, "get_public_access_block", identity)
        if answer is None:
            return None
        flags = answer["PublicAccessBlockConfiguration"]
        state = {name: bool(flags.get(name[0].upper() + name[1:])) for name in self._FLAGS}
        return self.described(identity, **state)


class BucketPolicy(BucketSetting):
    """The policy document of a bucket."""

    urn_type = "aws:s3/bucketPolicy:BucketPolicy"
    label = "S3 Bucket Policy"
    fields: ClassVar[Fields] = {**_BUCKET, "policy": policy_text(required=True)}
    missing = frozenset({"NoSuchBucketPolicy"})
    deleting = "delete_bucket_policy"

    @override
    def put(self, aws: Aws, place: dict[str, str], inputs: Properties) -> None:
        aws.call("s3", "put_bucket_policy", **place, Policy=inputs["policy"])

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        answer = self.found(aws, "get_bucket_policy", identity)
        return None if answer is None else self.described(identity, policy=answer["Policy"])


class BucketOwnershipControls(BucketSetting):
    """Who owns what others put into a bucket."""

    urn_type = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
    label = "S3 Bucket Ownership Controls"
    fields: ClassVar[Fields] = {
        **_BUCKET,
        "rule": block(
            {
                "objectOwnership": text(
                    required=True,
                    rule=rules.one_of(
                        "BucketOwnerPreferred", "ObjectWriter", "BucketOwnerEnforced"
                    ),
                )
            },
            required=True,
        ),
    }
    missing = frozenset({"OwnershipControlsNotFoundError"})
    deleting = "delete_bucket_ownership_controls"

    @override
    def put(self, aws: Aws, place: dict[str, str], inputs: Properties) -> None:
        controls = {"Rules": [{"ObjectOwnership": inputs["rule"]["objectOwnership"]}]}
        aws.call("s3", "put_bucket_ownership_controls", **place, OwnershipControls=controls)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        answer = self.found(aws, "get_bucket_ownership_controls", identity)
        found = ((answer or {}).get("OwnershipControls") or {}).get("Rules") or []
        if not found:
            return None
        return self.described(identity, rule={"objectOwnership": found[0]["ObjectOwnership"]})


class BucketLogging(BucketSetting):
    """Where the log of accesses to a bucket goes."""

    urn_type = "aws:s3/bucketLogging:BucketLogging"
    label = "S3 Bucket Logging"
    fields: ClassVar[Fields] = {
        **_OWNED_BUCKET,
        "targetBucket": text(required=True),
        "targetPrefix": text(required=True),
    }
    missing = frozenset()

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """A bucket that logs into itself never comes to rest."""
        source = inputs["bucket"]
        if isinstance(source, str) and source == inputs["targetBucket"]:
            yield Problem("targetBucket", "must be another bucket")

    @override
    def put(self, aws: Aws, place: dict[str, str], inputs: Properties) -> None:
        enabled = {"TargetBucket": inputs["targetBucket"], "TargetPrefix": inputs["targetPrefix"]}
        status = {"LoggingEnabled": enabled}
        aws.call("s3", "put_bucket_logging", **place, BucketLoggingStatus=status)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        enabled = (self.found(aws, "get_bucket_logging", identity) or {}).get("LoggingEnabled")
        if not enabled:
            return None
        return self.described(
            identity,
            targetBucket=enabled["TargetBucket"],
            targetPrefix=enabled.get("TargetPrefix") or "",
        )

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Put an empty status."""
        place = self.place(identity)
        answer = aws.find("s3", "put_bucket_logging", GONE, **place, BucketLoggingStatus={})
        return answer is not None


TYPES = (
    *(BucketVersioning(), BucketServerSideEncryptionConfiguration(), BucketPublicAccessBlock()),
    *(BucketPolicy(), BucketOwnershipControls(), BucketLogging()),
)
