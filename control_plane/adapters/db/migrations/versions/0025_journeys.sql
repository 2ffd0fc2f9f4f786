ALTER TABLE timer DROP CONSTRAINT ck_timer_kind, ADD CONSTRAINT ck_timer_kind CHECK (kind IN (
    'approval_expiry', 'bundle_expiry', 'bundle_watch', 'delivery_turn', 'drift_look',
    'journey_turn', 'retention', 'run_details', 'run_turn', 'run_watch', 'saga_turn', 'waiver_end'
));

CREATE TABLE playbook_document (
    id text COLLATE "C" NOT NULL,
    key text NOT NULL,
    version integer NOT NULL,
    content jsonb NOT NULL,
    kept_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_playbook_document PRIMARY KEY (id)
);
GRANT SELECT, INSERT ON playbook_document TO tenantplane_app;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON playbook_document
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();

CREATE TABLE journey (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    contract_ref text COLLATE "C" NOT NULL,
    playbook_key text NOT NULL,
    playbook_version integer NOT NULL,
    playbook_digest text COLLATE "C" NOT NULL,
    status text NOT NULL,
    anchors jsonb NOT NULL,
    reason text,
    turn integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    updated_at timestamp with time zone NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_journey PRIMARY KEY (id),
    CONSTRAINT uq_journey_contract_ref_playbook_key UNIQUE (contract_ref, playbook_key),
    CONSTRAINT fk_journey_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_journey_contract_ref_contract FOREIGN KEY (contract_ref)
        REFERENCES contract (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_journey_playbook_digest_playbook_document FOREIGN KEY (playbook_digest)
        REFERENCES playbook_document (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_journey_status CHECK (status IN ('canceled', 'canceling', 'done', 'open')),
    CONSTRAINT ck_journey_ended CHECK ((status IN ('canceling', 'open')) = (ended_at IS NULL)),
    CONSTRAINT ck_journey_canceled_for_a_reason
        CHECK (status NOT IN ('canceled', 'canceling') OR reason IS NOT NULL)
);
CREATE INDEX ix_journey_tenant_id ON journey (tenant_id, id);
CREATE INDEX ix_journey_status ON journey (status, id);
CREATE INDEX ix_journey_playbook_digest ON journey (playbook_digest);
GRANT SELECT, INSERT, UPDATE ON journey TO tenantplane_app;

CREATE TABLE journey_step (
    id text COLLATE "C" NOT NULL,
    journey_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    key text NOT NULL,
    kind text NOT NULL,
    owner text NOT NULL,
    round integer NOT NULL,
    status text NOT NULL,
    outcome text,
    reason text,
    due_at timestamp with time zone,
    wakes_at timestamp with time zone,
    attempts integer NOT NULL,
    failures integer NOT NULL,
    tried_at timestamp with time zone,
    error jsonb,
    result jsonb NOT NULL,
    started_at timestamp with time zone,
    ended_at timestamp with time zone,
    undone_at timestamp with time zone,
    updated_at timestamp with time zone NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_journey_step PRIMARY KEY (id),
    CONSTRAINT uq_journey_step_journey_id_key UNIQUE (journey_id, key),
    CONSTRAINT fk_journey_step_journey_id_journey FOREIGN KEY (journey_id)
        REFERENCES journey (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_journey_step_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_journey_step_kind
        CHECK (kind IN ('action', 'approval', 'form', 'gate', 'meeting', 'task')),
    CONSTRAINT ck_journey_step_owner CHECK (owner IN (
        'automation', 'business_sponsor', 'csm', 'csm_lead', 'executive_sponsor',
        'it_admin', 'ops', 'sales', 'solutions_architect', 'solutions_engineer'
    )),
    CONSTRAINT ck_journey_step_status CHECK (status IN (
        'asked', 'canceled', 'done', 'failed', 'scheduled', 'skipped', 'waiting', 'working'
    )),
    CONSTRAINT ck_journey_step_ended
        CHECK ((status IN ('canceled', 'done', 'skipped')) = (ended_at IS NOT NULL)),
    CONSTRAINT ck_journey_step_failed_with_its_error
        CHECK (status <> 'failed' OR error IS NOT NULL),
    CONSTRAINT ck_journey_step_skipped_for_a_reason
        CHECK (status <> 'skipped' OR reason IS NOT NULL),
    CONSTRAINT ck_journey_step_scheduled_for_a_time
        CHECK (status <> 'scheduled' OR wakes_at IS NOT NULL),
    CONSTRAINT ck_journey_step_tried_at_work
        CHECK (tried_at IS NULL OR status IN ('canceled', 'done', 'working')),
    CONSTRAINT ck_journey_step_undone_if_done CHECK (undone_at IS NULL OR status IN ('canceled', 'done')),
    CONSTRAINT ck_journey_step_counted CHECK (round > 0 AND attempts >= 0 AND failures >= 0)
);
CREATE INDEX ix_journey_step_tenant_id ON journey_step (tenant_id);
CREATE INDEX ix_journey_step_due_at ON journey_step (due_at, journey_id)
    WHERE status NOT IN ('canceled', 'done', 'skipped') AND due_at IS NOT NULL;
GRANT SELECT, INSERT, UPDATE ON journey_step TO tenantplane_app;

CREATE TABLE task (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    about_kind text NOT NULL,
    about_id text NOT NULL,
    owner text NOT NULL,
    assignee text,
    title text NOT NULL,
    instructions text NOT NULL,
    due_at timestamp with time zone,
    status text NOT NULL,
    answer jsonb,
    cause jsonb,
    dedupe_key text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    ended_by text,
    version integer NOT NULL,
    CONSTRAINT pk_task PRIMARY KEY (id),
    CONSTRAINT fk_task_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_task_owner CHECK (owner IN (
        'automation', 'business_sponsor', 'csm', 'csm_lead', 'executive_sponsor',
        'it_admin', 'ops', 'sales', 'solutions_architect', 'solutions_engineer'
    )),
    CONSTRAINT ck_task_status CHECK (status IN ('canceled', 'done', 'open')),
    CONSTRAINT ck_task_ended CHECK ((status = 'open') = (ended_at IS NULL)),
    CONSTRAINT ck_task_ended_by_somebody CHECK ((ended_at IS NULL) = (ended_by IS NULL))
);
CREATE UNIQUE INDEX uq_task_one_is_open ON task (dedupe_key) WHERE status = 'open';
CREATE INDEX ix_task_tenant_id ON task (tenant_id, id);
CREATE INDEX ix_task_status ON task (status, owner, id);
CREATE INDEX ix_task_about_id ON task (about_id, id);
GRANT SELECT, INSERT, UPDATE ON task TO tenantplane_app;

-- A journey keeps its contract and its playbook, and begins as open.
CREATE FUNCTION tenantplane_keep_journey() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'open' THEN
            broken := 'journey_begins';
        END IF;
    ELSIF (NEW.id, NEW.tenant_id, NEW.contract_ref, NEW.playbook_key, NEW.playbook_version,
        NEW.playbook_digest, NEW.started_at) IS DISTINCT FROM
        (OLD.id, OLD.tenant_id, OLD.contract_ref, OLD.playbook_key, OLD.playbook_version,
        OLD.playbook_digest, OLD.started_at) OR NEW.turn < OLD.turn THEN
        broken := 'journey_is_kept';
    ELSIF NOT NEW.anchors @> OLD.anchors THEN
        broken := 'journey_anchors';
    ELSIF NEW.status <> OLD.status AND NOT (
        OLD.status = 'open' AND NEW.status IN ('canceling', 'done')
        OR OLD.status = 'done' AND NEW.status = 'canceling'
        OR OLD.status = 'canceling' AND NEW.status = 'canceled'
    ) THEN
        broken := 'journey_moves';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'a journey keeps what it began with';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_journey BEFORE INSERT OR UPDATE ON journey
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_journey();

-- A step moves as its table says; in a next round it begins anew.
CREATE FUNCTION tenantplane_move_journey_step() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'waiting' OR NEW.round <> 1 THEN
            broken := 'journey_step_begins';
        END IF;
    ELSIF (NEW.id, NEW.journey_id, NEW.tenant_id, NEW.key, NEW.kind, NEW.owner) IS DISTINCT FROM
        (OLD.id, OLD.journey_id, OLD.tenant_id, OLD.key, OLD.kind, OLD.owner) THEN
        broken := 'journey_step_is_kept';
    ELSIF NEW.round = OLD.round + 1 AND NEW.status = 'waiting' THEN
        RETURN NEW;
    ELSIF NEW.round <> OLD.round THEN
        broken := 'journey_step_rounds';
    ELSIF NEW.attempts < OLD.attempts AND NEW.status <> 'working' THEN
        broken := 'journey_step_counts';
    ELSIF NEW.status <> OLD.status AND NOT (
        OLD.status = 'waiting'
            AND NEW.status IN ('asked', 'canceled', 'scheduled', 'skipped', 'working')
        OR OLD.status = 'scheduled' AND NEW.status IN ('asked', 'canceled', 'skipped', 'working')
        OR OLD.status = 'working' AND NEW.status IN ('asked', 'canceled', 'done', 'failed', 'skipped')
        OR OLD.status = 'asked' AND NEW.status IN ('canceled', 'done', 'failed', 'skipped', 'working')
        OR OLD.status = 'failed' AND NEW.status IN ('canceled', 'done', 'skipped', 'working')
    ) THEN
        broken := 'journey_step_moves';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'a step of a journey moves as its table says';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER move_journey_step BEFORE INSERT OR UPDATE ON journey_step
    FOR EACH ROW EXECUTE FUNCTION tenantplane_move_journey_step();

-- A task that has ended stays as it is, and no task changes what it is about. What people answered
-- can be erased.
CREATE FUNCTION tenantplane_keep_task() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF (NEW.id, NEW.tenant_id, NEW.about_kind, NEW.about_id, NEW.dedupe_key, NEW.created_at)
        IS DISTINCT FROM
        (OLD.id, OLD.tenant_id, OLD.about_kind, OLD.about_id, OLD.dedupe_key, OLD.created_at) THEN
        broken := 'task_is_kept';
    ELSIF OLD.status <> 'open' AND (
        NEW.status, NEW.ended_at, NEW.ended_by, NEW.owner, NEW.assignee
    ) IS DISTINCT FROM (OLD.status, OLD.ended_at, OLD.ended_by, OLD.owner, OLD.assignee) THEN
        broken := 'task_has_ended';
    ELSIF OLD.status <> 'open' AND NEW.answer IS DISTINCT FROM OLD.answer
        AND NEW.answer IS NOT NULL THEN
        broken := 'task_has_ended';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'a task that has ended stays so';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_task BEFORE UPDATE ON task
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_task();

-- Whatever changes where a tenant stands lets its journeys look, also when the code that did it
-- knows of none. The time is that of the code, which is not the database's.
CREATE FUNCTION tenantplane_wake_journeys() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    INSERT INTO timer (kind, subject, due_at)
        SELECT 'journey_turn', journey.id, NEW.updated_at FROM journey
        WHERE journey.tenant_id = NEW.id
            AND (journey.status IN ('canceling', 'open') OR journey.status = 'done' AND NEW.removed_at IS NOT NULL)
        ORDER BY journey.id
        ON CONFLICT (kind, subject) DO UPDATE SET due_at = excluded.due_at;
    RETURN NULL;
END $$;
CREATE TRIGGER wake_journeys AFTER UPDATE ON tenant
    FOR EACH ROW WHEN (
        (NEW.status, NEW.waiting_on, NEW.hold, NEW.mode, NEW.removed_at, NEW.drifted)
        IS DISTINCT FROM
        (OLD.status, OLD.waiting_on, OLD.hold, OLD.mode, OLD.removed_at, OLD.drifted)
    ) EXECUTE FUNCTION tenantplane_wake_journeys();
