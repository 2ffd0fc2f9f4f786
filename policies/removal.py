"""What the removal of a resource does with what it holds, and what stays behind: one table.

Sources: AWS KMS developer guide, "Deleting AWS KMS keys"; Secrets Manager user guide, "Delete an
AWS Secrets Manager secret"; RDS user guide, "Deleting a DB instance"; DynamoDB developer guide,
"Point-in-time recovery" (the system backup of a deleted table is kept for 35 days).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from policies.catalog import KIND_OF_TOKEN
from policies.resource_type import snake

BACKUP_DAYS: Final = 35  # of a deleted table, where it had point-in-time recovery
SECRET_DAYS: Final = 30  # AWS's own recovery window, and the longest
KEY_DAYS: Final = 30  # likewise of a key

Inputs = Mapping[str, Any]  # under Terraform's names

# What AWS or the provider refuses a deletion by: an input, and the value that lets it happen.
_GUARDS: Final[Mapping[str, tuple[str, bool]]] = {
    "aws_s3_bucket": ("force_destroy", True),  # refused while it holds objects
    "aws_dynamodb_table": ("deletion_protection_enabled", False),
    "aws_db_instance": ("deletion_protection", False),
}


def on_removal(resource_type: str, inputs: Mapping[str, Any]) -> str:
    """Return a sentence on the deletion of a resource, empty for one that holds nothing.

    ``inputs`` are those that it has, under Pulumi's or Terraform's names.
    """
    says = _SAYS.get(KIND_OF_TOKEN.get(resource_type, resource_type))
    return says({snake(name): value for name, value in inputs.items()}) if says else ""


def is_guarded(resource_type: str, inputs: Mapping[str, Any]) -> bool:
    """Tell whether AWS, or the provider, would refuse to delete a resource with these inputs."""
    guard = _GUARDS.get(KIND_OF_TOKEN.get(resource_type, resource_type))
    if guard is None:
        return False
    name, lets_it_happen = guard
    return bool({snake(n): v for n, v in inputs.items()}.get(name)) is not lets_it_happen


def _key(inputs: Inputs) -> str:
    days = _days(inputs.get("deletion_window_in_days"), KEY_DAYS)
    return (
        "What it encrypted cannot be read from then on. The key is deleted for good after "
        f"{days} days; until then its deletion can be canceled."
    )


def _secret(inputs: Inputs) -> str:
    days = _days(inputs.get("recovery_window_in_days"), SECRET_DAYS, zero=0)
    if not days:
        return "Deleted at once with its values."
    return (
        "Its values cannot be read from then on. They are deleted for good after "
        f"{days} days; until then the secret can be restored."
    )


def _bucket(inputs: Inputs) -> str:
    if inputs.get("force_destroy"):
        return "Deleted with every object and every old version in it."
    return "Refused while it holds objects."


def _table(inputs: Inputs) -> str:
    recovery = inputs.get("point_in_time_recovery")
    if isinstance(recovery, Mapping) and recovery.get("enabled"):
        return f"Deleted with its items; AWS keeps a last backup for {BACKUP_DAYS} days."
    return "Deleted with its items."


def _database(inputs: Inputs) -> str:
    if inputs.get("skip_final_snapshot"):
        return "Deleted with its automated backups, and without a last snapshot."
    name = inputs.get("final_snapshot_identifier") or "a last snapshot"
    return (
        f"Deleted with its automated backups; the snapshot {name} is kept until somebody "
        "deletes it, and can be read as long as its key."
    )


def _log_group(inputs: Inputs) -> str:  # noqa: ARG001 - each is given the same
    return "Deleted with its lines."


def _days(value: object, usual: int, *, zero: int | None = None) -> int:
    """Return a number of days; nothing stands for the usual, and so does 0 unless it means more."""
    if value == 0 and zero is not None:
        return zero
    return int(value) if isinstance(value, int | float) and value else usual


_SAYS: Final[Mapping[str, Callable[[Inputs], str]]] = {
    "aws_kms_key": _key,
    "aws_secretsmanager_secret": _secret,
    "aws_s3_bucket": _bucket,
    "aws_dynamodb_table": _table,
    "aws_db_instance": _database,
    "aws_cloudwatch_log_group": _log_group,
}
