"""Where moto 5.2.5 answers differently from AWS, and what puts it right.

Each correction belongs to one module of moto and is applied when that module has been loaded, so
that services nobody uses are not imported. ``tests/stacks/test_sandbox_corrections.py`` shows for
each that plain moto still needs it: a correction is removed when moto is fixed.
"""

from __future__ import annotations

import inspect
import json
import string
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from moto.core.responses import ActionResult
from moto.moto_api._internal import mock_random


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One difference from AWS: the module of moto it sits in, and the change."""

    name: str
    module: str
    apply: Callable[[Any], None]


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name)))


def _rds_instances_have_own_resource_ids(rds: Any) -> None:
    """DbiResourceId is one constant for all instances; readers that look it up find several."""

    def corrected(original: Callable[..., None]) -> Callable[..., None]:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            letters = mock_random.choices(string.ascii_uppercase + string.digits, k=26)
            self.dbi_resource_id = "db-" + "".join(letters)

        return init

    _replace(rds.DBInstance, "__init__", corrected)


def _rds_serverless_v1_scaling_only_where_it_is(rds: Any) -> None:
    """A cluster that is not Aurora serverless v1 has no ScalingConfigurationInfo."""

    def corrected(original: property) -> property:
        return property(
            lambda self: original.__get__(self) if self.engine_mode == "serverless" else None
        )

    _replace(rds.DBCluster, "scaling_configuration_info", corrected)


def _rds_parameters_are_described(responses: Any) -> None:
    """DescribeDBParameters forgets whose values they are, so readers drop all of them."""

    def describe(self: Any) -> ActionResult:
        name = self.params.get("DBParameterGroupName")
        groups = self.backend.describe_db_parameter_groups({"db_parameter_group_name": name})
        if not groups:
            raise responses.DBParameterGroupNotFoundError(name)
        parameters = [dict(each, Source="user") for each in groups[0].parameters.values()]
        return ActionResult({"Parameters": parameters})

    responses.RDSResponse.describe_db_parameters = describe


def _rds_parameters_are_reset(responses: Any) -> None:
    """ResetDBParameterGroup is missing; what takes a parameter away needs it."""

    def reset(self: Any) -> ActionResult:
        name = self.params.get("DBParameterGroupName")
        groups = self.backend.describe_db_parameter_groups({"db_parameter_group_name": name})
        if not groups:
            raise responses.DBParameterGroupNotFoundError(name)
        if self.params.get("ResetAllParameters"):
            groups[0].parameters.clear()
        for each in self.params.get("Parameters", []):
            groups[0].parameters.pop(each.original_dict()["ParameterName"], None)
        return ActionResult({"DBParameterGroupName": groups[0].name})

    responses.RDSResponse.reset_db_parameter_group = reset


def _ecs_services_keep_zone_rebalancing(responses: Any) -> None:
    """AvailabilityZoneRebalancing is neither stored nor returned."""

    def initialised(original: Callable[..., None]) -> Callable[..., None]:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            self.availability_zone_rebalancing = "DISABLED"

        return init

    def creating(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def create_service(self: Any) -> Any:
            result = original(self)
            wanted = self._get_param("availabilityZoneRebalancing")
            if wanted:
                result._result["service"].availability_zone_rebalancing = wanted
            return result

        return create_service

    _replace(sys.modules["moto.ecs.models"].Service, "__init__", initialised)
    _replace(responses.EC2ContainerServiceResponse, "create_service", creating)


def _ec2_group_rules_keep_descriptions(security_groups: Any) -> None:
    """The description of a rule that names a security group or a prefix list is not returned."""

    def with_prefix_list(original: Callable[..., None]) -> Callable[..., None]:
        def init(self: Any, *args: Any, **kwargs: Any) -> None:
            original(self, *args, **kwargs)
            given = inspect.signature(original).bind(self, *args, **kwargs).arguments
            self.prefix_list = given.get("prefix_list_id") or {}

        return init

    def description(self: Any) -> Any:
        for named in (self.ip_range, self.source_group, self.prefix_list):
            if named and named.get("Description"):
                return named["Description"]
        return None

    _replace(security_groups.SecurityGroupRule, "__init__", with_prefix_list)
    security_groups.SecurityGroupRule.description = property(description)


def _s3_deletes_one_version_where_versioning_is_suspended(s3: Any) -> None:
    """To delete one version takes them all, or fails where the newest is a mark of deletion."""

    def corrected(original: Callable[..., Any]) -> Callable[..., Any]:
        def delete_object(self: Any, *args: Any, **kwargs: Any) -> Any:
            given = inspect.signature(original).bind(self, *args, **kwargs).arguments
            bucket = self.get_bucket(given["bucket_name"])
            if not given.get("version_id") or bucket.versioning_status != "Suspended":
                return original(self, *args, **kwargs)
            bucket.versioning_status = "Enabled"
            try:
                return original(self, *args, **kwargs)
            finally:
                bucket.versioning_status = "Suspended"

        return delete_object

    _replace(s3.S3Backend, "delete_object", corrected)


def _route53_zones_with_a_network_are_private(responses: Any) -> None:
    """A zone made with a VPC is private, whether or not PrivateZone is sent."""

    def creating(original: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def create_hosted_zone(self: Any) -> Any:
            if self._get_param("VPC.VPCId"):
                plain = self._get_bool_param
                self._get_bool_param = lambda name, default=None: (
                    name == "HostedZoneConfig.PrivateZone" or plain(name, default)
                )
            return original(self)

        return create_hosted_zone

    _replace(responses.Route53, "create_hosted_zone", creating)


def _kms_keeps_the_rotation_period(responses: Any) -> None:
    """RotationPeriodInDays is neither stored nor returned."""

    def enabling(original: Callable[[Any], str]) -> Callable[[Any], str]:
        def enable_key_rotation(self: Any) -> str:
            answer = original(self)
            key = self.kms_backend.describe_key(self._get_param("KeyId"))
            key.rotation_period_in_days = self._get_param("RotationPeriodInDays") or 365
            return answer

        return enable_key_rotation

    def reading(original: Callable[[Any], str]) -> Callable[[Any], str]:
        def get_key_rotation_status(self: Any) -> str:
            status = json.loads(original(self))
            if status.get("KeyRotationEnabled"):
                key = self.kms_backend.describe_key(self._get_param("KeyId"))
                status["RotationPeriodInDays"] = getattr(key, "rotation_period_in_days", 365)
            return json.dumps(status)

        return get_key_rotation_status

    _replace(responses.KmsResponse, "enable_key_rotation", enabling)
    _replace(responses.KmsResponse, "get_key_rotation_status", reading)


def _sqs_redrive_policy_is_compact(sqs: Any) -> None:
    """RedrivePolicy comes back with spaces that were not sent."""

    def corrected(original: property) -> property:
        def attributes(self: Any) -> Any:
            found = original.__get__(self)
            if found.get("RedrivePolicy"):
                policy = json.loads(found["RedrivePolicy"])
                found["RedrivePolicy"] = json.dumps(policy, separators=(",", ":"))
            return found

        return property(attributes)

    _replace(sqs.Queue, "attributes", corrected)


def _backup_lists_tags(responses: Any) -> None:
    """ListTags takes the wrong part of a path that has no slash at its end."""

    def list_tags(self: Any) -> str:
        arn = unquote(self.path.rstrip("/").split("/tags/")[-1])
        return json.dumps({"Tags": self.backup_backend.list_tags(resource_arn=arn)})

    responses.BackupResponse.list_tags = list_tags


CORRECTIONS: tuple[Correction, ...] = (
    Correction(
        name="rds_instance_resource_id",
        module="moto.rds.models",
        apply=_rds_instances_have_own_resource_ids,
    ),
    Correction(
        name="rds_cluster_scaling",
        module="moto.rds.models",
        apply=_rds_serverless_v1_scaling_only_where_it_is,
    ),
    Correction(
        name="rds_parameters",
        module="moto.rds.responses",
        apply=_rds_parameters_are_described,
    ),
    Correction(
        name="rds_parameters_reset",
        module="moto.rds.responses",
        apply=_rds_parameters_are_reset,
    ),
    Correction(
        name="ecs_zone_rebalancing",
        module="moto.ecs.responses",
        apply=_ecs_services_keep_zone_rebalancing,
    ),
    Correction(
        name="ec2_group_rule_description",
        module="moto.ec2.models.security_groups",
        apply=_ec2_group_rules_keep_descriptions,
    ),
    Correction(
        name="route53_private_zone",
        module="moto.route53.responses",
        apply=_route53_zones_with_a_network_are_private,
    ),
    Correction(
        name="kms_rotation_period",
        module="moto.kms.responses",
        apply=_kms_keeps_the_rotation_period,
    ),
    Correction(
        name="sqs_redrive_policy",
        module="moto.sqs.models",
        apply=_sqs_redrive_policy_is_compact,
    ),
    Correction(
        name="s3_suspended_versions",
        module="moto.s3.models",
        apply=_s3_deletes_one_version_where_versioning_is_suspended,
    ),
    Correction(
        name="backup_tags",
        module="moto.backup.responses",
        apply=_backup_lists_tags,
    ),
)


class Corrector:
    """Applies each correction once, when the module that it corrects has been loaded."""

    def __init__(self) -> None:
        self._waiting = list(CORRECTIONS)

    def apply_to_loaded(self) -> None:
        """Correct what has been loaded since the last call."""
        ready = [each for each in self._waiting if each.module in sys.modules]
        for each in ready:
            each.apply(sys.modules[each.module])
            self._waiting.remove(each)
