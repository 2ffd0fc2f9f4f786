"""The program of every type with something of it changed that changes in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pulumi

from tests.stacks.sandbox_provider.every_type import allow, document, program, trust

Properties = dict[str, Any]

CHANGES: dict[str, Callable[[Properties], Properties]] = {
    "key": lambda _: {"description": "another", "rotation_period_in_days": 365},
    "data": lambda _: {"tags": {"Name": "renamed"}},
    "versions": lambda _: {"versioning_configuration": {"status": "Suspended"}},
    "encryption": lambda _: {
        "rules": [{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}]
    },
    "closed": lambda _: {"ignore_public_acls": False},
    "tls": lambda given: {
        "policy": given["policy"].apply(lambda it: it.replace("s3:*", "s3:Get*"))
    },
    "owner": lambda _: {"rule": {"object_ownership": "BucketOwnerPreferred"}},
    "lifecycle": lambda given: {"rules": given["rules"][:1]},
    "access-log": lambda _: {"target_prefix": "elsewhere/"},
    "vpc": lambda _: {"enable_dns_hostnames": False, "enable_network_address_usage_metrics": True},
    "nobody": lambda _: {
        "ingress": [{"protocol": "icmp", "from_port": -1, "to_port": -1, "self": True}]
    },
    "table": lambda _: {"tags": None},
    "subnet-a": lambda _: {
        "map_public_ip_on_launch": True,
        "enable_resource_name_dns_a_record_on_launch": True,
    },
    "inline": lambda _: {"egress": []},
    "in": lambda _: {"from_port": 5433, "to_port": 5433, "tags": {"Name": "in", "more": "1"}},
    "out": lambda _: {"cidr_ipv4": "10.20.0.0/24"},
    "to-s3": lambda _: {"policy": document(allow(["s3:Get*"], ["*"], Principal="*"))},
    "to-kms": lambda given: {"subnet_ids": given["subnet_ids"][:1]},
    "role": lambda _: {
        "description": "another role",
        "assume_role_policy": trust("lambda.amazonaws.com"),
        "max_session_duration": 7200,
        "permissions_boundary": None,
    },
    "inside": lambda _: {"policy": document(allow(["s3:PutObject"], ["*"]))},
    "policy": lambda _: {"policy": document(allow(["sqs:ReceiveMessage"], ["*"]))},
    # its description cannot be: the emulator loses a subnet group that is modified
    "places": lambda _: {"tags": {"Name": "renamed"}},
    # one is changed; to take one away needs ResetDBParameterGroup, which the emulator lacks
    "settings": lambda given: {
        "parameters": [
            given["parameters"][0],
            {**given["parameters"][1], "value": "300"},
        ]
    },
    "database": lambda _: {
        "backup_retention_period": 14,
        "instance_class": "db.t4g.small",
        "apply_immediately": True,
    },
    "second": lambda _: {"password": pulumi.Output.secret("correct-horse-2")},
    "records": lambda _: {
        "ttl": None,
        "point_in_time_recovery": {"enabled": False},
        "deletion_protection_enabled": False,
    },
    "counters": lambda _: {"read_capacity": 3, "tags": {"Name": "counters"}},
    "log": lambda _: {"retention_in_days": 90},
    "flow": lambda _: {"tags": {"Name": "renamed"}},
    "alarm": lambda _: {"threshold": 3, "actions_enabled": False, "dimensions": {"Other": "hub"}},
    "shell": lambda _: {"description": "another", "tags": {"Name": "renamed"}},
    "plain": lambda _: {"value": "other-value", "description": "now described"},
}
"""Per logical name, what of it the changed program has otherwise; all of it changes in place."""


def changed_program() -> None:
    """Register all of it, with CHANGES."""

    def otherwise(
        args: pulumi.ResourceTransformationArgs,
    ) -> pulumi.ResourceTransformationResult | None:
        if args.name not in CHANGES or not args.type_.startswith("aws:"):
            return None
        props = {**args.props, **CHANGES[args.name](dict(args.props))}
        return pulumi.ResourceTransformationResult(props, args.opts)

    pulumi.runtime.register_stack_transformation(otherwise)
    program()
