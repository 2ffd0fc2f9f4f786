"""Which parts (policy, encryption, access block …) belong to which bucket.

S3 makes each of them a resource of its own, so a rule about a bucket looks at other resources. A
part belongs to a bucket by its name, or where the name is not known yet by its reference. A part
with neither known might belong to any bucket: then nobody can say that a bucket has none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from policies.model import UNKNOWN, Resource

BUCKET = "aws_s3_bucket"


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The parts of one kind that a bucket has. ``maybe_more``: of some the bucket is unknown."""

    bucket: Resource
    found: tuple[Resource, ...]
    maybe_more: bool


def parts_by_bucket(resources: Sequence[Resource], kind: str) -> Iterator[Parts]:
    """Yield every bucket with its parts of one kind."""
    parts = [resource for resource in resources if resource.kind == kind]
    lost = any(names_bucket(part, "bucket") is UNKNOWN for part in parts)
    for bucket in resources:
        if bucket.kind == BUCKET:
            found = tuple(part for part in parts if is_bucket(part, "bucket", bucket))
            lost_here = lost or (bucket.value("bucket") is UNKNOWN and len(found) < len(parts))
            yield Parts(bucket=bucket, found=found, maybe_more=lost_here)


def is_bucket(resource: Resource, path: str, bucket: Resource) -> bool:
    """Tell whether the input at ``path`` names this bucket, as far as is known."""
    named = names_bucket(resource, path)
    return named == bucket.address or (
        isinstance(named, str) and bool(named) and named == bucket.value("bucket")
    )


def names_bucket(resource: Resource, path: str) -> object:
    """Return the bucket's name at ``path``, else its address, else ``UNKNOWN`` or None."""
    value = resource.value(path)
    origins = resource.origins(path)
    return origins[0] if value is UNKNOWN and len(origins) == 1 else value
