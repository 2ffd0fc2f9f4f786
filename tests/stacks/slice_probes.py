"""What one slice could try with another one's data, and with its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.stacks.iam_evaluation import Request, Role
from tests.stacks.sample_specs import ACCOUNT, REGION


@dataclass(frozen=True, kw_only=True)
class HubPart:
    """The Hub that slices share: its documents as JSON text."""

    bucket: str
    bucket_policy: str
    table_arn: str
    key_policy: str
    log_group_prefix: str


@dataclass(frozen=True, kw_only=True)
class SlicePart:
    """One slice: the documents that guard it."""

    short: str
    role: Role
    key_policy: str


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A request on somebody's data. ``policy``: that of the bucket or key, if it has one."""

    what: str
    request: Request
    policy: str | None = field(default=None, repr=False)


KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-00000000000a"
EVERYWHERE = {
    "aws:RequestedRegion": [REGION],
    "aws:SecureTransport": ["true"],
    "aws:ResourceTag/tenantplane:mode": ["A"],
    "kms:CallerAccount": [ACCOUNT],
}


def _request(action: str, resource: str, **context: Sequence[str]) -> Request:
    return Request(action=action, resource=resource, context={**EVERYWHERE, **context})


def _arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}"


def keys_of(part: SlicePart) -> dict[str, list[str]]:
    """Return the condition keys of a request that uses the key of a slice."""
    return {**EVERYWHERE, "kms:ResourceAliases": [f"alias/{part.short}-data"]}


def probes_on(hub: HubPart, part: SlicePart) -> Iterator[Probe]:
    """Yield what reads, lists, changes or opens something of the slice ``part``."""
    bucket = f"arn:aws:s3:::{hub.bucket}"
    short = part.short
    for action in ("GetObject", "GetObjectVersion", "PutObject", "DeleteObject"):
        yield Probe(
            what=f"s3:{action}",
            request=_request(f"s3:{action}", f"{bucket}/tenants/{short}/contract.pdf"),
            policy=hub.bucket_policy,
        )
    for prefix in (f"tenants/{short}/", f"tenants/{short}/deep/down/"):
        yield Probe(
            what=f"s3:ListBucket of {prefix}",
            request=_request("s3:ListBucket", bucket, **{"s3:prefix": [prefix]}),
            policy=hub.bucket_policy,
        )
    for action in ("GetItem", "Query", "PutItem", "DeleteItem", "BatchGetItem"):
        for keys in ([short], [f"{short}#order"], [short, f"{short}#order"]):
            yield Probe(
                what=f"dynamodb:{action} of {keys}",
                request=_request(
                    f"dynamodb:{action}", hub.table_arn, **{"dynamodb:LeadingKeys": keys}
                ),
            )
    for action in ("Decrypt", "Encrypt", "GenerateDataKey"):
        yield Probe(
            what=f"kms:{action}",
            request=Request(action=f"kms:{action}", resource=KEY_ARN, context=keys_of(part)),
            policy=part.key_policy,
        )
    for action in ("GetSecretValue", "DescribeSecret"):
        yield Probe(
            what=f"secretsmanager:{action}",
            request=_request(
                f"secretsmanager:{action}", _arn("secretsmanager", f"secret:{short}/llm-AbCdEf")
            ),
        )
    for action in ("GetParameter", "GetParametersByPath"):
        yield Probe(
            what=f"ssm:{action}",
            request=_request(f"ssm:{action}", _arn("ssm", f"parameter/tenantplane/{short}/table")),
        )
    group = f"log-group:{hub.log_group_prefix}/tenants/{short}/app:log-stream:main"
    yield Probe(
        what="logs:PutLogEvents", request=_request("logs:PutLogEvents", _arn("logs", group))
    )


def probes_on_all(hub: HubPart, own: SlicePart) -> Iterator[Probe]:
    """Yield what would reach every slice at once, or the Hub itself; nobody may."""
    bucket = f"arn:aws:s3:::{hub.bucket}"
    for prefix in ("", "tenants/"):
        yield Probe(
            what=f"s3:ListBucket of {prefix or 'everything'}",
            request=_request("s3:ListBucket", bucket, **{"s3:prefix": [prefix]}),
            policy=hub.bucket_policy,
        )
    yield Probe(what="s3:ListBucket without a prefix", request=_request("s3:ListBucket", bucket))
    yield Probe(
        what="s3:GetObject of the Hub",
        request=_request("s3:GetObject", f"{bucket}/configuration.json"),
        policy=hub.bucket_policy,
    )
    for action in ("Scan", "Query", "PartiQLSelect", "ExportTableToPointInTime", "DeleteTable"):
        yield Probe(
            what=f"dynamodb:{action} without a key",
            request=_request(f"dynamodb:{action}", hub.table_arn),
        )
    yield Probe(
        what="dynamodb:BatchGetItem of own and foreign items",
        request=_request(
            "dynamodb:BatchGetItem",
            hub.table_arn,
            **{"dynamodb:LeadingKeys": [own.short, "somebody-else"]},
        ),
    )
    yield Probe(
        what="kms:Decrypt with the Hub's key through S3",
        request=Request(
            action="kms:Decrypt",
            resource=KEY_ARN,
            context={
                **EVERYWHERE,
                "kms:ResourceAliases": ["alias/hub-data"],
                "kms:ViaService": [f"s3.{REGION}.amazonaws.com"],
            },
        ),
        policy=hub.key_policy,
    )
    for action in ("iam:PutRolePolicy", "iam:DeleteRolePermissionsBoundary", "sts:AssumeRole"):
        yield Probe(what=action, request=_request(action, own.role.arn))
    yield Probe(
        what="s3:PutObject of own data without KMS",
        request=_request(
            "s3:PutObject",
            f"{bucket}/tenants/{own.short}/plain.txt",
            **{"s3:x-amz-server-side-encryption": ["AES256"]},
        ),
        policy=hub.bucket_policy,
    )
    yield Probe(
        what="s3:GetObject of own data without TLS",
        request=_request(
            "s3:GetObject",
            f"{bucket}/tenants/{own.short}/contract.pdf",
            **{"aws:SecureTransport": ["false"]},
        ),
        policy=hub.bucket_policy,
    )
