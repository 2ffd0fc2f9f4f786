"""Things in the cloud as the services name them, whatever a state calls them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Fact = str | tuple[str, str]  # an ARN, an id of EC2, or a kind and a name


_BARE = {"s3": "bucket", "sns": "topic", "sqs": "queue"}  # of what an ARN has the name alone


@dataclass(frozen=True)
class Thing:
    """Something that is there: ``kind`` as in ARNs, its id or name, and its ARN if it is known.

    ``says`` is what people should know of it, where its id alone tells nothing.
    """

    kind: str
    id: str
    arn: str = ""
    says: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def facts(self) -> set[Fact]:
        """What tells it from all others; an id of EC2 says by itself of what kind it is."""
        identity: Fact = self.id if self.kind.startswith("ec2:") else (self.kind, self.id)
        return {identity, self.arn} if self.arn else {identity}


def of_arn(arn: str) -> Thing:
    """Return what an ARN names: ``service:kind/id``, ``kind:id``, or a bare name, as of buckets."""
    _, _, service, _, _, rest = arn.removesuffix(":*").split(":", 5)
    kind, _, identity = rest.partition("/" if "/" in rest.split(":")[0] else ":")
    if not identity:
        kind, identity = _BARE.get(service, "resource"), rest
    if service == "ssm":  # the slash that begins a parameter's name is the one of the ARN
        identity = f"/{identity}"
    return Thing(f"{service}:{kind}", identity, arn)
