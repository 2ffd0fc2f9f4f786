"""IAM roles, managed policies and what ties them together."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from typing_extensions import override

from stacks.sandbox.provider import rules
from stacks.sandbox.provider.aws import Aws
from stacks.sandbox.provider.resource import ResourceType
from stacks.sandbox.provider.schema import TAGS, Field, Fields, flag, integer, policy_text, text
from stacks.sandbox.provider.tags import Tagging, from_pairs, pairs
from stacks.sandbox.provider.wire import Properties

_GONE = {"NoSuchEntity"}
_VERSIONS_KEPT = 5


def _name(limit: int) -> Field:
    rule = rules.matching(
        rf"[\w+=,.@-]{{1,{limit}}}", f"1 to {limit} letters, digits or any of _+=,.@-"
    )
    return text(named=True, computed=True, replaces=True, rule=rule)


def _document(value: Any) -> str:
    """Return a policy document as text; botocore parses those of IAM."""
    return value if isinstance(value, str) else json.dumps(value)


class Role(ResourceType):
    """A role; its policies are resources of their own."""

    urn_type = "aws:iam/role:Role"
    label = "IAM Role"
    fields: ClassVar[Fields] = {
        "name": _name(64),
        "assumeRolePolicy": policy_text(required=True),
        "description": text(rule=rules.matching(r"(?s).{0,1000}", "at most 1000 characters")),
        "path": text(default="/", replaces=True, rule=rules.iam_path),
        "maxSessionDuration": integer(default=3600, rule=rules.between(3600, 43_200)),
        "permissionsBoundary": text(rule=rules.arn),
        "forceDetachPolicies": flag(default=False, local=True),
        **TAGS,
    }
    outputs = ("arn", "createDate", "uniqueId")
    regional = False
    name_limit = 64
    tagging = Tagging(service="iam", place="RoleName", remove="untag_role", put="tag_role")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        answer = aws.call(
            "iam",
            "create_role",
            RoleName=inputs["name"],
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Description=inputs.get("description"),
            Path=inputs.get("path"),
            MaxSessionDuration=inputs.get("maxSessionDuration"),
            PermissionsBoundary=inputs.get("permissionsBoundary"),
            Tags=pairs(inputs.get("tagsAll")),
        )
        return str(answer["Role"]["RoleName"])

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        answer = aws.find("iam", "get_role", _GONE, RoleName=identity)
        if answer is None:
            return None
        role = answer["Role"]
        return {
            "name": role["RoleName"],
            "arn": role["Arn"],
            "uniqueId": role["RoleId"],
            "createDate": role["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "assumeRolePolicy": _document(role["AssumeRolePolicyDocument"]),
            "description": role.get("Description") or "",
            "path": role["Path"],
            "maxSessionDuration": role.get("MaxSessionDuration") or 3600,
            "permissionsBoundary": (role.get("PermissionsBoundary") or {}).get(
                "PermissionsBoundaryArn"
            ),
            "tagsAll": from_pairs(role.get("Tags")),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        if "assumeRolePolicy" in changed:
            aws.call(
                "iam",
                "update_assume_role_policy",
                RoleName=identity,
                PolicyDocument=new["assumeRolePolicy"],
            )
        if changed & {"description", "maxSessionDuration"}:
            aws.call(
                "iam",
                "update_role",
                RoleName=identity,
                Description=new.get("description") or "",
                MaxSessionDuration=new.get("maxSessionDuration") or 3600,
            )
        if "permissionsBoundary" in changed:
            boundary = new.get("permissionsBoundary")
            if boundary:
                aws.call(
                    "iam",
                    "put_role_permissions_boundary",
                    RoleName=identity,
                    PermissionsBoundary=boundary,
                )
            else:
                aws.call("iam", "delete_role_permissions_boundary", RoleName=identity)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete the role; AWS refuses while it has policies, unless they may be detached."""
        if state.get("forceDetachPolicies"):
            attached = self._attached(aws, identity)
            for arn in attached:
                aws.call("iam", "detach_role_policy", RoleName=identity, PolicyArn=arn)
        return aws.find("iam", "delete_role", _GONE, RoleName=identity) is not None

    @staticmethod
    def _attached(aws: Aws, identity: str) -> list[str]:
        if aws.find("iam", "get_role", _GONE, RoleName=identity) is None:
            return []
        return _attached_policies(aws, identity)


