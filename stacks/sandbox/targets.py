"""What a request to the emulated cloud is about: actions, resources, condition keys, policies.

moto knows the resource of a call to S3, SQS and STS. Here are the stores that applications use;
every other call is about ``*``, so that a statement for one resource does not allow it.
Sources: the service authorization reference and the condition keys of each service's guide.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from moto.backends import get_backend
from moto.utilities.utils import get_partition

Context = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A signed request; ``body`` is the parsed JSON of services that speak it, else empty."""

    service: str
    operation: str
    resource: str
    account: str
    region: str
    path: str
    headers: Mapping[str, str]
    form: Mapping[str, Any]
    body: Mapping[str, Any]

    def arn(self, rest: str, *, service: str = "") -> str:
        """Return an ARN in the account and region of the call."""
        partition = get_partition(self.region)
        return f"arn:{partition}:{service or self.service}:{self.region}:{self.account}:{rest}"

    def backend(self) -> Any:
        """Return moto's state of the service, account and region."""
        backends: Any = get_backend(self.service)  # type: ignore[call-overload] # any service name
        return backends[self.account][self.region]


@dataclass(frozen=True, kw_only=True)
class Target:
    """One action on one resource. ``policy``: the resource's own policy, as JSON, if it has one."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)
    policy: str | None = None


def targets(call: Call) -> list[Target]:
    """Return everything that the caller must be allowed to do for this request."""
    found = list(_BY_SERVICE.get(call.service, _any)(call))
    return found or list(_any(call))


def _any(call: Call) -> Iterator[Target]:
    service = {"monitoring": "cloudwatch"}.get(call.service, call.service)
    yield Target(action=f"{service}:{call.operation}", resource=call.resource)


# --- S3 ---------------------------------------------------------------------------------------
# moto takes these for the creation, deletion or listing of the bucket; sub-resource -> action
_BUCKET_PARTS = {
    "encryption": "EncryptionConfiguration",
    "object-lock": "BucketObjectLockConfiguration",
    "ownershipControls": "BucketOwnershipControls",
    "publicAccessBlock": "BucketPublicAccessBlock",
    "replication": "ReplicationConfiguration",
}


def _s3(call: Call) -> Iterator[Target]:
    query = parse_qs(urlsplit(call.path).query, keep_blank_values=True)
    operation = "ListBucket" if call.operation == "HeadBucket" else call.operation
    for part, what in _BUCKET_PARTS.items():
        if part in query and operation in {"CreateBucket", "DeleteBucket", "ListBucket"}:
            operation = f"{'Get' if operation == 'ListBucket' else 'Put'}{what}"
    context = {
        f"s3:{name}": tuple(query[name])
        for name in ("prefix", "delimiter", "max-keys")
        if name in query
    }
    policy = _bucket_policy(call, call.resource)
    yield Target(action=f"s3:{operation}", resource=call.resource, context=context, policy=policy)
    copied = call.headers.get("X-Amz-Copy-Source", "")
    if copied:
        path = unquote(copied.split("?versionId=")[0]).lstrip("/")
        source = call.resource.split(":::")[0] + f":::{path}"
        policy = _bucket_policy(call, source)
        yield Target(action="s3:GetObject", resource=source, policy=policy)


def _bucket_policy(call: Call, arn: str) -> str | None:
    backends: Any = get_backend("s3")
    name = arn.rpartition(":::")[2].partition("/")[0]
    bucket = backends[call.account][get_partition(call.region)].buckets.get(name)
    return bucket.policy.decode() if bucket is not None and bucket.policy else None


# --- KMS --------------------------------------------------------------------------------------
_KEY_ID_LENGTH = 36


def _kms(call: Call) -> Iterator[Target]:
    if call.operation == "ReEncrypt":
        yield _key(call, "kms:ReEncryptFrom", _sealing_key(call))
        yield _key(call, "kms:ReEncryptTo", call.body.get("DestinationKeyId"))
        return
    key = call.body.get("KeyId") or call.body.get("TargetKeyId")
    if key is None and "CiphertextBlob" in call.body:
        key = _sealing_key(call)
    if key is None:
        return
    yield _key(call, f"kms:{call.operation}", key)
    if call.operation in {"CreateAlias", "DeleteAlias", "UpdateAlias"}:
        alias = call.arn(str(call.body.get("AliasName")))
        yield Target(action=f"kms:{call.operation}", resource=alias)


def _sealing_key(call: Call) -> str:
    """Return the key that a ciphertext names: moto puts its id in front."""
    return base64.b64decode(call.body["CiphertextBlob"])[:_KEY_ID_LENGTH].decode(errors="replace")


def _key(call: Call, action: str, named: Any) -> Target:
    try:
        key = call.backend().keys[call.backend().any_id_to_key_id(str(named))]
    except (KeyError, TypeError, AttributeError):  # no such key: the call itself will say so
        return Target(action=action, resource=call.arn(f"key/{named}"))
    context = {"kms:resourcealiases": tuple(key.aliases), "kms:calleraccount": (call.account,)}
    for name, value in (call.body.get("EncryptionContext") or {}).items():
        context[f"kms:encryptioncontext:{name.lower()}"] = (value,)
    tags = call.backend().tagger.list_tags_for_resource(key.id)["Tags"]
    context.update(_tags((each["TagKey"], each["TagValue"]) for each in tags))
    return Target(action=action, resource=key.arn, context=context, policy=key.policy)


def _tags(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    """Return the tags of a resource as condition keys."""
    return {f"aws:resourcetag/{key.lower()}": (value,) for key, value in pairs}


# --- Secrets Manager, Parameter Store, CloudWatch Logs -------------------------------------------
def _secrets(call: Call) -> Iterator[Target]:
    operation, named = call.operation, call.body.get("SecretId")
    if operation == "BatchGetSecretValue":
        for each in call.body.get("SecretIdList") or ["*"]:
            yield _secret(call, "secretsmanager:GetSecretValue", each)
    elif named is not None:
        yield _secret(call, f"secretsmanager:{operation}", named)
    elif operation == "CreateSecret":  # Secrets Manager will add a hyphen and six characters
        arn = call.arn(f"secret:{call.body.get('Name')}-000000")
        yield Target(action=f"secretsmanager:{operation}", resource=arn)


def _secret(call: Call, action: str, named: str) -> Target:
    secret = call.backend().secrets.get(named)
    if secret is None:
        arn = named if named.startswith("arn:") else call.arn(f"secret:{named}")
        return Target(action=action, resource=arn)
    return Target(
        action=action,
        resource=secret.arn,
        context=_tags((each["Key"], each["Value"]) for each in secret.tags or ()),
        policy=getattr(secret, "policy", None),
    )


def _parameters(call: Call) -> Iterator[Target]:
    single = call.body.get("Name") or call.body.get("Path")
    names = call.body.get("Names") or ([single] if single else [])
    for each in names:
        if "Parameter" in call.operation:
            name = str(each).split(":parameter", 1)[-1].lstrip("/")
            arn = call.arn(f"parameter/{name.rstrip('/')}")
            yield Target(action=f"ssm:{call.operation}", resource=arn)


def _logs(call: Call) -> Iterator[Target]:
    group = call.body.get("logGroupName") or call.body.get("logGroupIdentifier") or ""
    if group or call.operation == "DescribeLogGroups":
        name = group.split(":log-group:", 1)[-1].removesuffix(":*")
        stream = call.body.get("logStreamName") or ""
        arn = call.arn(f"log-group:{name}:log-stream:{stream}")
        yield Target(action=f"logs:{call.operation}", resource=arn)


# --- DynamoDB ---------------------------------------------------------------------------------
_TRANSACTED = {
    "Get": "GetItem",
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}


def _dynamodb(call: Call) -> Iterator[Target]:
    body = call.body
    if call.operation in {"BatchGetItem", "BatchWriteItem"}:
        for table, wanted in (body.get("RequestItems") or {}).items():
            items = wanted.get("Keys", []) if isinstance(wanted, dict) else wanted
            yield _items(call, call.operation, table, [_key_or_item(each) for each in items])
    elif call.operation in {"TransactGetItems", "TransactWriteItems"}:
        for each in body.get("TransactItems") or []:
            for kind, item in each.items():
                yield _items(call, _TRANSACTED[kind], item["TableName"], [_key_or_item(item)])
    elif "TableName" in body:
        if call.operation == "Query":
            yield _query(call)
        else:
            items = [_key_or_item(body)] if {"Key", "Item"} & set(body) else []
            yield _items(call, call.operation, body["TableName"], items)


def _key_or_item(request: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in ("PutRequest", "DeleteRequest"):
        if name in request:
            return _key_or_item(request[name])
    found: Mapping[str, Any] = request.get("Key") or request.get("Item") or request
    return found


def _items(
    call: Call, operation: str, named: str, items: list[Mapping[str, Any]], index: str = ""
) -> Target:
    hash_key = _hash_key(call, named, index)
    leading = sorted({_text(each[hash_key]) for each in items if hash_key in each})
    name = named.rsplit("table/", 1)[-1]
    return Target(
        action=f"dynamodb:{operation}",
        resource=call.arn(f"table/{name}" + (f"/index/{index}" if index else "")),
        context={"dynamodb:leadingkeys": tuple(leading)} if leading else {},
    )


def _query(call: Call) -> Target:
    index = str(call.body.get("IndexName") or "")
    table = str(call.body["TableName"])
    hash_key = _hash_key(call, table, index)
    names = call.body.get("ExpressionAttributeNames") or {}
    values = call.body.get("ExpressionAttributeValues") or {}
    equal: dict[str, Any] = {}
    for left, right in re.findall(
        r"([#\w.-]+)\s*=\s*(:\w+)", str(call.body.get("KeyConditionExpression") or "")
    ):
        equal[names.get(left, left)] = values.get(right)
    for name, test in (call.body.get("KeyConditions") or {}).items():
        if test.get("ComparisonOperator") == "EQ":
            equal[name] = test["AttributeValueList"][0]
    known: list[Mapping[str, Any]] = []
    if equal.get(hash_key):
        known.append({hash_key: equal[hash_key]})
    return _items(call, "Query", table, known, index)


def _hash_key(call: Call, named: str, index: str) -> str:
    table = call.backend().tables.get(named.rsplit("table/", 1)[-1])
    if table is None:
        return ""
    if not index:
        return str(table.hash_key_attr)
    for each in [*table.indexes, *table.global_indexes]:
        if each.name == index:
            return next(
                (str(k["AttributeName"]) for k in each.schema if k["KeyType"] == "HASH"), ""
            )
    return ""


def _text(value: Any) -> str:
    return str(next(iter(value.values()))) if isinstance(value, dict) else str(value)


# --- STS --------------------------------------------------------------------------------------
def _sts(call: Call) -> Iterator[Target]:
    given = {
        key: tuple(call.form[name])
        for key, name in (
            ("sts:externalid", "ExternalId"),
            ("sts:rolesessionname", "RoleSessionName"),
        )
        if call.form.get(name)
    }
    yield Target(
        action=f"sts:{call.operation}",
        resource=call.resource,
        context=given,
        policy=_trust(call),
    )


def _trust(call: Call) -> str | None:
    if call.operation != "AssumeRole":
        return None
    account = call.resource.split(":")[4]
    backends: Any = get_backend("iam")
    roles = backends[account][get_partition(call.region)].roles.values()
    for role in roles:
        if role.arn == call.resource:
            document = role.assume_role_policy_document
            return document if isinstance(document, str) else json.dumps(document)
    return None


_BY_SERVICE: Mapping[str, Callable[[Call], Iterator[Target]]] = {
    "dynamodb": _dynamodb,
    "kms": _kms,
    "logs": _logs,
    "s3": _s3,
    "secretsmanager": _secrets,
    "ssm": _parameters,
    "sts": _sts,
}
