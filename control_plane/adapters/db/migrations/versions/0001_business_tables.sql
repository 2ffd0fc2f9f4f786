-- Tables of tenants, deployments, runs, decisions and bundles, as in tables.py.

CREATE TABLE tenant (
    id text COLLATE "C" NOT NULL,
    slug text NOT NULL,
    legal_name text NOT NULL,
    domain text NOT NULL,
    country text NOT NULL,
    time_zone text NOT NULL,
    status text NOT NULL,
    waiting_on text,
    hold boolean NOT NULL,
    drifted boolean NOT NULL,
    mode text,
    region text,
    facts jsonb NOT NULL,
    decision jsonb NOT NULL,
    editors jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_tenant PRIMARY KEY (id),
    CONSTRAINT uq_tenant_slug UNIQUE (slug),
    CONSTRAINT ck_tenant_status CHECK (status IN (
        'deprovisioned', 'deprovisioning', 'failed', 'mode_conflict', 'pending',
        'provisioning', 'ready', 'requested'
    )),
    CONSTRAINT ck_tenant_waiting_on CHECK (waiting_on IN (
        'architect', 'customer', 'ops', 'platform'
    )),
    CONSTRAINT ck_tenant_mode CHECK (mode IN ('A', 'B', 'C'))
);
CREATE INDEX ix_tenant_status ON tenant (status);

