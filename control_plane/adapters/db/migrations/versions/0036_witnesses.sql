ALTER TABLE audit_entry DROP CONSTRAINT ck_audit_entry_tree_name,
    ADD CONSTRAINT ck_audit_entry_tree_name
        CHECK (tenant_id ~ '^(platform|root|ten_[0-9A-HJKMNP-TV-Z]{26})$');

-- the time since which a quorum of witnesses vouches for a checkpoint
ALTER TABLE audit_checkpoint ADD COLUMN quorum_at timestamptz,
    ADD CONSTRAINT ck_audit_checkpoint_cosigs CHECK (jsonb_typeof(cosigs) = 'array');
CREATE INDEX ix_audit_checkpoint_quorum ON audit_checkpoint (tenant_id, size)
    WHERE quorum_at IS NOT NULL;
CREATE INDEX ix_audit_checkpoint_cosigned ON audit_checkpoint (tenant_id, size)
    WHERE cosigs <> '[]'::jsonb;

-- where in the root log the head of a tree is
CREATE TABLE audit_root_leaf (
    tenant_id text NOT NULL,
    size bigint NOT NULL,
    idx bigint NOT NULL,
    CONSTRAINT pk_audit_root_leaf PRIMARY KEY (tenant_id, size),
    CONSTRAINT uq_audit_root_leaf_idx UNIQUE (idx),
    CONSTRAINT ck_audit_root_leaf_tree_name
        CHECK (tenant_id ~ '^(platform|ten_[0-9A-HJKMNP-TV-Z]{26})$'),
    CONSTRAINT ck_audit_root_leaf_numbers CHECK (size > 0 AND idx >= 0)
);