def _attached_policies(aws: Aws, role: str) -> list[str]:
    found = aws.collect("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role)
    return [policy["PolicyArn"] for policy in found]


class RolePolicy(ResourceType):
    """A policy written into a role. Its id is `<role>:<name>`."""

    urn_type = "aws:iam/rolePolicy:RolePolicy"
    label = "IAM Role Policy"
    fields: ClassVar[Fields] = {
        "role": text(required=True, replaces=True),
        "name": _name(128),
        "policy": policy_text(required=True),
    }
    regional = False
    name_limit = 128

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        """Put the policy; AWS knows no creation that fails when it is there."""
        self._put(aws, inputs["role"], inputs["name"], inputs)
        return f"{inputs['role']}:{inputs['name']}"

    @staticmethod
    def _put(aws: Aws, role: str, name: str, inputs: Properties) -> None:
        aws.call(
            "iam",
            "put_role_policy",
            RoleName=role,
            PolicyName=name,
            PolicyDocument=inputs["policy"],
        )

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        role, _, name = identity.partition(":")
        answer = aws.find("iam", "get_role_policy", _GONE, RoleName=role, PolicyName=name)
        if answer is None:
            return None
        return {"role": role, "name": name, "policy": _document(answer["PolicyDocument"])}

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        role, _, name = identity.partition(":")
        self._put(aws, role, name, new)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        role, _, name = identity.partition(":")
        answer = aws.find("iam", "delete_role_policy", _GONE, RoleName=role, PolicyName=name)
        return answer is not None


class Policy(ResourceType):
    """A managed policy. A change of its document is a new default version."""

    urn_type = "aws:iam/policy:Policy"
    label = "IAM Policy"
    fields: ClassVar[Fields] = {
        "name": _name(128),
        "policy": policy_text(required=True),
        "description": text(
            replaces=True, rule=rules.matching(r"(?s).{0,1000}", "at most 1000 characters")
        ),
        "path": text(default="/", replaces=True, rule=rules.iam_path),
        **TAGS,
    }
    outputs = ("arn", "attachmentCount", "policyId")
    regional = False
    name_limit = 128
    tagging = Tagging(service="iam", place="PolicyArn", remove="untag_policy", put="tag_policy")

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        answer = aws.call(
            "iam",
            "create_policy",
            PolicyName=inputs["name"],
            PolicyDocument=inputs["policy"],
            Description=inputs.get("description"),
            Path=inputs.get("path"),
            Tags=pairs(inputs.get("tagsAll")),
        )
        return str(answer["Policy"]["Arn"])

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Get the policy and its default version."""
        answer = aws.find("iam", "get_policy", _GONE, PolicyArn=identity)
        if answer is None:
            return None
        policy = answer["Policy"]
        version = aws.call(
            "iam",
            "get_policy_version",
            PolicyArn=identity,
            VersionId=policy["DefaultVersionId"],
        )["PolicyVersion"]
        return {
            "name": policy["PolicyName"],
            "arn": policy["Arn"],
            "policyId": policy["PolicyId"],
            "attachmentCount": policy.get("AttachmentCount") or 0,
            "description": policy.get("Description") or "",
            "path": policy["Path"],
            "policy": _document(version["Document"]),
            "tagsAll": from_pairs(policy.get("Tags")),
        }

    @override
    def update(
        self, aws: Aws, identity: str, old: Properties, new: Properties, changed: frozenset[str]
    ) -> None:
        """Make a new default version, in the place of the oldest when there is no room."""
        versions = self._versions(aws, identity)
        if len(versions) >= _VERSIONS_KEPT:
            self._drop(aws, identity, versions[0])
        aws.call(
            "iam",
            "create_policy_version",
            PolicyArn=identity,
            PolicyDocument=new["policy"],
            SetAsDefault=True,
        )

    @staticmethod
    def _versions(aws: Aws, identity: str) -> list[Mapping[str, Any]]:
        found = aws.collect("iam", "list_policy_versions", "Versions", PolicyArn=identity)
        others = [version for version in found if not version["IsDefaultVersion"]]
        others.sort(key=lambda version: int(version["VersionId"].lstrip("v")))
        defaults = [version for version in found if version["IsDefaultVersion"]]
        return [*others, *defaults]

    @staticmethod
    def _drop(aws: Aws, identity: str, version: Mapping[str, Any]) -> None:
        number = version["VersionId"]
        aws.call("iam", "delete_policy_version", PolicyArn=identity, VersionId=number)

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        """Delete the policy with its older versions; AWS refuses while it is attached."""
        if aws.find("iam", "get_policy", _GONE, PolicyArn=identity) is None:
            return False
        for version in self._versions(aws, identity)[:-1]:
            self._drop(aws, identity, version)
        return aws.find("iam", "delete_policy", _GONE, PolicyArn=identity) is not None


class RolePolicyAttachment(ResourceType):
    """The use of a managed policy by a role. Its id is `<role>/<policy ARN>`."""

    urn_type = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
    label = "IAM Role Policy Attachment"
    fields: ClassVar[Fields] = {
        "role": text(required=True, replaces=True),
        "policyArn": text(required=True, replaces=True, rule=rules.arn),
    }
    regional = False

    @override
    def create(self, aws: Aws, inputs: Properties) -> str:
        role, arn = inputs["role"], inputs["policyArn"]
        aws.call("iam", "attach_role_policy", RoleName=role, PolicyArn=arn)
        return f"{role}/{arn}"

    @override
    def read(self, aws: Aws, identity: str, known: Properties) -> Properties | None:
        """Look the policy up among those of the role."""
        role, _, arn = identity.partition("/")
        if aws.find("iam", "get_role", _GONE, RoleName=role) is None:
            return None
        if arn not in _attached_policies(aws, role):
            return None
        return {"role": role, "policyArn": arn}

    @override
    def delete(self, aws: Aws, identity: str, state: Properties) -> bool:
        role, _, arn = identity.partition("/")
        answer = aws.find("iam", "detach_role_policy", _GONE, RoleName=role, PolicyArn=arn)
        return answer is not None


TYPES = (Role(), RolePolicy(), Policy(), RolePolicyAttachment())
