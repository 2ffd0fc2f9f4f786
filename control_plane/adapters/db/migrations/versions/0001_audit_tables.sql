-- Tables of the audit log, as in audit_tables.py.

CREATE TABLE audit_pending (
    id bigint GENERATED ALWAYS AS IDENTITY,
    event_id uuid NOT NULL,
    tenant_id text NOT NULL,
    body bytea NOT NULL,
    enqueued_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_audit_pending PRIMARY KEY (id),
    CONSTRAINT uq_audit_pending_event_id UNIQUE (event_id),
    CONSTRAINT ck_audit_pending_tree_name CHECK (
        tenant_id ~ '^(platform|ten_[0-9A-HJKMNP-TV-Z]{26})$'
    ),
    CONSTRAINT ck_audit_pending_body_size CHECK (octet_length(body) BETWEEN 1 AND 61440)
);

CREATE TABLE audit_entry (
    tenant_id text NOT NULL,
    idx bigint NOT NULL,
    event_id uuid NOT NULL,
    entry bytea NOT NULL,
    leaf bytea NOT NULL,
    CONSTRAINT pk_audit_entry PRIMARY KEY (tenant_id, idx),
    CONSTRAINT uq_audit_entry_event_id UNIQUE (event_id),
    CONSTRAINT ck_audit_entry_tree_name CHECK (
        tenant_id ~ '^(platform|ten_[0-9A-HJKMNP-TV-Z]{26})$'
    ),
    CONSTRAINT ck_audit_entry_idx CHECK (idx >= 0),
    CONSTRAINT ck_audit_entry_entry_size CHECK (octet_length(entry) BETWEEN 1 AND 65535),
    CONSTRAINT ck_audit_entry_leaf_size CHECK (octet_length(leaf) = 32)
);

CREATE TABLE audit_tree (
    tenant_id text NOT NULL,
    size bigint NOT NULL,
    frontier bytea NOT NULL,
    unsigned_since timestamptz,
    CONSTRAINT pk_audit_tree PRIMARY KEY (tenant_id),
    CONSTRAINT ck_audit_tree_size CHECK (size >= 0 AND octet_length(frontier) <= 64 * 32)
);
CREATE INDEX ix_audit_tree_unsigned_since ON audit_tree (unsigned_since)
    WHERE unsigned_since IS NOT NULL;

CREATE TABLE audit_checkpoint (
    tenant_id text NOT NULL,
    size bigint NOT NULL,
    note text NOT NULL,
    cosigs jsonb DEFAULT '[]'::jsonb NOT NULL,
    signed_at timestamptz DEFAULT clock_timestamp() NOT NULL,
    CONSTRAINT pk_audit_checkpoint PRIMARY KEY (tenant_id, size),
    CONSTRAINT ck_audit_checkpoint_size CHECK (size > 0)
);
CREATE INDEX ix_audit_checkpoint_signed_at ON audit_checkpoint (signed_at);

CREATE TABLE audit_disclosure (
    tenant_id text NOT NULL,
    event_id uuid NOT NULL,
    path text NOT NULL,
    salt bytea,
    value text,
    erased_at timestamptz,
    erasure_event uuid,
    CONSTRAINT pk_audit_disclosure PRIMARY KEY (tenant_id, event_id, path),
    CONSTRAINT ck_audit_disclosure_open_or_erased CHECK (
        (erased_at IS NULL AND octet_length(salt) = 32 AND value IS NOT NULL)
        OR (erased_at IS NOT NULL AND salt IS NULL AND value IS NULL AND erasure_event IS NOT NULL)
    )
);

CREATE TABLE audit_key (
    tenant_id text NOT NULL,
    key_name text NOT NULL,
    key_id text NOT NULL,
    vkey text NOT NULL,
    from_size bigint NOT NULL,
    to_size bigint,
    reason text NOT NULL,
    CONSTRAINT pk_audit_key PRIMARY KEY (tenant_id, key_name, key_id)
);

CREATE TABLE audit_subtree (
    tenant_id text NOT NULL,
    level integer NOT NULL,
    idx bigint NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT pk_audit_subtree PRIMARY KEY (tenant_id, level, idx),
    CONSTRAINT ck_audit_subtree_hash CHECK (level BETWEEN 1 AND 7 AND octet_length(hash) = 32)
);

CREATE TABLE audit_pointer (
    tenant_id text NOT NULL,
    kind text NOT NULL,
    value text NOT NULL,
    idx bigint NOT NULL,
    CONSTRAINT pk_audit_pointer PRIMARY KEY (tenant_id, kind, value)
);
