-- What was chosen for a deployment beside the facts of its owner: size, version, zones.
ALTER TABLE deployment ADD COLUMN chosen jsonb NOT NULL DEFAULT '{}';
ALTER TABLE deployment ALTER COLUMN chosen DROP DEFAULT;

CREATE TABLE contract_amendment (
    number text NOT NULL,
    signed_at timestamptz NOT NULL,
    effective_on date,
    ends_on date,
    retention_until date,
    subscription text,
    seats integer,
    sla_uptime_min text,
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    contract_ref text COLLATE "C" NOT NULL,
    amended_by text NOT NULL,
    amended_at timestamptz NOT NULL,
    CONSTRAINT pk_contract_amendment PRIMARY KEY (id),
    CONSTRAINT uq_contract_amendment_contract_ref_number UNIQUE (contract_ref, number),
    CONSTRAINT fk_contract_amendment_tenant_id_tenant
        FOREIGN KEY (tenant_id) REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_contract_amendment_contract_ref_contract
        FOREIGN KEY (contract_ref) REFERENCES contract (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_contract_amendment_tenant_id ON contract_amendment (tenant_id, id);
GRANT SELECT, INSERT ON contract_amendment TO tenantplane_app;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON contract_amendment
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();

-- What was promised to be kept until a day is not given up earlier. The tenant's row is locked, so
-- that of two amendments at once the second sees the first.
CREATE FUNCTION tenantplane_keep_retention() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM FROM tenant WHERE id = NEW.tenant_id FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM contract_amendment
        WHERE tenant_id = NEW.tenant_id AND retention_until > NEW.retention_until
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'retention_is_never_shortened',
            MESSAGE = 'the data of the tenant is kept for longer';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_retention BEFORE INSERT ON contract_amendment
    FOR EACH ROW WHEN (NEW.retention_until IS NOT NULL)
    EXECUTE FUNCTION tenantplane_keep_retention();

-- A Hub has room for the slices on it.
CREATE FUNCTION tenantplane_keep_room() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.capacity < (
        SELECT count(*) FROM deployment
        WHERE hub_id = NEW.id AND kind = 'slice' AND removed_at IS NULL
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'hub_has_room_for_its_slices',
            MESSAGE = 'the Hub has more slices than this capacity';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_room BEFORE UPDATE ON hub
    FOR EACH ROW WHEN (NEW.capacity < OLD.capacity) EXECUTE FUNCTION tenantplane_keep_room();

-- A run of the kind plan says what a spec that nobody asked for yet would change, and ends. It
-- takes no slot, and does not count as the newest run of its deployment.
ALTER TABLE run ADD COLUMN draft jsonb;
ALTER TABLE run DROP CONSTRAINT ck_run_kind, ADD CONSTRAINT ck_run_kind CHECK (
    kind IN ('destroy', 'plan', 'provision', 'refresh', 'update')
);
ALTER TABLE run DROP CONSTRAINT ck_run_status, ADD CONSTRAINT ck_run_status CHECK (status IN (
    'applied', 'applying', 'approved', 'awaiting_approval', 'blocked', 'canceled', 'errored',
    'expired', 'no_changes', 'planned', 'planning', 'policy_failed', 'rejected', 'requested',
    'superseded', 'verifying'
));
ALTER TABLE run DROP CONSTRAINT ck_run_blocked_from, ADD CONSTRAINT ck_run_blocked_from CHECK (
    blocked_from IN (
        'applied', 'applying', 'approved', 'awaiting_approval', 'blocked', 'canceled', 'errored',
        'expired', 'no_changes', 'planned', 'planning', 'policy_failed', 'rejected', 'requested',
        'superseded', 'verifying'
    )
);
ALTER TABLE run ADD CONSTRAINT ck_run_status_of_plan CHECK (
    CASE WHEN kind = 'plan' THEN
        status IN ('canceled', 'errored', 'planned', 'planning', 'requested', 'superseded')
    ELSE status <> 'planned' END
);
ALTER TABLE run ADD CONSTRAINT ck_run_draft_of_plan CHECK ((kind = 'plan') = (draft IS NOT NULL));
ALTER TABLE run ADD CONSTRAINT ck_run_plan_asks_nobody CHECK (
    kind <> 'plan' OR approval_id IS NULL AND started_at IS NULL AND evidence_id IS NULL
);
DROP INDEX uq_run_one_applies_per_deployment;
CREATE UNIQUE INDEX uq_run_one_applies_per_deployment ON run (deployment_id)
    WHERE kind NOT IN ('plan', 'refresh') AND (
        status IN ('applying', 'verifying')
        OR status = 'blocked' AND blocked_from IN ('applying', 'verifying')
    );
DROP INDEX ix_run_changing;
CREATE INDEX ix_run_changing ON run (deployment_id, number) WHERE kind NOT IN ('plan', 'refresh');
DROP INDEX ix_run_newest;
CREATE INDEX ix_run_newest ON run (tenant_id, requested_at, id)
    WHERE kind NOT IN ('plan', 'refresh');

-- While a pause stands no worker takes anything up from the queue.
CREATE TABLE queue_pause (
    id text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    paused_by text NOT NULL,
    paused_at timestamptz NOT NULL,
    resumed_by text,
    resume_reason text,
    resumed_at timestamptz,
    version integer NOT NULL,
    CONSTRAINT pk_queue_pause PRIMARY KEY (id),
    CONSTRAINT ck_queue_pause_resumed_by_somebody CHECK (
        num_nulls(resumed_by, resume_reason, resumed_at) IN (0, 3)
    )
);
CREATE UNIQUE INDEX uq_queue_pause_one_stands ON queue_pause ((true)) WHERE resumed_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON queue_pause TO tenantplane_app;

-- A pause is ended once, and otherwise never changed.
CREATE FUNCTION tenantplane_check_pause() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.resumed_at IS NULL AND NEW.resumed_at IS NOT NULL AND (
        NEW.id, NEW.reason, NEW.paused_by, NEW.paused_at
    ) IS NOT DISTINCT FROM (OLD.id, OLD.reason, OLD.paused_by, OLD.paused_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'pause_ends_once',
        MESSAGE = 'a pause of the queue is ended once, and stays as a record';
END $$;
CREATE TRIGGER check_pause BEFORE UPDATE OR DELETE ON queue_pause
    FOR EACH ROW EXECUTE FUNCTION tenantplane_check_pause();
