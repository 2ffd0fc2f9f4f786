"""What a cloud holds with a tenant's tag, asked with boto3 and nothing of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import boto3

TAG = "tenantplane:tenant"


def tagged_resources(endpoint: str | None, region: str, slug: str) -> list[str]:
    """Return the ids or ARNs of resources that carry the tenant's tag, each once.

    ``endpoint`` is that of the emulated cloud, None for AWS. The tagging service is asked first;
    what it does not know everywhere (parts of EC2, IAM, logs, parameters) is asked by itself.
    """
    session = session_of(endpoint, region)

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=endpoint)

    looks: Iterable[Callable[[Callable[[str], Any], str], Iterator[str]]] = (
        _tagging, _ec2, _iam_roles, _iam_policies, _log_groups, _parameters,
    )  # fmt: skip
    found = [name for look in looks for name in look(client, slug)]
    # EC2 answers with ids, the tagging service with ARNs that end in them
    by_id = {name.rpartition("/")[2] if ":ec2:" in name else name: name for name in found}
    return sorted(by_id.values())


def session_of(endpoint: str | None, region: str) -> Any:
    """Return a session of boto3: with this machine's credentials, or those of an emulated cloud."""
    return boto3.Session(
        region_name=region,
        aws_access_key_id="testing" if endpoint else None,
        aws_secret_access_key="testing" if endpoint else None,
    )


def _tagging(client: Callable[[str], Any], slug: str) -> Iterator[str]:
    pages = client("resourcegroupstaggingapi").get_paginator("get_resources")
    for page in pages.paginate(TagFilters=[{"Key": TAG, "Values": [slug]}]):
        for item in page["ResourceTagMappingList"]:
            yield str(item["ResourceARN"])


def _ec2(client: Callable[[str], Any], slug: str) -> Iterator[str]:
    filters = [{"Name": "key", "Values": [TAG]}, {"Name": "value", "Values": [slug]}]
    for page in client("ec2").get_paginator("describe_tags").paginate(Filters=filters):
        for tag in page["Tags"]:
            yield str(tag["ResourceId"])


def _iam_roles(client: Callable[[str], Any], slug: str) -> Iterator[str]:
    iam = client("iam")
    for page in iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            if _has(iam.list_role_tags(RoleName=role["RoleName"])["Tags"], slug):
                yield str(role["Arn"])


def _iam_policies(client: Callable[[str], Any], slug: str) -> Iterator[str]:
    iam = client("iam")
    for page in iam.get_paginator("list_policies").paginate(Scope="Local"):
        for policy in page["Policies"]:
            if _has(iam.list_policy_tags(PolicyArn=policy["Arn"])["Tags"], slug):
                yield str(policy["Arn"])


def _log_groups(client: Callable[[str], Any], slug: str) -> Iterator[str]:
    logs = client("logs")
    for page in logs.get_paginator("describe_log_groups").paginate():
        for group in page["logGroups"]:
            arn = str(group["arn"]).removesuffix(":*")
            if logs.list_tags_for_resource(resourceArn=arn)["tags"].get(TAG) == slug:
                yield arn


def _parameters(client: Callable[[str], Any], slug: str) -> Iterator[str]:
    ssm = client("ssm")
    filters = [{"Key": f"tag:{TAG}", "Values": [slug]}]
    for page in ssm.get_paginator("describe_parameters").paginate(ParameterFilters=filters):
        for parameter in page["Parameters"]:
            yield f"ssm:{parameter['Name']}"


def _has(tags: list[dict[str, str]], slug: str) -> bool:
    return any(tag["Key"] == TAG and tag["Value"] == slug for tag in tags)