CREATE TABLE contract (
    id text COLLATE "C" NOT NULL,
    provider text NOT NULL,
    envelope_id text NOT NULL,
    contract_id text NOT NULL,
    digest text NOT NULL,
    signed_at timestamptz NOT NULL,
    subscription text NOT NULL,
    mode text,
    seats integer,
    tenant_id text COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_contract PRIMARY KEY (id),
    CONSTRAINT uq_contract_provider_envelope_id UNIQUE (provider, envelope_id),
    CONSTRAINT ck_contract_mode CHECK (mode IN ('A', 'B', 'C')),
    CONSTRAINT fk_contract_tenant_id_tenant
        FOREIGN KEY (tenant_id) REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_contract_tenant_id ON contract (tenant_id);

CREATE TABLE provisioning_request (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    contract_ref text COLLATE "C" NOT NULL,
    body jsonb NOT NULL,
    body_digest text NOT NULL,
    requested_by text NOT NULL,
    on_behalf_of text,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_provisioning_request PRIMARY KEY (id),
    CONSTRAINT fk_provisioning_request_tenant_id_tenant
        FOREIGN KEY (tenant_id) REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_provisioning_request_contract_ref_contract
        FOREIGN KEY (contract_ref) REFERENCES contract (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_provisioning_request_contract_ref ON provisioning_request (contract_ref);
CREATE INDEX ix_provisioning_request_tenant_id ON provisioning_request (tenant_id);

CREATE TABLE hub (
    id text COLLATE "C" NOT NULL,
    region text NOT NULL,
    cell text NOT NULL,
    capacity integer NOT NULL,
    status text NOT NULL,
    outputs jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_hub PRIMARY KEY (id),
    CONSTRAINT uq_hub_region_cell UNIQUE (region, cell),
    CONSTRAINT ck_hub_status CHECK (status IN (
        'failed', 'pending', 'provisioning', 'ready', 'requested'
    )),
    CONSTRAINT ck_hub_capacity CHECK (capacity >= 0)
);

CREATE TABLE deployment (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    hub_id text COLLATE "C",
    kind text NOT NULL,
    environment text NOT NULL,
    region text NOT NULL,
    account_id text NOT NULL,
    stack text NOT NULL,
    spec jsonb NOT NULL,
    spec_version integer NOT NULL,
    stack_salt text,
    encrypted_key text,
    state_digest text,
    outputs jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_deployment PRIMARY KEY (id),
    CONSTRAINT uq_deployment_stack UNIQUE (stack),
    CONSTRAINT ck_deployment_kind CHECK (kind IN ('customer_run', 'dedicated', 'hub', 'slice')),
    CONSTRAINT ck_deployment_spec_version CHECK (spec_version >= 1),
    CONSTRAINT fk_deployment_tenant_id_tenant
        FOREIGN KEY (tenant_id) REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_deployment_hub_id_hub
        FOREIGN KEY (hub_id) REFERENCES hub (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_deployment_hub_id ON deployment (hub_id);
CREATE INDEX ix_deployment_tenant_id ON deployment (tenant_id);

CREATE TABLE account (
    id text COLLATE "C" NOT NULL,
    account_id text NOT NULL,
    role_arn text,
    external_id text,
    shared boolean NOT NULL,
    claimed_by text COLLATE "C",
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_account PRIMARY KEY (id),
    CONSTRAINT uq_account_account_id UNIQUE (account_id),
    CONSTRAINT uq_account_claimed_by UNIQUE (claimed_by),
    CONSTRAINT ck_account_shared_is_never_claimed CHECK (NOT shared OR claimed_by IS NULL),
    CONSTRAINT fk_account_claimed_by_deployment
        FOREIGN KEY (claimed_by) REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE run (
    id text COLLATE "C" NOT NULL,
    deployment_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    kind text NOT NULL,
    status text NOT NULL,
    attempt integer NOT NULL,
    requested_by text NOT NULL,
    on_behalf_of text,
    requested_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    blocked_on text,
    blocked_from text,
    plan_id text COLLATE "C",
    approval_id text COLLATE "C",
    supersedes text COLLATE "C",
    retry_of text COLLATE "C",
    cancel_requested boolean NOT NULL,
    call_ids jsonb NOT NULL,
    lock_ids jsonb NOT NULL,
    state_before text,
    states_written jsonb NOT NULL,
    checks jsonb NOT NULL,
    error jsonb,
    updated_at timestamptz NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_run PRIMARY KEY (id),
    CONSTRAINT ck_run_kind CHECK (kind IN ('destroy', 'provision', 'refresh', 'update')),
    CONSTRAINT ck_run_status CHECK (status IN (
        'applied', 'applying', 'approved', 'awaiting_approval', 'blocked', 'canceled',
        'errored', 'expired', 'no_changes', 'planning', 'policy_failed', 'rejected',
        'requested', 'superseded', 'verifying'
    )),
    CONSTRAINT ck_run_blocked_on CHECK (blocked_on IN (
        'foreign_lock', 'hub_unavailable', 'no_account', 'pending_unresolved', 'state_moved'
    )),
    CONSTRAINT ck_run_blocked_from CHECK (blocked_from IN (
        'applied', 'applying', 'approved', 'awaiting_approval', 'blocked', 'canceled',
        'errored', 'expired', 'no_changes', 'planning', 'policy_failed', 'rejected',
        'requested', 'superseded', 'verifying'
    )),
    CONSTRAINT ck_run_blocked_names_what CHECK ((status = 'blocked') = (blocked_on IS NOT NULL)),
    CONSTRAINT ck_run_attempt CHECK (attempt >= 1),
    CONSTRAINT fk_run_deployment_id_deployment
        FOREIGN KEY (deployment_id) REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_run_tenant_id_tenant
        FOREIGN KEY (tenant_id) REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_run_supersedes_run
        FOREIGN KEY (supersedes) REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_run_retry_of_run
        FOREIGN KEY (retry_of) REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_run_deployment_id ON run (deployment_id);
CREATE INDEX ix_run_status ON run (status);
CREATE INDEX ix_run_tenant_id ON run (tenant_id);
CREATE UNIQUE INDEX uq_run_one_applies_per_deployment ON run (deployment_id)
    WHERE status IN ('applying', 'verifying')
        OR status = 'blocked' AND blocked_from IN ('applying', 'verifying');

CREATE TABLE run_event (
    run_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    time timestamptz NOT NULL,
    kind text NOT NULL,
    body jsonb NOT NULL,
    CONSTRAINT pk_run_event PRIMARY KEY (run_id, seq),
    CONSTRAINT ck_run_event_seq CHECK (seq >= 1),
    CONSTRAINT fk_run_event_run_id_run
        FOREIGN KEY (run_id) REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE plan (
    id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    deployment_id text COLLATE "C" NOT NULL,
    digest text NOT NULL,
    parts jsonb NOT NULL,
    operations jsonb NOT NULL,
    resources jsonb NOT NULL,
    summary jsonb NOT NULL,
    irreversible jsonb NOT NULL,
    evaluation jsonb NOT NULL,
    saved_plan_ref text,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_plan PRIMARY KEY (id),
    CONSTRAINT fk_plan_run_id_run
        FOREIGN KEY (run_id) REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_plan_deployment_id_deployment
        FOREIGN KEY (deployment_id) REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_plan_run_id ON plan (run_id);

CREATE TABLE approval (
    id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    plan_id text COLLATE "C" NOT NULL,
    plan_digest text NOT NULL,
    tenant_id text COLLATE "C",
    status text NOT NULL,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_approval PRIMARY KEY (id),
    CONSTRAINT uq_approval_plan_id UNIQUE (plan_id),
    CONSTRAINT ck_approval_status CHECK (status IN (
        'approved', 'canceled', 'consumed', 'expired', 'rejected', 'superseded', 'waiting'
    )),
    CONSTRAINT fk_approval_run_id_run
        FOREIGN KEY (run_id) REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_approval_plan_id_plan
        FOREIGN KEY (plan_id) REFERENCES plan (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_approval_tenant_id_tenant
        FOREIGN KEY (tenant_id) REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_approval_run_id ON approval (run_id);
CREATE INDEX ix_approval_status ON approval (status);
CREATE INDEX ix_approval_tenant_id ON approval (tenant_id);

CREATE TABLE barred (
    id text COLLATE "C" NOT NULL,
    approval_id text COLLATE "C" NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT pk_barred PRIMARY KEY (id),
    CONSTRAINT uq_barred_approval_id_subject UNIQUE (approval_id, subject),
    CONSTRAINT fk_barred_approval_id_approval
        FOREIGN KEY (approval_id) REFERENCES approval (id) DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE decision (
    id text COLLATE "C" NOT NULL,
    approval_id text COLLATE "C" NOT NULL,
    decision text NOT NULL,
    plan_digest text NOT NULL,
    actor_id text NOT NULL,
    actor_kind text NOT NULL,
    reason text NOT NULL,
    decided_at timestamptz NOT NULL,
    CONSTRAINT pk_decision PRIMARY KEY (id),
    CONSTRAINT uq_decision_approval_id_actor_id UNIQUE (approval_id, actor_id),
    CONSTRAINT ck_decision_decision CHECK (decision IN ('approve', 'reject')),
    CONSTRAINT ck_decision_actor_kind CHECK (actor_kind IN ('service', 'system', 'user')),
    CONSTRAINT fk_decision_approval_id_approval
        FOREIGN KEY (approval_id) REFERENCES approval (id) DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE bundle (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    deployment_id text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    status text NOT NULL,
    accepted_by text,
    inputs jsonb NOT NULL,
    rehearsal text NOT NULL,
    content_digest text,
    archive_digest text,
    archive_name text,
    files jsonb NOT NULL,
    checks jsonb NOT NULL,
    error jsonb,
    expires_at timestamptz,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_bundle PRIMARY KEY (id),
    CONSTRAINT uq_bundle_deployment_id_number UNIQUE (deployment_id, number),
    CONSTRAINT ck_bundle_status CHECK (status IN (
        'accepted', 'applied', 'awaiting_architect', 'build_failed', 'building', 'built',
        'expired', 'handed_over', 'superseded'
    )),
    CONSTRAINT ck_bundle_rehearsal CHECK (rehearsal IN ('full', 'none', 'quick')),
    CONSTRAINT ck_bundle_number CHECK (number >= 1),
    CONSTRAINT fk_bundle_tenant_id_tenant
        FOREIGN KEY (tenant_id) REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_bundle_deployment_id_deployment
        FOREIGN KEY (deployment_id) REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_bundle_status ON bundle (status);
CREATE INDEX ix_bundle_tenant_id ON bundle (tenant_id);
CREATE UNIQUE INDEX uq_bundle_one_is_live_per_deployment ON bundle (deployment_id)
    WHERE status IN (
        'accepted', 'awaiting_architect', 'build_failed', 'building', 'built', 'handed_over'
    );

CREATE TABLE handover (
    id text COLLATE "C" NOT NULL,
    bundle_id text COLLATE "C" NOT NULL,
    recipient_name text NOT NULL,
    recipient_email text NOT NULL,
    handed_over_by text NOT NULL,
    handed_over_at timestamptz NOT NULL,
    CONSTRAINT pk_handover PRIMARY KEY (id),
    CONSTRAINT fk_handover_bundle_id_bundle
        FOREIGN KEY (bundle_id) REFERENCES bundle (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_handover_bundle_id ON handover (bundle_id);

CREATE TABLE download_link (
    id text COLLATE "C" NOT NULL,
    bundle_id text COLLATE "C" NOT NULL,
    handover_id text COLLATE "C" NOT NULL,
    token_hash text NOT NULL,
    expires_at timestamptz NOT NULL,
    uses integer NOT NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT pk_download_link PRIMARY KEY (id),
    CONSTRAINT uq_download_link_token_hash UNIQUE (token_hash),
    CONSTRAINT ck_download_link_uses CHECK (uses >= 0),
    CONSTRAINT fk_download_link_bundle_id_bundle
        FOREIGN KEY (bundle_id) REFERENCES bundle (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_download_link_handover_id_handover
        FOREIGN KEY (handover_id) REFERENCES handover (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_download_link_bundle_id ON download_link (bundle_id);

CREATE TABLE receipt (
    id text COLLATE "C" NOT NULL,
    bundle_id text COLLATE "C" NOT NULL,
    digest text NOT NULL,
    body jsonb NOT NULL,
    registered_by text NOT NULL,
    registered_at timestamptz NOT NULL,
    CONSTRAINT pk_receipt PRIMARY KEY (id),
    CONSTRAINT uq_receipt_bundle_id UNIQUE (bundle_id),
    CONSTRAINT fk_receipt_bundle_id_bundle
        FOREIGN KEY (bundle_id) REFERENCES bundle (id) DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE idempotency_record (
    id text COLLATE "C" NOT NULL,
    body_digest text NOT NULL,
    response_status integer,
    response_body jsonb,
    response_headers jsonb NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_idempotency_record PRIMARY KEY (id)
);
CREATE INDEX ix_idempotency_record_expires_at ON idempotency_record (expires_at);

ALTER TABLE run ADD CONSTRAINT fk_run_plan_id_plan
    FOREIGN KEY (plan_id) REFERENCES plan (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE run ADD CONSTRAINT fk_run_approval_id_approval
    FOREIGN KEY (approval_id) REFERENCES approval (id) DEFERRABLE INITIALLY DEFERRED;
