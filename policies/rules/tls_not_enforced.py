"""Every bucket refuses requests without TLS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from policies.buckets import parts_by_bucket
from policies.documents import enforces_tls, statements
from policies.model import UNKNOWN, Finding, Parameters, Resource, Rule, undecided, violated

_POLICY: Final = "aws_s3_bucket_policy"
_REMEDY: Final = (
    "Deny s3:* on the bucket and its objects to everybody when aws:SecureTransport is false."
)


def check(resources: Sequence[Resource], parameters: Parameters) -> Iterator[Finding]:  # noqa: ARG001 - every rule takes both
    """Yield buckets without such a policy, and those for which it cannot be decided."""
    for parts in parts_by_bucket(resources, _POLICY):
        bucket = parts.bucket
        name = bucket.value("bucket")
        documents = [part.value("policy") for part in parts.found]
        if isinstance(name, str) and any(_enforces(document, name) for document in documents):
            continue
        if name is UNKNOWN or UNKNOWN in documents:
            yield undecided(bucket, "policy", _REMEDY)
        elif not parts.found and parts.maybe_more:
            yield undecided(bucket, "bucket", "Set the bucket of the bucket policy by name.")
        else:
            yield violated(bucket, "answers requests without TLS", _REMEDY)


def _enforces(document: object, bucket: str) -> bool:
    try:
        return any(enforces_tls(statement, bucket) for statement in statements(document))
    except ValueError:
        return False


RULE: Final = Rule(id="tls_not_enforced", title="Buckets are reached only over TLS", check=check)
