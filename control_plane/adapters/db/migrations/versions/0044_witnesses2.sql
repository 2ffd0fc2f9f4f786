ALTER TABLE audit_checkpoint
    ADD CONSTRAINT ck_audit_checkpoint_of_root
        CHECK (tenant_id = 'root' OR (cosigs = '[]'::jsonb AND quorum_at IS NULL)),
    ADD CONSTRAINT ck_audit_checkpoint_quorum
        CHECK (quorum_at IS NULL OR cosigs <> '[]'::jsonb);

-- what each witness did last, by its name in the trust policy
CREATE TABLE audit_witness (
    name text NOT NULL,
    key_id text,
    size bigint NOT NULL DEFAULT 0,
    cosigned_at timestamptz,
    fault text,
    fault_since timestamptz,
    CONSTRAINT pk_audit_witness PRIMARY KEY (name),
    CONSTRAINT ck_audit_witness_fault CHECK ((fault IS NULL) = (fault_since IS NULL)),
    CONSTRAINT ck_audit_witness_cosigned CHECK ((size > 0) = (cosigned_at IS NOT NULL))
);
