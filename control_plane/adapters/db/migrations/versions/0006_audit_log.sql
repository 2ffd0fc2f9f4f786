ALTER TABLE audit_tree ADD COLUMN held text;
CREATE INDEX ix_audit_tree_held ON audit_tree (tenant_id) WHERE held IS NOT NULL;
CREATE INDEX ix_audit_pending_enqueued_at ON audit_pending (enqueued_at);

CREATE TABLE audit_served (
    tenant_id text NOT NULL,
    size bigint NOT NULL,
    CONSTRAINT pk_audit_served PRIMARY KEY (tenant_id, size)
);
-- row security binds the owner too
ALTER TABLE audit_checkpoint NO FORCE ROW LEVEL SECURITY;
INSERT INTO audit_served (tenant_id, size) SELECT tenant_id, size FROM audit_checkpoint;
ALTER TABLE audit_checkpoint FORCE ROW LEVEL SECURITY;

-- which logs there must be: an auditor compares
GRANT SELECT (id, created_at) ON tenant TO tenantplane_auditor;
