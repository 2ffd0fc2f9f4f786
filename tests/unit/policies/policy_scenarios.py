"""One scenario, written with Terraform's names, in every form that the policies read.

The forms are made here and not by the product's own conversions: names in camel case, Pulumi's
plurals and single blocks, the marks of unknown values, a plan as ``terraform show -json`` prints.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from policies.catalog import CATALOG
from policies.evaluation import Evaluation, evaluate
from policies.model import Enforcement, Parameters, Resource, Stage
from policies.pulumi_plan import resources_from_plan
from policies.state import resources_from_state
from policies.terraform_plan import resources_from_terraform

REGION = "eu-west-1"
ACCOUNT = "123456789012"
KEY_ARN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/00000000-0000-4000-8000-000000000001"
BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/acme-boundary"
PROVIDER = "urn:pulumi:acme.production.b::tenantplane::pulumi:providers:aws::cloud"
MARK = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
TAGS = {
    "tenantplane:tenant": "acme",
    "tenantplane:mode": "B",
    "tenantplane:environment": "production",
    "tenantplane:deployment": "dep_1",
    "tenantplane:managed-by": "tenantplane",
    "tenantplane:data-class": "customer",
}
PARAMETERS = Parameters(
    allowed_regions=(REGION, "eu-central-1"),
    tag_values={"tenantplane:tenant": "acme"},
    required_tags=tuple(TAGS),
    forbidden_tags=("tenantplane:run",),
    log_retention_days_min=30,
    encryption={},
    access_log_bucket_encryption="provider_key",
    widest_ingress_prefix={"ipv4": 8, "ipv6": 32},
    unknown_values={"unencrypted_storage": Enforcement.ADVISORY},
)  # fmt: skip
PLAN_FORMS = ("pulumi", "terraform")
FORMS = (*PLAN_FORMS, "state")

_PLURALS = {
    "aws_s3_bucket_server_side_encryption_configuration": {"rule": "rules"},
    "aws_dynamodb_table": {"replica": "replicas"},
    "aws_route_table": {"route": "routes"},
    "aws_iam_role": {"inlinePolicy": "inlinePolicies"},
    "aws_cloudwatch_metric_alarm": {"alarmName": "name"},
}
_SINGLE_BLOCKS = {
    "apply_server_side_encryption_by_default",
    "server_side_encryption",
    "versioning_configuration",
}


@dataclass(frozen=True)
class Unknown:
    """A value that is not known before the apply; ``of``: the resource it comes from."""

    of: str = ""


@dataclass(frozen=True)
class Thing:
    """A resource: ``inputs`` with Terraform's names, single blocks as objects."""

    kind: str
    name: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    protect: bool = True
    operation: str = "create"
    tags: Any = field(default_factory=lambda: {"tenantplane:data-class": "customer"})

    @property
    def address(self) -> str:
        """Its address in Terraform, also what a finding is compared with."""
        return f"{self.kind}.{self.name}"

    @property
    def urn(self) -> str:
        """Its URN."""
        return f"urn:pulumi:acme.production.b::tenantplane::{self.token}::{self.name}"

    @property
    def token(self) -> str:
        """Its type in Pulumi."""
        return CATALOG[self.kind].token if self.kind in CATALOG else f"aws:x/{self.kind}"

    @property
    def is_taggable(self) -> bool:
        """Tell whether it has tags."""
        return self.kind in CATALOG and CATALOG[self.kind].taggable


def resources(
    form: str, things: Iterable[Thing], *, region: Any = REGION, default_tags: Any = None
) -> tuple[Resource, ...]:
    """Return the things as a front end gives them."""
    every = list(things)
    defaults = {k: v for k, v in TAGS.items() if k != "tenantplane:data-class"}
    tags = defaults if default_tags is None else default_tags
    if form == "terraform":
        return resources_from_terraform(terraform_plan(every, region=region, default_tags=tags))
    planned = pulumi_plan(every, region=region, default_tags=tags)
    if form == "pulumi":
        return resources_from_plan(planned)
    return resources_from_state(
        [entry | {"outputs": entry["inputs"], "operation": "same"} for entry in planned]
    )


