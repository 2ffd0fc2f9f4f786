"""What the roles of a dedicated Hub may do, as data; the same as in Mode C's ``access`` module."""

from __future__ import annotations

from stacks.components.documents import Statement, statement
from stacks.components.keys import KEY_USE
from stacks.components.naming import Names, bucket_arn
from stacks.components.roles import never_rights
from stacks.components.statements import (
    ITEM_ACTIONS,
    LOG_ACTIONS,
    OBJECT_ACTIONS,
    PARAMETER_ACTIONS,
    SECRET_ACTIONS,
)


def app_statements(names: Names) -> tuple[Statement, ...]:
    """Return what the application's tasks may do."""
    return (
        *_data_statements(names),
        statement(
            "Logs",
            LOG_ACTIONS,
            [names.log_group_arn(f"{names.path}/{what}:*") for what in ("app", "audit")],
        ),
    )


def boundary_statements(names: Names) -> tuple[Statement, ...]:
    """Return the most that any role of this Hub may do."""
    return (
        *_data_statements(names),
        statement("Logs", LOG_ACTIONS, [names.log_group_arn(f"{names.path}/*")]),
        statement("FindLogGroups", ["logs:DescribeLogGroups"], [names.log_group_arn("*")]),
        *never_rights(names),
    )


def _data_statements(names: Names) -> tuple[Statement, ...]:
    bucket = bucket_arn(names.bucket("data"))
    table = names.arn("dynamodb", f"table/{names.of('hub')}")
    return (
        statement("Objects", [*OBJECT_ACTIONS, "s3:ListBucket"], [bucket, f"{bucket}/*"]),
        statement("Items", [*ITEM_ACTIONS, "dynamodb:DescribeTable"], [table, f"{table}/index/*"]),
        statement(
            "Secrets", SECRET_ACTIONS, [names.arn("secretsmanager", f"secret:{names.short}/*")]
        ),
        statement("Parameters", PARAMETER_ACTIONS, [names.arn("ssm", f"parameter{names.path}/*")]),
        # the id of a key that is still to be made is unknown; its alias is not
        statement(
            "Keys",
            KEY_USE,
            [names.arn("kms", "key/*")],
            condition={
                "ForAnyValue:StringEquals": {
                    "kms:ResourceAliases": [names.key_alias("data"), names.key_alias("secrets")]
                }
            },
        ),
    )
