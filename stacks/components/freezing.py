"""Denying an application every change of its data, while that data is moved."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws
from pulumi_aws.iam import RolePolicy

from stacks.components.documents import document, statement
from stacks.components.roles import Role
from stacks.components.statements import WRITE_ACTIONS


def deny_writes(role: Role, provider: aws.Provider) -> None:
    """Register the policy that denies the application's role every action that changes data."""
    RolePolicy(
        "frozen",
        name="frozen",
        role=role.name,
        policy=document(statement("Frozen", WRITE_ACTIONS, ["*"], effect="Deny")),
        opts=pulumi.ResourceOptions(providers=[provider], depends_on=[role]),
    )
