"""CloudWatch log groups and metric alarms."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import Aws
from stacks.sandbox.provider.resource import ResourceType
from stacks.sandbox.provider.schema import (
    TAGS,
    Fields,
    Problem,
    flag,
    integer,
    mapping,
    number,
    set_of,
    text,
)
from stacks.sandbox.provider.tags import TagChange, Tagging, from_pairs, pairs
from stacks.sandbox.provider.wire import Properties

_LOG_GONE = {"ResourceNotFoundException"}


class LogGroup(ResourceType):
    """A group of log streams with a retention."""

    urn_type = "aws:cloudwatch/logGroup:LogGroup"
    label = "CloudWatch Logs Log Group"
    fields: ClassVar[Fields] = {
        "name": text(
            named=True,
            computed=True,
            replaces=True,
            rule=rules.matching(r"[.\-_/#A-Za-z0-9]{1,512}", "1 to 512 of letters, digits, .-_/#"),
        ),
        "kmsKeyId": text(rule=rules.arn),
        "logGroupClass": text(
            computed=True,
            replaces=True,
            rule=rules.one_of("STANDARD", "INFREQUENT_ACCESS", "DELIVERY"),
        ),
        "retentionInDays": integer(default=0, rule=rules.one_of(*rules.LOG_RETENTION_DAYS)),
        "skipDestroy": flag(default=False, local=True),
        **TAGS,
    }
    outputs = ("arn",)
    name_limit = 512

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Create the group; its retention follows."""
        aws.call(
            "logs",
            "create_log_group",
            logGroupName=inputs["name"],
            kmsKeyId=inputs.get("kmsKeyId"),
            logGroupClass=inputs.get("logGroupClass"),
            tags=inputs.get("tagsAll") or None,
        )
        return str(inputs["name"])

    @override
    def finish(self, aws: Aws, identity: str, inputs: Properties) -> None:
        """Set the retention; without one, entries never expire."""
        if inputs.get("retentionInDays"):
            self._retain(aws, identity, inputs)

    @staticmethod
    def _retain(aws: Aws, identity: str, inputs: Properties) -> None:
        days = inputs.get("retentionInDays")
        if days:
            aws.call("logs", "put_retention_policy", logGroupName=identity, retentionInDays=days)
        else:
            aws.call("logs", "delete_retention_policy", logGroupName=identity)

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Find the group by its name."""
        groups = aws.collect(
            "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=identity
        )
        group = next((item for item in groups if item["logGroupName"] == identity), None)
        if group is None:
            return None
        arn = group["arn"].removesuffix(":*")
        tags = aws.call("logs", "list_tags_for_resource", resourceArn=arn)["tags"]
        return {
            "name": identity,
            "arn": arn,
            "kmsKeyId": group.get("kmsKeyId"),
            "logGroupClass": group.get("logGroupClass") or "STANDARD",
            "retentionInDays": group.get("retentionInDays") or 0,
            "tagsAll": tags,
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Change retention and key."""
        if "retentionInDays" in changed:
            self._retain(aws, identity, new)
        if "kmsKeyId" in changed:
            if new.get("kmsKeyId"):
                key = new["kmsKeyId"]
                aws.call("logs", "associate_kms_key", logGroupName=identity, kmsKeyId=key)
            else:
                aws.call("logs", "disassociate_kms_key", logGroupName=identity)

    @override
    def retag(self, aws: Aws, identity: str, state: Properties, change: TagChange) -> None:
        arn = state["arn"]
        if change.remove:
            aws.call("logs", "untag_resource", resourceArn=arn, tagKeys=change.remove)
        if change.put:
            aws.call("logs", "tag_resource", resourceArn=arn, tags=change.put)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete the group, unless it is to be kept."""
        if state.get("skipDestroy"):
            return True
        return aws.find("logs", "delete_log_group", _LOG_GONE, logGroupName=identity) is not None


_COMPARISONS = (
    *("GreaterThanOrEqualToThreshold", "GreaterThanThreshold"),
    *("LessThanThreshold", "LessThanOrEqualToThreshold"),
)
_STATISTICS = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_MISSING = ("breaching", "notBreaching", "ignore", "missing")


class MetricAlarm(ResourceType):
    """An alarm on one metric. To create it is to put it over one of the same name, in AWS too."""

    urn_type = "aws:cloudwatch/metricAlarm:MetricAlarm"
    label = "CloudWatch Metric Alarm"
    fields: ClassVar[Fields] = {
        "name": text(
            named=True, computed=True, replaces=True, rule=rules.matching(r".{1,255}", "shorter")
        ),
        "comparisonOperator": text(required=True, rule=rules.one_of(*_COMPARISONS)),
        "evaluationPeriods": integer(required=True, rule=rules.between(1, 1000)),
        "metricName": text(required=True),
        "namespace": text(required=True),
        "period": integer(required=True),
        "statistic": text(rule=rules.one_of(*_STATISTICS)),
        "extendedStatistic": text(),
        "threshold": number(required=True),
        "dimensions": mapping(),
        "datapointsToAlarm": integer(),
        "treatMissingData": text(default="missing", rule=rules.one_of(*_MISSING)),
        "evaluateLowSampleCountPercentiles": text(
            computed=True, rule=rules.one_of("evaluate", "ignore")
        ),
        "unit": text(),
        "alarmDescription": text(),
        "actionsEnabled": flag(default=True),
        "alarmActions": set_of(text(rule=rules.arn)),
        "okActions": set_of(text(rule=rules.arn)),
        "insufficientDataActions": set_of(text(rule=rules.arn)),
        **TAGS,
    }
    outputs = ("arn",)
    tagging = Tagging(service="cloudwatch", place="ResourceARN", by_arn=True)
    _PARAMETERS: ClassVar[Mapping[str, str]] = {
        "comparisonOperator": "ComparisonOperator",
        "evaluationPeriods": "EvaluationPeriods",
        "metricName": "MetricName",
        "namespace": "Namespace",
        "period": "Period",
        "statistic": "Statistic",
        "extendedStatistic": "ExtendedStatistic",
        "threshold": "Threshold",
        "datapointsToAlarm": "DatapointsToAlarm",
        "treatMissingData": "TreatMissingData",
        "evaluateLowSampleCountPercentiles": "EvaluateLowSampleCountPercentile",
        "unit": "Unit",
        "alarmDescription": "AlarmDescription",
        "actionsEnabled": "ActionsEnabled",
        "alarmActions": "AlarmActions",
        "okActions": "OKActions",
        "insufficientDataActions": "InsufficientDataActions",
    }

    @override
    def further_problems(self, inputs: Properties) -> Iterator[Problem]:
        """One kind of statistic, and a period CloudWatch knows."""
        if bool(inputs.get("statistic")) == bool(inputs.get("extendedStatistic")):
            yield Problem("statistic", "or extendedStatistic is required, and not both")
        period = inputs["period"]
        if isinstance(period, int) and period not in {10, 20, 30} and (period < 1 or period % 60):
            yield Problem("period", "must be 10, 20, 30 or a multiple of 60 seconds")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Put the alarm with its tags."""
        self._put(aws, inputs["name"], inputs, Tags=pairs(inputs.get("tagsAll")) or None)
        return str(inputs["name"])

    def _put(self, aws: Aws, name: str, inputs: Properties, **more: Any) -> None:
        parameters = {
            parameter: inputs.get(field, self.fields[field].default)
            for field, parameter in self._PARAMETERS.items()
        }
        dimensions = pairs(inputs.get("dimensions"), "Name", "Value")
        aws.call(
            "cloudwatch",
            "put_metric_alarm",
            AlarmName=name,
            Dimensions=dimensions,
            **parameters,
            **more,
        )

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        answer = aws.call("cloudwatch", "describe_alarms", AlarmNames=[identity])
        alarms = answer.get("MetricAlarms") or []
        if not alarms:
            return None
        alarm = alarms[0]
        arn = alarm["AlarmArn"]
        tags = aws.call("cloudwatch", "list_tags_for_resource", ResourceARN=arn)["Tags"]
        state: Properties = {
            field: alarm.get(parameter) for field, parameter in self._PARAMETERS.items()
        }
        state.update(
            name=identity,
            arn=arn,
            dimensions=from_pairs(alarm.get("Dimensions"), "Name", "Value"),
            tagsAll=from_pairs(tags),
        )
        return state

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        self._put(aws, identity, new)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        if self.read(aws, identity, state) is None:
            return False
        aws.call("cloudwatch", "delete_alarms", AlarmNames=[identity])
        return True


TYPES = (LogGroup(), MetricAlarm())