def found(
    rule: str, form: str, things: Iterable[Thing], parameters: Parameters = PARAMETERS, **more: Any
) -> set[tuple[str, str, str]]:
    """Return (address in Terraform, path, verdict) of what one rule finds in a form."""
    every = list(things)
    evaluation = judged(form, every, parameters, **more)
    by_urn = {thing.urn: thing.address for thing in every}
    return {
        (
            by_urn.get(each.address, each.address),
            re.sub(r"\.\d+", "", each.path),
            each.verdict.value,
        )
        for each in evaluation.violations
        if each.rule == rule
    }


def judged(
    form: str, things: Iterable[Thing], parameters: Parameters = PARAMETERS, **more: Any
) -> Evaluation:
    """Return the evaluation of the things in a form."""
    return evaluate(
        resources(form, things, **more),
        parameters,
        rules_digest="sha256:0",
        stage=Stage.STATE if form == "state" else Stage.PLAN,
    )


def cases(*rows: Any, forms: tuple[str, ...] = FORMS) -> Any:
    """Parametrize a test with ``(name, things, findings)`` rows in every form."""
    return pytest.mark.parametrize(
        ("form", "things", "expected"),
        [
            pytest.param(form, things, expected, id=f"{name}, {form}")
            for name, things, expected in rows
            for form in forms
        ],
    )


# --- Pulumi ----------------------------------------------------------------------------------
def pulumi_plan(things: list[Thing], *, region: Any, default_tags: Any) -> list[dict[str, Any]]:
    """Return the plan's resources as the runner sends them."""
    settings = {
        "region": _pulumi(region),
        "defaultTags": MARK
        if isinstance(default_tags, Unknown)
        else json.dumps({"tags": default_tags}),
    }
    stack = {"urn": "urn:stack", "type": "pulumi:pulumi:Stack", "name": "s", "custom": False,
             "operation": "create", "inputs": {}}  # fmt: skip
    provider = {"urn": PROVIDER, "type": "pulumi:providers:aws", "name": "cloud", "custom": True,
                "operation": "create", "inputs": settings}  # fmt: skip
    return [stack, provider, *(_planned(thing, things) for thing in things)]


def _planned(thing: Thing, things: list[Thing]) -> dict[str, Any]:
    urns = {each.address: each.urn for each in things}
    inputs: dict[str, Any] = {}
    dependencies: dict[str, list[str]] = {}
    for key, value in thing.inputs.items():
        name = _camel(key)
        name = _PLURALS.get(thing.kind, {}).get(name, name)
        inputs[name] = value if name in ("policy", "assumeRolePolicy") else _pulumi(value)
        if isinstance(value, Unknown):
            inputs[name] = MARK
        origins = [urns[each] for each in _origins(value) if each in urns]
        if origins:
            dependencies[name] = origins
    if thing.is_taggable and thing.tags:
        inputs["tags"] = MARK if isinstance(thing.tags, Unknown) else _marked(thing.tags)
    return {
        "urn": thing.urn, "type": thing.token, "name": thing.name, "custom": True,
        "operation": thing.operation, "inputs": inputs, "protect": thing.protect,
        "provider": f"{PROVIDER}::{MARK}", "property_dependencies": dependencies,
    }  # fmt: skip


def _marked(tags: Mapping[str, Any]) -> dict[str, Any]:
    return {key: MARK if isinstance(value, Unknown) else value for key, value in tags.items()}


