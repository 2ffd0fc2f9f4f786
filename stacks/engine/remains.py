"""What AWS keeps of a removed deployment for a time, or until somebody deletes it.

A key waits for its deletion, a secret can be restored, a snapshot is kept: each with the date on
which it ends, where AWS tells one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from policies.removal import SECRET_DAYS
from stacks.contract import Remaining
from stacks.engine.identities import Client, listed
from stacks.engine.looking_up import DEPLOYMENT_TAG
from stacks.engine.strangers import Owner
from stacks.engine.things import Thing, of_arn

_COPIES = frozenset({"snapshot", "cluster-snapshot", "auto-backup", "recovery-point", "backup"})
_WHY: Mapping[str, str] = {
    "kms:key": "The key waits for its deletion, which can be canceled until then.",
    "secretsmanager:secret": "The secret can be restored until then.",
}
_BACKUP = "A backup that carries the deployment's tag."


def is_kept(thing: Thing) -> bool:
    """Tell whether a thing is a copy of data that outlives what it was made of."""
    is_backup = thing.kind == "dynamodb:table" and "/backup/" in thing.id
    return is_backup or thing.kind.rpartition(":")[2] in _COPIES


def kept_thing(thing: Thing, *, until: datetime | None = None, why: str = "") -> Remaining:
    """Return a thing as one that remains; ``until`` is when it ends."""
    return Remaining(
        kind=thing.kind,
        id=thing.id,
        arn=thing.arn,
        until=None if until is None else _utc(until),
        why=why or _WHY.get(thing.kind, _BACKUP),
    )


def _secrets(client: Client, owner: Owner) -> Iterator[Remaining]:
    every = ("list_secrets", "SecretList")
    for secret in listed(client, "secretsmanager", *every, IncludePlannedDeletion=True):
        deleted = secret.get("DeletedDate")
        if deleted and (owner.names(secret["Name"]) or _is_tagged(owner, secret.get("Tags"))):
            yield kept_thing(of_arn(secret["ARN"]), until=_end_of_recovery(deleted))


def _end_of_recovery(deleted: datetime) -> datetime:
    """Return when a secret ends. AWS's references call the date the end, or that of the call."""
    return deleted if deleted > datetime.now(UTC) else deleted + timedelta(days=SECRET_DAYS)


def _snapshots(client: Client, owner: Owner) -> Iterator[Remaining]:
    why = "The last snapshot of the database; it is kept until somebody deletes it."
    for snapshot in listed(client, "rds", "describe_db_snapshots", "DBSnapshots"):
        names = (snapshot["DBSnapshotIdentifier"], snapshot["DBInstanceIdentifier"])
        if any(map(owner.names, names)) or _is_tagged(owner, snapshot.get("TagList")):
            arn = str(snapshot["DBSnapshotArn"])
            thing = Thing("rds:snapshot", snapshot["DBSnapshotIdentifier"], arn)
            yield kept_thing(thing, why=why)


def _automated(client: Client, owner: Owner) -> Iterator[Remaining]:
    why = "Automated backups of the database; AWS deletes the last one after its retention."
    every = ("describe_db_instance_automated_backups", "DBInstanceAutomatedBackups")
    for backup in listed(client, "rds", *every):
        if owner.names(backup["DBInstanceIdentifier"]):
            arn = str(backup.get("DBInstanceAutomatedBackupsArn", ""))
            identity = arn.rpartition(":")[2] or backup["DBInstanceIdentifier"]
            yield kept_thing(Thing("rds:auto-backup", identity, arn), why=why)


def _table_backups(client: Client, owner: Owner) -> Iterator[Remaining]:
    why = "The last backup of the table, which AWS keeps where it had point-in-time recovery."
    every = ("list_backups", "BackupSummaries")
    for backup in listed(client, "dynamodb", *every, BackupType="ALL"):
        if owner.names(backup["TableName"]) and backup.get("BackupStatus") != "DELETED":
            thing = Thing("dynamodb:backup", backup["BackupName"], str(backup["BackupArn"]))
            yield kept_thing(thing, until=backup.get("BackupExpiryDateTime"), why=why)


REMAINS: Mapping[str, Callable[[Client, Owner], Iterator[Remaining]]] = {
    "secretsmanager, what can be restored": _secrets,
    "rds, snapshots": _snapshots,
    "rds, automated backups": _automated,
    "dynamodb, backups": _table_backups,
}


def _is_tagged(owner: Owner, pairs: Any) -> bool:
    return {"Key": DEPLOYMENT_TAG, "Value": owner.deployment} in (pairs or ())


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
