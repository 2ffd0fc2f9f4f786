"""What a cloud holds with a tenant's tag, asked with boto3 and nothing of ours."""

from __future__ import annotations

import boto3

TAG = "tenantplane:tenant"


def tagged_resources(endpoint: str | None, region: str, slug: str) -> list[str]:
    """Return the ARNs of resources that carry the tenant's tag.

    ``endpoint`` is that of the emulated cloud, None for AWS. IAM is global and not in the tagging
    service, so its roles and policies are asked one by one.
    """
    session = boto3.Session(
        region_name=region,
        aws_access_key_id="testing" if endpoint else None,
        aws_secret_access_key="testing" if endpoint else None,
    )
    tagging = session.client("resourcegroupstaggingapi", endpoint_url=endpoint)
    pages = tagging.get_paginator("get_resources").paginate(
        TagFilters=[{"Key": TAG, "Values": [slug]}]
    )
    found = {item["ResourceARN"] for page in pages for item in page["ResourceTagMappingList"]}
    iam = session.client("iam", endpoint_url=endpoint)
    for page in iam.get_paginator("list_roles").paginate():
        for role in page["Roles"]:
            tags = iam.list_role_tags(RoleName=role["RoleName"])["Tags"]
            if {"Key": TAG, "Value": slug} in [dict(tag) for tag in tags]:
                found.add(role["Arn"])
    for listed in iam.get_paginator("list_policies").paginate(Scope="Local"):
        for policy in listed["Policies"]:
            tags = iam.list_policy_tags(PolicyArn=policy["Arn"])["Tags"]
            if {"Key": TAG, "Value": slug} in [dict(tag) for tag in tags]:
                found.add(policy["Arn"])
    return sorted(found)
