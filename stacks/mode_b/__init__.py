"""Mode B: a dedicated Hub for one tenant, in an AWS account of the vendor's organisation.

The same Hub as the Terraform modules of Mode C, with the same names, and the vendor's alarms.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from stacks.components.directory import Directory, DirectoryConfig
from stacks.components.documents import document, service_trust
from stacks.components.flow_log import FlowLog, FlowLogConfig
from stacks.components.freezing import deny_writes
from stacks.components.hub_version import hub_version
from stacks.components.keys import Key, KeyConfig, data_key_policy, logs_key_policy
from stacks.components.log_groups import LogGroups, LogGroupsConfig
from stacks.components.naming import Names, names_of
from stacks.components.private_network import PrivateNetwork, PrivateNetworkConfig
from stacks.components.roles import Boundary, BoundaryConfig, Role, RoleConfig
from stacks.components.secret_shells import SecretShells, SecretShellsConfig
from stacks.components.storage import Storage, StorageConfig
from stacks.components.tags import DataClass
from stacks.mode_b.access import app_statements, boundary_statements
from stacks.mode_b.alarms import Alarms, AlarmsConfig
from stacks.mode_b.database import Database, DatabaseConfig
from stacks.spec import DedicatedSpec

_LOG_GROUPS = ("app", "audit", "flow")


def build(spec: DedicatedSpec, provider: aws.Provider) -> Mapping[str, pulumi.Input[Any]]:
    """Register the dedicated Hub; return where its parts are. No output is a secret."""
    names = names_of(spec)
    opts = pulumi.ResourceOptions(providers=[provider])
    keys = _keys(spec, names, opts)
    boundary = Boundary(
        "boundary",
        BoundaryConfig(
            names=names,
            description="Ceiling of every role of this Hub: its own data, keys, secrets and logs, "
            "in its own region.",
            policy=document(*boundary_statements(names)),
        ),
        opts,
    )
    role = _app_role(names, boundary, opts)
    is_frozen = spec.transfer is not None and spec.transfer.frozen
    if is_frozen:
        deny_writes(role, provider)
    network = PrivateNetwork(
        "network", PrivateNetworkConfig(names=names, network=spec.network), opts
    )
    log_groups = LogGroups(
        "log-groups",
        LogGroupsConfig(
            groups={what: f"{names.path}/{what}" for what in _LOG_GROUPS},
            key_arn=keys.logs.arn,
            days=spec.retention.log_days,
        ),
        opts,
    )
    FlowLog(
        "flow",
        FlowLogConfig(
            names=names,
            vpc_id=network.vpc_id,
            log_group=f"{names.path}/flow",
            log_group_arn=log_groups.arns["flow"],
            boundary=boundary,
        ),
        opts,
    )
    storage = Storage(
        "storage",
        StorageConfig(
            names=names,
            retention=spec.retention,
            data_key_arn=keys.data.arn,
            protection=spec.protection,
        ),
        opts,
    )
    database = Database(
        "database",
        DatabaseConfig(
            names=names,
            database=spec.database,
            vpc_id=network.vpc_id,
            subnet_ids=network.subnet_ids,
            app_group_id=network.app_group_id,
            data_key_arn=keys.data.arn,
            secrets_key_arn=keys.secrets.arn,
            protection=spec.protection,
            is_read_only=is_frozen,
        ),
        opts,
    )
    shells = SecretShells(
        "secrets",
        SecretShellsConfig(names=names, key_arn=keys.secrets.arn, protection=spec.protection),
        opts,
    )
    inherited = spec.inherited.model_dump() if spec.inherited is not None else {}
    if inherited:
        entries = {name.replace("_", "-"): where for name, where in inherited.items()}
        Directory("directory", DirectoryConfig(names=names, entries=entries), opts)
    Alarms("alarms", AlarmsConfig(names=names, storage_gb=spec.database.storage_gb), opts)
    hub_version(names, spec.version, opts)
    return {
        "vpc_id": network.vpc_id,
        "private_subnet_ids": list(network.subnet_ids),
        "app_security_group_id": network.app_group_id,
        "app_role_arn": role.arn,
        "boundary_arn": boundary.arn,
        "data_bucket": storage.data_bucket,
        "log_bucket": storage.log_bucket,
        "table_name": storage.table,
        "database_id": database.identifier,
        "database_endpoint": database.endpoint,
        "database_master_secret_arn": database.master_secret_arn,
        "data_key_arn": keys.data.arn,
        "logs_key_arn": keys.logs.arn,
        "secrets_key_arn": keys.secrets.arn,
        "secret_names": dict(shells.names),
        "secret_arns": dict(shells.arns),
        "app_log_group": f"{names.path}/app",
        "audit_log_group": f"{names.path}/audit",
        **inherited,
    }


@dataclass(frozen=True, kw_only=True)
class Keys:
    """One key per purpose."""

    data: Key
    logs: Key
    secrets: Key


def _keys(spec: DedicatedSpec, names: Names, opts: pulumi.ResourceOptions) -> Keys:
    def key(purpose: str, data_class: DataClass, policy: str) -> Key:
        config = KeyConfig(
            names=names,
            purpose=purpose,
            data_class=data_class,
            policy=policy,
            deletion_days=spec.retention.key_deletion_days,
            protection=spec.protection,
        )
        return Key(purpose, config, opts)

    return Keys(
        data=key("data", DataClass.CUSTOMER, data_key_policy(names)),
        logs=key("logs", DataClass.OPERATIONAL, logs_key_policy(names)),
        secrets=key("secrets", DataClass.SECRET, data_key_policy(names)),
    )


def _app_role(names: Names, boundary: Boundary, opts: pulumi.ResourceOptions) -> Role:
    config = RoleConfig(
        names=names,
        what="app",
        description="The application's tasks.",
        trust=service_trust(
            "ecs-tasks.amazonaws.com",
            account_id=names.account_id,
            source_arn=names.arn("ecs", "*"),
        ),
        policy=document(*app_statements(names)),
        boundary_arn=boundary.arn,
        after=[boundary],
    )
    return Role("app", config, opts)
