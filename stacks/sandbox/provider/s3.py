"""S3 buckets."""

from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import ApiError, Aws
from stacks.sandbox.provider.resource import ResourceType
from stacks.sandbox.provider.schema import TAGS, Fields, flag, text
from stacks.sandbox.provider.tags import TagChange, from_pairs, pairs
from stacks.sandbox.provider.wire import Properties

GONE = {"NoSuchBucket", "404"}
_DEFAULT_REGION = "us-east-1"


class Bucket(ResourceType):
    """A bucket without its settings, which are resources of their own."""

    urn_type = "aws:s3/bucket:Bucket"
    label = "S3 Bucket"
    fields: ClassVar[Fields] = {
        "bucket": text(named=True, computed=True, replaces=True, rule=rules.bucket_name),
        "forceDestroy": flag(default=False, local=True),
        "objectLockEnabled": flag(computed=True, replaces=True),
        **TAGS,
    }
    outputs = ("arn", "bucketDomainName", "bucketRegionalDomainName", "bucketRegion")
    name_limit = 63

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the bucket; its tags follow.

        In us-east-1 AWS answers a second creation with success, so the name is looked up first, as
        the official plugin does.
        """
        name = inputs["bucket"]
        away = aws.region != _DEFAULT_REGION
        if not away and aws.find("s3", "head_bucket", GONE, Bucket=name) is not None:
            raise ApiError("CreateBucket", "BucketAlreadyExists", "the bucket name is taken")
        place = {"LocationConstraint": aws.region} if away else None
        aws.call(
            "s3",
            "create_bucket",
            Bucket=name,
            CreateBucketConfiguration=place,
            ObjectLockEnabledForBucket=inputs.get("objectLockEnabled"),
        )
        return str(name)

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        if inputs.get("tagsAll"):
            tags = {"TagSet": pairs(inputs["tagsAll"])}
            aws.call("s3", "put_bucket_tagging", Bucket=identity, Tagging=tags)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Look the bucket up."""
        if aws.find("s3", "head_bucket", GONE, Bucket=identity) is None:
            return None
        location = aws.call("s3", "get_bucket_location", Bucket=identity)
        region = location.get("LocationConstraint") or _DEFAULT_REGION
        return {
            "bucket": identity,
            "arn": f"arn:{aws.partition}:s3:::{identity}",
            "bucketDomainName": f"{identity}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{identity}.s3.{region}.amazonaws.com",
            "bucketRegion": region,
            "objectLockEnabled": self._locked(aws, identity),
            "tagsAll": self._tags(aws, identity),
        }

    @staticmethod
    def _locked(aws: Aws, identity: str) -> bool:
        missing = {"ObjectLockConfigurationNotFoundError"}
        answer = aws.find("s3", "get_object_lock_configuration", missing, Bucket=identity) or {}
        configuration = answer.get("ObjectLockConfiguration") or {}
        return bool(configuration.get("ObjectLockEnabled") == "Enabled")

    @staticmethod
    def _tags(aws: Aws, identity: str) -> dict[str, str]:
        answer = aws.find("s3", "get_bucket_tagging", {"NoSuchTagSet"}, Bucket=identity) or {}
        return from_pairs(answer.get("TagSet"))

    @override
    def retag(self, aws: Aws, identity: str, state: Properties, change: TagChange) -> None:
        """Set all tags again: the API has no other way."""
        kept = self._tags(aws, identity)
        tags = {key: value for key, value in kept.items() if key not in change.remove}
        tags.update(change.put)
        if tags:
            tagging = {"TagSet": pairs(tags)}
            aws.call("s3", "put_bucket_tagging", Bucket=identity, Tagging=tagging)
        else:
            aws.call("s3", "delete_bucket_tagging", Bucket=identity)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete the bucket, emptied first if that was allowed."""
        if state.get("forceDestroy"):
            self._empty(aws, identity)
        return aws.find("s3", "delete_bucket", GONE, Bucket=identity) is not None

    @staticmethod
    def _empty(aws: Aws, identity: str) -> None:
        parameters: dict[str, Any] = {"Bucket": identity}
        while True:
            answer = aws.find("s3", "list_object_versions", GONE, **parameters)
            if answer is None:
                return
            found = [*(answer.get("Versions") or []), *(answer.get("DeleteMarkers") or [])]
            if found:
                objects = [{"Key": item["Key"], "VersionId": item["VersionId"]} for item in found]
                deleted = aws.call(
                    "s3", "delete_objects", Bucket=identity, Delete={"Objects": objects}
                )
                for error in deleted.get("Errors") or []:
                    raise ApiError("DeleteObjects", error["Code"], error.get("Message", ""))
            if not answer.get("IsTruncated"):
                return


TYPES = (Bucket(),)
