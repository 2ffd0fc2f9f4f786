ALTER TABLE deployment ADD COLUMN adopted jsonb NOT NULL DEFAULT '[]';
ALTER TABLE deployment ALTER COLUMN adopted DROP DEFAULT;
ALTER TABLE run ADD COLUMN scope jsonb,
    ADD CONSTRAINT ck_run_scope_of_update CHECK (scope IS NULL OR kind = 'update');
ALTER TABLE finding ADD COLUMN waived_until timestamp with time zone,
    ADD CONSTRAINT ck_finding_waived_while_open
        CHECK (closed_at IS NULL OR waived_until IS NULL),
    DROP CONSTRAINT ck_finding_kind,
    ADD CONSTRAINT ck_finding_kind
        CHECK (kind IN ('changed', 'foreign', 'misplaced', 'missing', 'remaining'));
ALTER TABLE timer DROP CONSTRAINT ck_timer_kind, ADD CONSTRAINT ck_timer_kind CHECK (kind IN (
    'approval_expiry', 'bundle_expiry', 'bundle_watch', 'drift_look', 'retention', 'run_details',
    'run_turn', 'run_watch', 'saga_turn', 'waiver_end'
));

CREATE TABLE finding_decision (
    id text COLLATE "C" NOT NULL,
    finding_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    verdict text NOT NULL,
    value_digest text NOT NULL,
    until timestamp with time zone,
    run_id text COLLATE "C",
    reason text NOT NULL,
    decided_by text NOT NULL,
    person text NOT NULL,
    actor_kind text NOT NULL,
    decided_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_finding_decision PRIMARY KEY (id),
    CONSTRAINT fk_finding_decision_finding_id_finding FOREIGN KEY (finding_id)
        REFERENCES finding (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_finding_decision_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_finding_decision_run_id_run FOREIGN KEY (run_id)
        REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_finding_decision_verdict CHECK (verdict IN ('adopt', 'revert', 'waive')),
    CONSTRAINT ck_finding_decision_actor_kind CHECK (actor_kind IN ('service', 'system', 'user')),
    CONSTRAINT ck_finding_decision_waived_until CHECK ((verdict = 'waive') = (until IS NOT NULL)),
    CONSTRAINT ck_finding_decision_carried_by_a_run
        CHECK ((verdict = 'waive') = (run_id IS NULL)),
    CONSTRAINT ck_finding_decision_by_a_person CHECK (actor_kind = 'user')
);
CREATE INDEX ix_finding_decision_finding_id ON finding_decision (finding_id, id);
CREATE INDEX ix_finding_decision_run_id ON finding_decision (run_id);
GRANT SELECT, INSERT ON finding_decision TO tenantplane_app;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON finding_decision
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();

-- What is decided is open, and can be decided so: nothing that no state has is reverted, nothing
-- that is where it was promised not to be is waived, and a waiver ends within 90 days. The finding
-- is locked, so that a look which closes it comes before or after.
CREATE FUNCTION tenantplane_check_finding_decision() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    found record;
    broken text;
BEGIN
    SELECT kind, closed_at, tenant_id INTO found FROM finding
        WHERE id = NEW.finding_id FOR NO KEY UPDATE;
    IF found.closed_at IS NOT NULL THEN
        broken := 'finding_is_open';
    ELSIF found.tenant_id IS DISTINCT FROM NEW.tenant_id THEN
        broken := 'finding_decision_is_its_owners';
    ELSIF found.kind = 'misplaced'
        OR found.kind = 'foreign' AND NEW.verdict <> 'waive'
        OR found.kind = 'missing' AND NEW.verdict = 'adopt' THEN
        broken := 'finding_can_be_decided_so';
    ELSIF NEW.until <= NEW.decided_at OR NEW.until > NEW.decided_at + interval '90 days' THEN
        broken := 'waiver_has_its_end';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'the finding cannot be decided so';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_finding_decision BEFORE INSERT ON finding_decision
    FOR EACH ROW EXECUTE FUNCTION tenantplane_check_finding_decision();

-- A finding is waived by a decision alone, until the date that it says.
CREATE FUNCTION tenantplane_check_waiver() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM finding_decision
        WHERE finding_id = NEW.id AND verdict = 'waive' AND until = NEW.waived_until
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'waiver_needs_decision',
            MESSAGE = 'a finding is waived by a decision alone';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_waiver BEFORE INSERT OR UPDATE ON finding
    FOR EACH ROW WHEN (NEW.waived_until IS NOT NULL)
    EXECUTE FUNCTION tenantplane_check_waiver();

-- What a run is limited to was decided before it was planned.
CREATE FUNCTION tenantplane_keep_scope() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_keeps_its_scope',
        MESSAGE = 'the scope of a run is never changed';
END $$;
CREATE TRIGGER keep_scope BEFORE UPDATE ON run
    FOR EACH ROW WHEN (NEW.scope IS DISTINCT FROM OLD.scope)
    EXECUTE FUNCTION tenantplane_keep_scope();

CREATE TABLE sweep (
    id text COLLATE "C" NOT NULL,
    requested_by text NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    minutes integer NOT NULL,
    CONSTRAINT pk_sweep PRIMARY KEY (id),
    CONSTRAINT ck_sweep_minutes CHECK (minutes >= 0)
);
CREATE TABLE sweep_item (
    sweep_id text COLLATE "C" NOT NULL,
    deployment_id text COLLATE "C" NOT NULL,
    outcome text,
    CONSTRAINT pk_sweep_item PRIMARY KEY (sweep_id, deployment_id),
    CONSTRAINT fk_sweep_item_sweep_id_sweep
        FOREIGN KEY (sweep_id) REFERENCES sweep (id) ON DELETE CASCADE,
    CONSTRAINT fk_sweep_item_deployment_id_deployment FOREIGN KEY (deployment_id)
        REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_sweep_item_outcome CHECK (
        outcome IN ('agrees', 'differs', 'gave_way', 'gone', 'not_looked_at')
    )
);
CREATE INDEX ix_sweep_item_waiting ON sweep_item (deployment_id) WHERE outcome IS NULL;
GRANT SELECT, INSERT, DELETE ON sweep TO tenantplane_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON sweep_item TO tenantplane_app;

CREATE TABLE residence (
    id text COLLATE "C" NOT NULL,
    deployment_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    promise jsonb NOT NULL,
    places jsonb NOT NULL,
    ok boolean,
    unanswered text NOT NULL,
    digest text NOT NULL,
    first_seen_by text COLLATE "C" NOT NULL,
    first_seen_at timestamp with time zone NOT NULL,
    last_seen_by text COLLATE "C" NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    searched_at timestamp with time zone,
    version integer NOT NULL,
    CONSTRAINT pk_residence PRIMARY KEY (id),
    CONSTRAINT fk_residence_deployment_id_deployment FOREIGN KEY (deployment_id)
        REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_residence_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_residence_first_seen_by_run FOREIGN KEY (first_seen_by)
        REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_residence_last_seen_by_run FOREIGN KEY (last_seen_by)
        REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_residence_deployment_id ON residence (deployment_id, id);
CREATE INDEX ix_residence_tenant_id ON residence (tenant_id, id);
GRANT SELECT, INSERT, UPDATE ON residence TO tenantplane_app;

-- What was found is never changed; only when it was found again.
CREATE FUNCTION tenantplane_keep_residence() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' OR (
        NEW.id, NEW.deployment_id, NEW.tenant_id, NEW.promise, NEW.places, NEW.ok, NEW.unanswered,
        NEW.digest, NEW.first_seen_by, NEW.first_seen_at
    ) IS DISTINCT FROM (
        OLD.id, OLD.deployment_id, OLD.tenant_id, OLD.promise, OLD.places, OLD.ok, OLD.unanswered,
        OLD.digest, OLD.first_seen_by, OLD.first_seen_at
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'residence_is_immutable',
            MESSAGE = 'evidence of where things are is never changed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_residence BEFORE UPDATE OR DELETE ON residence
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_residence();

-- Looks that found nothing are kept for some time; no other run, and no other evidence, is deleted.
CREATE FUNCTION tenantplane_keep_run() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF OLD.kind <> 'refresh' OR OLD.status NOT IN (
        'canceled', 'errored', 'no_changes', 'superseded'
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_is_kept',
            MESSAGE = 'only a look that has ended is deleted';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER keep_run BEFORE DELETE ON run
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_run();
CREATE FUNCTION tenantplane_keep_evidence() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM run WHERE id = OLD.run_id AND kind <> 'refresh') THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'evidence_is_immutable',
            MESSAGE = 'only the evidence of a look is deleted';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER refuse_change ON evidence;
CREATE TRIGGER refuse_change BEFORE UPDATE ON evidence
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();
CREATE TRIGGER keep_evidence BEFORE DELETE ON evidence
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_evidence();
GRANT DELETE ON run, evidence TO tenantplane_app;
CREATE INDEX ix_run_looks ON run (deployment_id, number) WHERE kind = 'refresh';
-- what may refer to a look that is deleted
CREATE INDEX ix_run_supersedes ON run (supersedes) WHERE supersedes IS NOT NULL;
CREATE INDEX ix_run_evidence_id ON run (evidence_id);
CREATE INDEX ix_deployment_evidence_id ON deployment (evidence_id);
CREATE INDEX ix_finding_first_seen_by ON finding (first_seen_by);
CREATE INDEX ix_finding_last_seen_by ON finding (last_seen_by);
CREATE INDEX ix_finding_closed_by ON finding (closed_by);
CREATE INDEX ix_residence_first_seen_by ON residence (first_seen_by);
CREATE INDEX ix_residence_last_seen_by ON residence (last_seen_by);
