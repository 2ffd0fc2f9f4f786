"""What wakes the vendor: the database runs full or hot, or the table refuses work."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_aws.cloudwatch import MetricAlarm

from stacks.components.naming import Names
from stacks.components.tags import DataClass, tags

_PERIOD_SECONDS = 300
_FREE_STORAGE_SHARE = 0.1
_BYTES_PER_GB = 1024**3
_CPU_PERCENT = 85


@dataclass(frozen=True, kw_only=True)
class AlarmsConfig:
    """``storage_gb``: size of the database's disk, GiB."""

    names: Names
    storage_gb: int


class Alarms(pulumi.ComponentResource):
    """Alarms over 15 minutes; silence is a bad sign for the database and none for the table."""

    def __init__(
        self, name: str, config: AlarmsConfig, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("tenantplane:mode_b:Alarms", name, None, opts)
        names = config.names
        child = pulumi.ResourceOptions(parent=self)
        database = {"DBInstanceIdentifier": names.of("db")}
        MetricAlarm(
            "db-storage",
            name=names.of("db-storage-low"),
            alarm_description="Less than a tenth of the database's storage is free.",
            namespace="AWS/RDS",
            metric_name="FreeStorageSpace",
            dimensions=database,
            statistic="Minimum",
            comparison_operator="LessThanThreshold",
            threshold=round(config.storage_gb * _BYTES_PER_GB * _FREE_STORAGE_SHARE),
            period=_PERIOD_SECONDS,
            evaluation_periods=3,
            treat_missing_data="breaching",
            tags=tags(names.of("db-storage-low"), DataClass.OPERATIONAL),
            opts=child,
        )
        MetricAlarm(
            "db-cpu",
            name=names.of("db-cpu-high"),
            alarm_description="The database's processors are busy.",
            namespace="AWS/RDS",
            metric_name="CPUUtilization",
            dimensions=database,
            statistic="Average",
            comparison_operator="GreaterThanThreshold",
            threshold=_CPU_PERCENT,
            period=_PERIOD_SECONDS,
            evaluation_periods=3,
            treat_missing_data="breaching",
            tags=tags(names.of("db-cpu-high"), DataClass.OPERATIONAL),
            opts=child,
        )
        MetricAlarm(
            "table-throttled",
            name=names.of("table-throttled"),
            alarm_description="The table refuses requests because there are too many.",
            namespace="AWS/DynamoDB",
            metric_name="ThrottledRequests",
            dimensions={"TableName": names.of("hub")},
            statistic="Sum",
            comparison_operator="GreaterThanThreshold",
            threshold=0,
            period=_PERIOD_SECONDS,
            evaluation_periods=3,
            treat_missing_data="notBreaching",
            tags=tags(names.of("table-throttled"), DataClass.OPERATIONAL),
            opts=child,
        )
        self.register_outputs({})
