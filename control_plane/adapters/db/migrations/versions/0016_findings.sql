-- A look applies nothing: it takes no slot, one is open for each deployment, and the newest run of
-- a deployment or of a tenant is the newest of those that change something.
DROP INDEX uq_run_one_applies_per_deployment;
CREATE UNIQUE INDEX uq_run_one_applies_per_deployment ON run (deployment_id)
    WHERE kind <> 'refresh' AND (
        status IN ('applying', 'verifying')
        OR status = 'blocked' AND blocked_from IN ('applying', 'verifying')
    );
CREATE UNIQUE INDEX uq_run_one_look_per_deployment ON run (deployment_id)
    WHERE kind = 'refresh' AND status IN ('blocked', 'requested', 'verifying');
CREATE INDEX ix_run_changing ON run (deployment_id, number) WHERE kind <> 'refresh';
DROP INDEX ix_run_newest;
CREATE INDEX ix_run_newest ON run (tenant_id, requested_at, id) WHERE kind <> 'refresh';

CREATE TABLE finding (
    id text COLLATE "C" NOT NULL,
    deployment_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    kind text NOT NULL,
    subject text NOT NULL,
    type text NOT NULL,
    path text NOT NULL,
    expected jsonb,
    actual jsonb,
    first_seen_by text COLLATE "C" NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_by text COLLATE "C" NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    closed_by text COLLATE "C",
    closed_at timestamp with time zone,
    version integer NOT NULL,
    CONSTRAINT pk_finding PRIMARY KEY (id),
    CONSTRAINT fk_finding_deployment_id_deployment FOREIGN KEY (deployment_id)
        REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_finding_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_finding_first_seen_by_run FOREIGN KEY (first_seen_by)
        REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_finding_last_seen_by_run FOREIGN KEY (last_seen_by)
        REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_finding_closed_by_run FOREIGN KEY (closed_by)
        REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_finding_kind CHECK (kind IN ('changed', 'foreign', 'missing')),
    CONSTRAINT ck_finding_closed_by_a_run CHECK ((closed_by IS NULL) = (closed_at IS NULL))
);
CREATE UNIQUE INDEX uq_finding_one_is_open ON finding (deployment_id, kind, subject, path)
    WHERE closed_at IS NULL;
CREATE INDEX ix_finding_deployment_id ON finding (deployment_id);
CREATE INDEX ix_finding_tenant_id ON finding (tenant_id, id);
CREATE INDEX ix_finding_open ON finding (tenant_id, id) WHERE closed_at IS NULL;
CREATE INDEX ix_tenant_drifted ON tenant (drifted, id);
GRANT SELECT, INSERT, UPDATE ON finding TO tenantplane_app;

-- What was applied before is looked at within a day, not all of it at once.
ALTER TABLE timer DROP CONSTRAINT ck_timer_kind, ADD CONSTRAINT ck_timer_kind CHECK (kind IN (
    'approval_expiry', 'bundle_expiry', 'bundle_watch', 'drift_look', 'retention', 'run_details',
    'run_turn', 'run_watch'
));
INSERT INTO timer (kind, subject, due_at)
    SELECT 'drift_look', id, now() + random() * interval '1 day' FROM deployment
    WHERE applied_spec > 0;
