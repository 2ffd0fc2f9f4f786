"""Who may do what with the root log and the cosignatures, as SQL for a migration.

Row level security is that of the other tables of the audit log (``audit_grants``). The root log is
written by the sequencer alone: the entries and checkpoints of all trees are. That a head was signed
before it becomes a leaf is checked by a trigger too.
"""

from __future__ import annotations

from typing import Final

from control_plane.adapters.db.audit_grants import TREES_SETTING
from control_plane.adapters.db.roles import APP, AUDITOR, SEQUENCER

_SETTING: Final = f"coalesce(current_setting('{TREES_SETTING}', true), '')"
_LISTED: Final = f"({_SETTING} = '*' OR tenant_id = ANY (string_to_array({_SETTING}, ',')))"

# one statement adds many leaves, so they are looked at together
_TRIGGER: Final = """
CREATE OR REPLACE FUNCTION tenantplane_check_root_leaves() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM added WHERE NOT EXISTS (
        SELECT FROM audit_checkpoint
        WHERE audit_checkpoint.tenant_id = added.tenant_id AND audit_checkpoint.size = added.size
    )) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP036', CONSTRAINT = 'root_leaf_is_signed',
            MESSAGE = 'only a signed head may be a leaf of the root log';
    END IF;
    IF EXISTS (SELECT FROM added WHERE NOT EXISTS (
        SELECT FROM audit_entry
        WHERE audit_entry.tenant_id = 'root' AND audit_entry.idx = added.idx
    )) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP036', CONSTRAINT = 'root_leaf_is_logged',
            MESSAGE = 'the root log has no entry of that index';
    END IF;
    -- the one before and the one after it alone, by the index: a tree has many
    IF EXISTS (SELECT FROM added LEFT JOIN LATERAL (
        SELECT idx FROM audit_root_leaf AS other
        WHERE other.tenant_id = added.tenant_id AND other.size < added.size
        ORDER BY other.size DESC LIMIT 1
    ) AS before ON true LEFT JOIN LATERAL (
        SELECT idx FROM audit_root_leaf AS other
        WHERE other.tenant_id = added.tenant_id AND other.size > added.size
        ORDER BY other.size LIMIT 1
    ) AS later ON true
        WHERE before.idx > added.idx OR later.idx < added.idx
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP036', CONSTRAINT = 'root_leaf_grows',
            MESSAGE = 'the heads of a tree grow from leaf to leaf';
    END IF;
    RETURN NULL;
END $$
"""


def root_rights_sql() -> list[str]:
    """Return statements that give the roles their rights; harmless when run again."""
    roles = f"{APP}, {SEQUENCER}, {AUDITOR}"
    return [
        f"REVOKE ALL ON audit_root_leaf FROM PUBLIC, {roles}",
        "ALTER TABLE audit_root_leaf ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE audit_root_leaf FORCE ROW LEVEL SECURITY",
        f"GRANT SELECT, INSERT ON audit_root_leaf TO {SEQUENCER}",
        f"GRANT SELECT ON audit_root_leaf TO {AUDITOR}",
        f"GRANT UPDATE (cosigs, quorum_at) ON audit_checkpoint TO {SEQUENCER}",
        *_policy("audit_root_leaf", "SELECT", AUDITOR, f"USING ({_LISTED})"),
        *_policy("audit_root_leaf", "SELECT", SEQUENCER, "USING (true)"),
        *_policy("audit_root_leaf", "INSERT", SEQUENCER, "WITH CHECK (true)"),
        *_policy("audit_checkpoint", "UPDATE", SEQUENCER, "USING (true) WITH CHECK (true)"),
        _TRIGGER,
        "DROP TRIGGER IF EXISTS check_root_leaves ON audit_root_leaf",
        (
            "CREATE TRIGGER check_root_leaves AFTER INSERT ON audit_root_leaf"
            " REFERENCING NEW TABLE AS added"
            " FOR EACH STATEMENT EXECUTE FUNCTION tenantplane_check_root_leaves()"
        ),
    ]


def _policy(table: str, command: str, role: str, clause: str) -> list[str]:
    name = f"{table}_{command.lower()}_{role.removeprefix('tenantplane_')}"
    return [
        f"DROP POLICY IF EXISTS {name} ON {table}",
        f"CREATE POLICY {name} ON {table} FOR {command} TO {role} {clause}",
    ]
