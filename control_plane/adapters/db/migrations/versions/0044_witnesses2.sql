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

-- logs that the signer set aside; a finding stays until a person has released it
CREATE TABLE audit_quarantine (
    id bigint GENERATED ALWAYS AS IDENTITY,
    tree text NOT NULL,
    why text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at timestamptz,
    released_at timestamptz,
    released_by text,
    CONSTRAINT pk_audit_quarantine PRIMARY KEY (id),
    CONSTRAINT ck_audit_quarantine_tree_name
        CHECK (tree ~ '^(platform|root|ten_[0-9A-HJKMNP-TV-Z]{26})$'),
    CONSTRAINT ck_audit_quarantine_released CHECK (
        (released_at IS NULL) = (released_by IS NULL)
        AND (released_at IS NULL OR ended_at IS NOT NULL)
    )
);
CREATE UNIQUE INDEX uq_audit_quarantine_open ON audit_quarantine (tree)
    WHERE released_at IS NULL;
