"""Who may do what with cosignatures, what witnesses did and keys in force, as SQL for a migration.

That a quorum has seen a head is not taken back, and the newest such head is not removed: what was
shown to an auditor stays. A key's end is written once, by the sequencer that puts the next one into
force.
"""

from __future__ import annotations

from typing import Final

from control_plane.adapters.db.roles import APP, AUDITOR, SEQUENCER

_CHECKPOINT: Final = """
CREATE OR REPLACE FUNCTION tenantplane_check_quorum() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.quorum_at IS NULL OR NEW.quorum_at < OLD.quorum_at THEN
            RAISE EXCEPTION USING ERRCODE = 'TP044', CONSTRAINT = 'quorum_stays',
                MESSAGE = 'that a quorum has seen a checkpoint is not taken back';
        END IF;
        RETURN NEW;
    END IF;
    IF NOT EXISTS (
        SELECT FROM audit_checkpoint AS later
        WHERE later.tenant_id = OLD.tenant_id AND later.size > OLD.size
            AND later.quorum_at IS NOT NULL
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP044', CONSTRAINT = 'newest_quorum_stays',
            MESSAGE = 'the newest checkpoint that a quorum has seen is not removed';
    END IF;
    RETURN OLD;
END $$
"""
_KEY: Final = """
CREATE OR REPLACE FUNCTION tenantplane_check_key() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF OLD.to_size IS NOT NULL AND NEW.to_size IS DISTINCT FROM OLD.to_size
        OR NEW.to_size <= OLD.from_size
    THEN
        RAISE EXCEPTION USING ERRCODE = 'TP044', CONSTRAINT = 'key_ends_once',
            MESSAGE = 'the end of a key is written once, after its beginning';
    END IF;
    RETURN NEW;
END $$
"""


def witness_rights_sql() -> list[str]:
    """Return statements that give the roles their rights; harmless when run again."""
    return [
        f"REVOKE ALL ON audit_witness FROM PUBLIC, {APP}, {SEQUENCER}, {AUDITOR}",
        "ALTER TABLE audit_witness ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE audit_witness FORCE ROW LEVEL SECURITY",
        f"GRANT SELECT, INSERT, UPDATE ON audit_witness TO {SEQUENCER}",
        f"GRANT SELECT ON audit_witness TO {AUDITOR}",
        f"GRANT UPDATE (to_size, reason) ON audit_key TO {SEQUENCER}",
        *_policy("audit_witness", "SELECT", AUDITOR, "USING (true)"),
        *_policy("audit_witness", "SELECT", SEQUENCER, "USING (true)"),
        *_policy("audit_witness", "INSERT", SEQUENCER, "WITH CHECK (true)"),
        *_policy("audit_witness", "UPDATE", SEQUENCER, "USING (true) WITH CHECK (true)"),
        *_policy("audit_key", "UPDATE", SEQUENCER, "USING (true) WITH CHECK (true)"),
        f"REVOKE ALL ON audit_quarantine FROM PUBLIC, {APP}, {SEQUENCER}, {AUDITOR}",
        "ALTER TABLE audit_quarantine ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE audit_quarantine FORCE ROW LEVEL SECURITY",
        f"GRANT SELECT, INSERT (tree, why) ON audit_quarantine TO {SEQUENCER}",
        f"GRANT UPDATE (why, ended_at) ON audit_quarantine TO {SEQUENCER}",
        f"GRANT SELECT, UPDATE (released_at, released_by) ON audit_quarantine TO {APP}",
        *_policy("audit_quarantine", "SELECT", SEQUENCER, "USING (true)"),
        *_policy("audit_quarantine", "INSERT", SEQUENCER, "WITH CHECK (released_at IS NULL)"),
        *_policy("audit_quarantine", "UPDATE", SEQUENCER,
                 "USING (released_at IS NULL) WITH CHECK (true)"),
        *_policy("audit_quarantine", "SELECT", APP, "USING (true)"),
        *_policy("audit_quarantine", "UPDATE", APP,
                 "USING (released_at IS NULL) WITH CHECK (true)"),
        _CHECKPOINT,
        *_trigger("check_quorum", "UPDATE OR DELETE", "audit_checkpoint",
                  "WHEN (OLD.quorum_at IS NOT NULL) EXECUTE FUNCTION tenantplane_check_quorum()"),
        _KEY,
        *_trigger("check_key", "UPDATE", "audit_key",
                  "EXECUTE FUNCTION tenantplane_check_key()"),
    ]  # fmt: skip


def _policy(table: str, command: str, role: str, clause: str) -> list[str]:
    name = f"{table}_{command.lower()}_{role.removeprefix('tenantplane_')}"
    return [
        f"DROP POLICY IF EXISTS {name} ON {table}",
        f"CREATE POLICY {name} ON {table} FOR {command} TO {role} {clause}",
    ]


def _trigger(name: str, commands: str, table: str, clause: str) -> list[str]:
    return [
        f"DROP TRIGGER IF EXISTS {name} ON {table}",
        f"CREATE TRIGGER {name} BEFORE {commands} ON {table} FOR EACH ROW {clause}",
    ]