def _pulumi(value: Any) -> Any:
    if isinstance(value, Unknown):
        return MARK
    if isinstance(value, Mapping):
        return {_camel(key): _pulumi(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_pulumi(item) for item in value]
    return value


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


# --- Terraform -------------------------------------------------------------------------------
def terraform_plan(things: list[Thing], *, region: Any, default_tags: Any) -> dict[str, Any]:
    """Return what ``terraform show -json`` prints for the things."""
    where: dict[str, Any] = {"references": ["local.region"]}
    if isinstance(region, str):
        where = {"references": ["var.placement.region", "var.placement"]}
    return {
        "format_version": "1.2",
        "terraform_version": "1.11.4",
        "variables": {"placement": {"value": {"region": region}}}
        if isinstance(region, str)
        else {},
        "resource_changes": [_change(thing, default_tags) for thing in things],
        "configuration": {
            "provider_config": {"aws": {"name": "aws", "expressions": {"region": where}}},
            "root_module": {"resources": [_config(thing) for thing in things]},
        },
    }


def _change(thing: Thing, default_tags: Any) -> dict[str, Any]:
    after, unknown = {}, {}
    for key, value in thing.inputs.items():
        after[key], unknown[key] = _terraform(key, value)
    # computed by the provider and not written: unknown as well, and no input
    unknown |= {"id": True, "arn": True}
    if thing.is_taggable:
        if isinstance(default_tags, Unknown) or isinstance(thing.tags, Unknown):
            unknown["tags_all"] = True
        else:
            after["tags_all"], unknown["tags_all"] = _terraform(
                "", default_tags | (thing.tags or {})
            )
    actions = {"replace": ["delete", "create"], "same": ["no-op"]}.get(
        thing.operation, [thing.operation]
    )
    change = {"actions": actions, "before": None, "after": after, "after_unknown": unknown,
              "after_sensitive": {}}  # fmt: skip
    if thing.operation == "delete":
        change |= {"before": after, "after": None, "after_unknown": {}}
    return {"address": thing.address, "mode": "managed", "type": thing.kind, "name": thing.name,
            "provider_name": "registry.terraform.io/hashicorp/aws", "change": change}  # fmt: skip


def _terraform(key: str, value: Any) -> tuple[Any, Any]:
    """Return the value and the tree of what of it is unknown."""
    if isinstance(value, Unknown):
        return None, True
    if isinstance(value, Mapping):
        pairs = {name: _terraform(name, item) for name, item in value.items()}
        known = {name: pair[0] for name, pair in pairs.items()}
        unknown = {name: pair[1] for name, pair in pairs.items() if pair[1]}
        return ([known], [unknown]) if key in _SINGLE_BLOCKS else (known, unknown)
    if isinstance(value, list):
        both = [_terraform("", item) for item in value]
        return [pair[0] for pair in both], [pair[1] for pair in both]
    return value, False


def _config(thing: Thing) -> dict[str, Any]:
    return {
        "address": thing.address, "mode": "managed", "type": thing.kind, "name": thing.name,
        "provider_config_key": "aws",
        "expressions": {key: _expression(key, value) for key, value in thing.inputs.items()},
    }  # fmt: skip


def _expression(key: str, value: Any) -> Any:
    if isinstance(value, Mapping) and _origins(value):
        block = {name: _expression(name, item) for name, item in value.items()}
        return [block] if key in _SINGLE_BLOCKS else block
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return [_expression("", item) for item in value]
    origins = _origins(value)
    if origins:
        return {"references": [text for each in origins for text in (f"{each}.arn", each)]}
    return {"references": ["local.somewhere"]} if isinstance(value, Unknown) else {}


def _origins(value: Any) -> list[str]:
    if isinstance(value, Unknown):
        return [value.of] if value.of else []
    inner: Iterable[Any] = ()
    if isinstance(value, Mapping):
        inner = value.values()
    elif isinstance(value, list):
        inner = value
    return [each for item in inner for each in _origins(item)]


# --- things ----------------------------------------------------------------------------------
def policy(*statements: Mapping[str, Any]) -> str:
    """Return the text of a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def tls_statement(bucket: str, **changes: Any) -> dict[str, Any]:
    """Return the statement that refuses requests without TLS."""
    arn = f"arn:aws:s3:::{bucket}"
    return {
        "Sid": "TlsOnly", "Effect": "Deny", "Principal": "*", "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    } | changes  # fmt: skip


def key(name: str = "data") -> Thing:
    """Return a key."""
    return Thing("aws_kms_key", name, {"description": "data", "enable_key_rotation": True})


def bucket(name: str = "data", physical: Any = "acme-data", **inputs: Any) -> Thing:
    """Return a bucket without its parts."""
    return Thing("aws_s3_bucket", name, {"bucket": physical, "force_destroy": False} | inputs)


def encryption(name: str = "data", of: Any = "acme-data", key_id: Any = KEY_ARN) -> Thing:
    """Return a bucket's encryption with a key."""
    default = {"sse_algorithm": "aws:kms", "kms_master_key_id": key_id}
    return Thing(
        "aws_s3_bucket_server_side_encryption_configuration",
        name,
        {"bucket": of, "rule": [{"apply_server_side_encryption_by_default": default}]},
    )


def access_block(name: str = "data", of: Any = "acme-data", **switches: Any) -> Thing:
    """Return a bucket's public access block, all on."""
    on = dict.fromkeys(
        ("block_public_acls", "block_public_policy", "ignore_public_acls",
         "restrict_public_buckets"),
        True,
    )  # fmt: skip
    return Thing("aws_s3_bucket_public_access_block", name, {"bucket": of} | on | switches)


def bucket_policy(name: str = "data", of: Any = "acme-data", document: Any = None) -> Thing:
    """Return a bucket's policy, by default the one that refuses requests without TLS."""
    text = policy(tls_statement("acme-data")) if document is None else document
    return Thing("aws_s3_bucket_policy", name, {"bucket": of, "policy": text})


def whole_bucket() -> list[Thing]:
    """Return a bucket that no rule objects to."""
    return [bucket(), encryption(), access_block(), bucket_policy()]


def role(**inputs: Any) -> Thing:
    """Return a role that no rule objects to."""
    trust = policy(
        {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"},
         "Action": "sts:AssumeRole"}
    )  # fmt: skip
    sound = {"name": "acme-app", "assume_role_policy": trust, "permissions_boundary": BOUNDARY}
    return Thing("aws_iam_role", "app", sound | inputs)


def database(**inputs: Any) -> Thing:
    """Return a database that no rule objects to."""
    sound = {
        "identifier": "acme-db", "engine": "postgres", "storage_encrypted": True,
        "kms_key_id": KEY_ARN, "manage_master_user_password": True,
        "master_user_secret_kms_key_id": KEY_ARN, "publicly_accessible": False,
        "deletion_protection": True,
    }  # fmt: skip
    return Thing("aws_db_instance", "db", _without_absent(sound | inputs))


def table(**inputs: Any) -> Thing:
    """Return a table that no rule objects to."""
    sound = {"name": "acme-hub", "deletion_protection_enabled": True,
             "server_side_encryption": {"enabled": True, "kms_key_arn": KEY_ARN}}  # fmt: skip
    return Thing("aws_dynamodb_table", "hub", _without_absent(sound | inputs))


def log_group(**inputs: Any) -> Thing:
    """Return a log group that no rule objects to."""
    sound = {"name": "/tenantplane/acme/app", "kms_key_id": KEY_ARN, "retention_in_days": 365}
    return Thing("aws_cloudwatch_log_group", "app", _without_absent(sound | inputs))


def secret(**inputs: Any) -> Thing:
    """Return a secret that no rule objects to."""
    sound = {"name": "acme/app", "kms_key_id": KEY_ARN, "recovery_window_in_days": 30}
    return Thing("aws_secretsmanager_secret", "app", _without_absent(sound | inputs))


def _without_absent(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in inputs.items() if value is not None}
