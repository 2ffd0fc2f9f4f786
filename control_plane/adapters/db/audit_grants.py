"""Who may do what with the tables of the audit log, as SQL for a migration.

Row level security is enabled and forced, so the owner of the tables is bound by it too and reads
nothing. Readers see the trees listed in ``tenantplane.trees``, separated by commas, ``*`` for all.
It is set for one transaction (``reading.limit_to``) and without it nothing is seen. The application
writes events and reads nothing of the log: its API reads as the auditor.
"""

from __future__ import annotations

from typing import Final

from control_plane.adapters.db.roles import APP, AUDITOR, SEQUENCER

TREES_SETTING: Final = "tenantplane.trees"

_TABLES: Final = (
    "audit_pending",
    "audit_entry",
    "audit_tree",
    "audit_checkpoint",
    "audit_disclosure",
    "audit_key",
    "audit_subtree",
    "audit_pointer",
)
_LATER_TABLES: Final = ("audit_served",)
_SETTING: Final = f"coalesce(current_setting('{TREES_SETTING}', true), '')"
_LISTED: Final = f"({_SETTING} = '*' OR tenant_id = ANY (string_to_array({_SETTING}, ',')))"
_ALL: Final = "true"

# role, table, command, columns or "" for all, condition on the rows
_RIGHTS: Final = (
    (APP, "audit_pending", "INSERT", "(event_id, tenant_id, body)", _ALL),
    (APP, "audit_disclosure", "INSERT", "", _ALL),
    (AUDITOR, "audit_pending", "SELECT", "(id, tenant_id, enqueued_at)", _LISTED),
    (AUDITOR, "audit_entry", "SELECT", "", _LISTED),
    (AUDITOR, "audit_tree", "SELECT", "", _LISTED),
    (AUDITOR, "audit_checkpoint", "SELECT", "", _LISTED),
    (AUDITOR, "audit_key", "SELECT", "", _LISTED),
    (AUDITOR, "audit_subtree", "SELECT", "", _LISTED),
    (SEQUENCER, "audit_pending", "SELECT", "", _ALL),
    (SEQUENCER, "audit_pending", "INSERT", "(event_id, tenant_id, body)", _ALL),
    (SEQUENCER, "audit_pending", "DELETE", "", _ALL),
    # locking rows asks for UPDATE; the column is an identity that cannot be given a value
    (SEQUENCER, "audit_pending", "UPDATE", "(id)", _ALL),
    (SEQUENCER, "audit_entry", "SELECT", "", _ALL),
    (SEQUENCER, "audit_entry", "INSERT", "", _ALL),
    (SEQUENCER, "audit_tree", "SELECT", "", _ALL),
    (SEQUENCER, "audit_tree", "INSERT", "", _ALL),
    (SEQUENCER, "audit_tree", "UPDATE", "", _ALL),
    (SEQUENCER, "audit_checkpoint", "SELECT", "", _ALL),
    (SEQUENCER, "audit_checkpoint", "INSERT", "", _ALL),
    (SEQUENCER, "audit_key", "SELECT", "", _ALL),
    (SEQUENCER, "audit_key", "INSERT", "", _ALL),
    (SEQUENCER, "audit_subtree", "SELECT", "", _ALL),
    (SEQUENCER, "audit_subtree", "INSERT", "", _ALL),
    (SEQUENCER, "audit_pointer", "SELECT", "", _ALL),
    (SEQUENCER, "audit_pointer", "INSERT", "", _ALL),
    (SEQUENCER, "audit_pointer", "UPDATE", "", _ALL),
)

# a checkpoint that nobody was given may go when it is a day old
_THINNED: Final = (
    "signed_at < clock_timestamp() - interval '1 day' AND NOT EXISTS (SELECT FROM audit_served"
    " WHERE audit_served.tenant_id = audit_checkpoint.tenant_id"
    " AND audit_served.size = audit_checkpoint.size)"
)
# whether somebody was given a checkpoint matters for some months; then the newest of each hour are
# enough, and the entries confirm the others
_SERVED_LONG_AGO: Final = (
    "NOT EXISTS (SELECT FROM audit_checkpoint"
    " WHERE audit_checkpoint.tenant_id = audit_served.tenant_id"
    " AND audit_checkpoint.size = audit_served.size"
    " AND audit_checkpoint.signed_at >= clock_timestamp() - interval '90 days')"
)
_LATER_RIGHTS: Final = (
    (AUDITOR, "audit_served", "INSERT", "", _LISTED),
    (SEQUENCER, "audit_served", "SELECT", "", _ALL),
    (SEQUENCER, "audit_served", "DELETE", "", _SERVED_LONG_AGO),
    (SEQUENCER, "audit_checkpoint", "DELETE", "", _THINNED),
)


def audit_rights_sql(*, first: bool = False) -> list[str]:
    """Return statements that give the roles their rights; run by the owner after the tables.

    ``first`` are those of the first revision, which had fewer tables. The roles exist already
    (``roles.bootstrap``). What was given before is taken away first, so that running the statements
    again is harmless.
    """
    roles = f"{APP}, {SEQUENCER}, {AUDITOR}"
    statements = [f"GRANT USAGE ON SCHEMA public TO {roles}"]
    for table in _TABLES if first else _TABLES + _LATER_TABLES:
        statements += [
            f"REVOKE ALL ON {table} FROM PUBLIC, {roles}",
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        ]
    for role, table, command, columns, condition in _RIGHTS if first else _RIGHTS + _LATER_RIGHTS:
        clause = _condition(command, condition)
        policy = f"{table}_{command.lower()}_{role.removeprefix('tenantplane_')}"
        statements += [
            f"GRANT {command} {columns} ON {table} TO {role}",
            f"DROP POLICY IF EXISTS {policy} ON {table}",
            f"CREATE POLICY {policy} ON {table} FOR {command} TO {role} {clause}",
        ]
    return statements


def _condition(command: str, condition: str) -> str:
    """Return the clause a command takes: what is read, what may be written, or both."""
    if command == "INSERT":
        return f"WITH CHECK ({condition})"
    if command == "UPDATE":
        return f"USING ({condition}) WITH CHECK ({condition})"
    return f"USING ({condition})"
