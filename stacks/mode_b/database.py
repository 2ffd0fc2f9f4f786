"""PostgreSQL of a dedicated Hub. AWS makes, keeps and rotates the master password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws.ec2 import SecurityGroup
from pulumi_aws.rds import Instance, ParameterGroup, SubnetGroup
from pulumi_aws.rds.outputs import InstanceMasterUserSecret
from pulumi_aws.vpc import SecurityGroupEgressRule, SecurityGroupIngressRule

from stacks import spec
from stacks.components.naming import Names
from stacks.components.tags import DataClass, tags
from stacks.protection import Protection

_PORT = 5432
# takes effect at once, in sessions that are open as well; IAM has no say in SQL
_READ_ONLY = ({"name": "default_transaction_read_only", "value": "1", "apply_method": "immediate"},)


@dataclass(frozen=True, kw_only=True)
class DatabaseConfig:
    """``app_group_id``: the security group that may connect. Keys: of storage, of the password.

    ``is_read_only``: transactions only read, unless a session asks for something else.
    """

    names: Names
    database: spec.Database
    vpc_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    app_group_id: pulumi.Input[str]
    data_key_arn: pulumi.Input[str]
    secrets_key_arn: pulumi.Input[str]
    protection: Protection
    is_read_only: bool = False


class Database(pulumi.ComponentResource):
    """Instance, its subnets, parameters and security group.

    ``master_secret_arn`` names the secret in which AWS keeps the password; no value passes here.
    """

    identifier: str
    endpoint: pulumi.Output[str]
    master_secret_arn: pulumi.Output[str]

    def __init__(
        self, name: str, config: DatabaseConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:mode_b:Database", name, None, opts)
        names = config.names
        child = pulumi.ResourceOptions(parent=self)
        self.identifier = names.of("db")
        subnets = SubnetGroup(
            "db",
            name=self.identifier,
            description="Private subnets of the Hub's database.",
            subnet_ids=list(config.subnet_ids),
            tags=tags(self.identifier, DataClass.CUSTOMER),
            opts=child,
        )
        # 16 or 17: parameters belong to a major version
        family = f"postgres{config.database.engine_version.partition('.')[0]}"
        parameters = ParameterGroup(
            "db",
            name=f"{self.identifier}-{family}",
            description="Refuses connections without TLS.",
            family=family,
            # what AWS answers for a value that is its default; with "immediate" every later plan
            # would want to change it
            parameters=[
                {"name": "rds.force_ssl", "value": "1", "apply_method": "pending-reboot"},
                *(_READ_ONLY if config.is_read_only else ()),
            ],
            tags=tags(f"{self.identifier}-{family}", DataClass.CUSTOMER),
            opts=child,
        )
        group = self._group(config)
        instance = self._instance(config, subnets, parameters, group)
        self.endpoint = instance.endpoint
        self.master_secret_arn = instance.master_user_secrets.apply(_first_arn)
        self.register_outputs({"identifier": self.identifier, "endpoint": self.endpoint})

    def _group(self, config: DatabaseConfig) -> SecurityGroup:
        names = config.names
        child = pulumi.ResourceOptions(parent=self)
        group = SecurityGroup(
            "db",
            name=self.identifier,
            description="The database: in from the application, out to nothing.",
            vpc_id=config.vpc_id,
            tags=tags(self.identifier),
            opts=child,
        )
        SecurityGroupIngressRule(
            "db-from-app",
            security_group_id=group.id,
            description="PostgreSQL from the application",
            referenced_security_group_id=config.app_group_id,
            ip_protocol="tcp",
            from_port=_PORT,
            to_port=_PORT,
            tags=tags(names.of("db-from-app")),
            opts=child,
        )
        SecurityGroupEgressRule(
            "app-to-db",
            security_group_id=config.app_group_id,
            description="PostgreSQL",
            referenced_security_group_id=group.id,
            ip_protocol="tcp",
            from_port=_PORT,
            to_port=_PORT,
            tags=tags(names.of("app-to-db")),
            opts=child,
        )
        return group

    def _instance(
        self,
        config: DatabaseConfig,
        subnets: SubnetGroup,
        parameters: ParameterGroup,
        group: SecurityGroup,
    ) -> Instance:
        wanted = config.database
        is_kept = config.protection.keeps("instance.db")
        return Instance(
            "db",
            identifier=self.identifier,
            engine="postgres",
            engine_version=wanted.engine_version,
            # another major version is an approved change of the spec, never one of AWS's own
            allow_major_version_upgrade=True,
            # AWS patches only what the spec leaves to it, or the next plan would want to go back
            auto_minor_version_upgrade="." not in wanted.engine_version,
            instance_class=wanted.instance_class,
            db_name="hub",
            port=_PORT,
            allocated_storage=wanted.storage_gb,
            storage_type="gp3",
            storage_encrypted=True,
            kms_key_id=config.data_key_arn,
            username="hub_admin",
            manage_master_user_password=True,
            master_user_secret_kms_key_id=config.secrets_key_arn,
            db_subnet_group_name=subnets.name,
            parameter_group_name=parameters.name,
            vpc_security_group_ids=[group.id],
            publicly_accessible=False,
            multi_az=wanted.multi_az,
            backup_retention_period=wanted.backup_days,
            backup_window="01:00-02:00",
            maintenance_window="sun:03:00-sun:04:00",
            copy_tags_to_snapshot=True,
            # an approved change happens when it is applied, not in some later night
            apply_immediately=True,
            deletion_protection=is_kept,
            skip_final_snapshot=wanted.skip_final_snapshot,
            final_snapshot_identifier=f"{self.identifier}-final",
            tags=tags(self.identifier, DataClass.CUSTOMER),
            opts=pulumi.ResourceOptions(parent=self, protect=is_kept),
        )


def _first_arn(kept: Sequence[InstanceMasterUserSecret]) -> str:
    # an empty output is found by the check of outputs after the apply
    return next((secret.secret_arn for secret in kept or () if secret.secret_arn), "")
