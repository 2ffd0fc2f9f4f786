CREATE TABLE saga (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    hub_id text COLLATE "C",
    kind text NOT NULL,
    status text NOT NULL,
    step text NOT NULL,
    is_undoing boolean NOT NULL,
    reason text NOT NULL,
    requested_by text NOT NULL,
    requesters jsonb NOT NULL,
    data jsonb NOT NULL,
    waits_for text,
    due_at timestamptz,
    error jsonb,
    turn integer NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    updated_at timestamptz NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_saga PRIMARY KEY (id),
    CONSTRAINT ck_saga_kind CHECK (kind IN ('removal')),
    CONSTRAINT ck_saga_status CHECK (status IN ('done', 'stuck', 'undone', 'waiting', 'working')),
    CONSTRAINT ck_saga_one_owner CHECK ((tenant_id IS NULL) <> (hub_id IS NULL)),
    CONSTRAINT ck_saga_ended CHECK ((status IN ('done', 'undone')) = (ended_at IS NOT NULL)),
    CONSTRAINT fk_saga_tenant_id_tenant
        FOREIGN KEY (tenant_id) REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_saga_hub_id_hub
        FOREIGN KEY (hub_id) REFERENCES hub (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX uq_saga_one_is_open_per_tenant ON saga (tenant_id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX uq_saga_one_is_open_per_hub ON saga (hub_id) WHERE ended_at IS NULL;
CREATE INDEX ix_saga_tenant_id ON saga (tenant_id, id);
CREATE INDEX ix_saga_hub_id ON saga (hub_id, id);
GRANT SELECT, INSERT, UPDATE ON saga TO tenantplane_app;

CREATE TABLE saga_step (
    id text COLLATE "C" NOT NULL,
    saga_id text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    name text NOT NULL,
    is_undo boolean NOT NULL,
    run_id text COLLATE "C",
    result jsonb NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    outcome text,
    error jsonb,
    version integer NOT NULL,
    CONSTRAINT pk_saga_step PRIMARY KEY (id),
    CONSTRAINT ck_saga_step_outcome
        CHECK (outcome IN ('done', 'failed', 'skipped', 'withdrawn')),
    CONSTRAINT ck_saga_step_ended_with_outcome
        CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT fk_saga_step_saga_id_saga
        FOREIGN KEY (saga_id) REFERENCES saga (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_saga_step_run_id_run
        FOREIGN KEY (run_id) REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE UNIQUE INDEX uq_saga_step_one_is_open ON saga_step (saga_id) WHERE ended_at IS NULL;
CREATE INDEX ix_saga_step_saga_id ON saga_step (saga_id, id);
CREATE INDEX ix_saga_step_run_id ON saga_step (run_id);
GRANT SELECT, INSERT, UPDATE ON saga_step TO tenantplane_app;

ALTER TABLE tenant ADD COLUMN saga_id text COLLATE "C",
    ADD CONSTRAINT fk_tenant_saga_id_saga
        FOREIGN KEY (saga_id) REFERENCES saga (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE hub ADD COLUMN saga_id text COLLATE "C",
    ADD CONSTRAINT fk_hub_saga_id_saga
        FOREIGN KEY (saga_id) REFERENCES saga (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE deployment ADD COLUMN unprotected jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN removed_at timestamptz;
ALTER TABLE deployment ALTER COLUMN unprotected DROP DEFAULT;
CREATE INDEX ix_run_retry_of ON run (retry_of, id);
ALTER TABLE timer DROP CONSTRAINT ck_timer_kind, ADD CONSTRAINT ck_timer_kind CHECK (kind IN (
    'approval_expiry', 'bundle_expiry', 'bundle_watch', 'drift_look', 'retention', 'run_details',
    'run_turn', 'run_watch', 'saga_turn'
));

-- A saga keeps what it is for and who asked for it, and one that has ended is a record. So is an
-- attempt of a step.
CREATE FUNCTION tenantplane_check_saga() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.ended_at IS NULL AND (
        NEW.id, NEW.tenant_id, NEW.hub_id, NEW.kind, NEW.reason, NEW.requested_by,
        NEW.requesters, NEW.started_at
    ) IS NOT DISTINCT FROM (
        OLD.id, OLD.tenant_id, OLD.hub_id, OLD.kind, OLD.reason, OLD.requested_by,
        OLD.requesters, OLD.started_at
    ) AND (NEW.is_undoing OR NOT OLD.is_undoing) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'saga_is_a_record',
        MESSAGE = 'what was started stays a record of why and by whom, also when it has ended';
END $$;
CREATE TRIGGER check_saga BEFORE UPDATE OR DELETE ON saga
    FOR EACH ROW EXECUTE FUNCTION tenantplane_check_saga();

CREATE FUNCTION tenantplane_check_saga_step() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.ended_at IS NULL AND (
        NEW.id, NEW.saga_id, NEW.number, NEW.name, NEW.is_undo, NEW.started_at
    ) IS NOT DISTINCT FROM (
        OLD.id, OLD.saga_id, OLD.number, OLD.name, OLD.is_undo, OLD.started_at
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'saga_step_is_a_record',
        MESSAGE = 'a step that was taken stays a record';
END $$;
CREATE TRIGGER check_saga_step BEFORE UPDATE OR DELETE ON saga_step
    FOR EACH ROW EXECUTE FUNCTION tenantplane_check_saga_step();

-- When a transaction ends, an owner's row names the saga that is open.
CREATE FUNCTION tenantplane_check_saga_shown() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    owners text[];
BEGIN
    IF TG_TABLE_NAME = 'saga' THEN
        owners := ARRAY[NEW.tenant_id, NEW.hub_id];
    ELSE
        owners := ARRAY[NEW.id];
    END IF;
    IF EXISTS (
        SELECT FROM (
            SELECT id, saga_id FROM tenant WHERE id = ANY (owners)
            UNION ALL SELECT id, saga_id FROM hub WHERE id = ANY (owners)
        ) AS owner
        WHERE owner.saga_id IS DISTINCT FROM (
            SELECT open.id FROM saga AS open
            WHERE (open.tenant_id = owner.id OR open.hub_id = owner.id) AND open.ended_at IS NULL
        )
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'owner_names_its_saga',
            MESSAGE = 'an owner names the saga that is open, and only that';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER check_saga_shown AFTER INSERT OR UPDATE ON saga
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tenantplane_check_saga_shown();
CREATE CONSTRAINT TRIGGER check_saga_shown AFTER UPDATE ON tenant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.saga_id IS DISTINCT FROM OLD.saga_id)
    EXECUTE FUNCTION tenantplane_check_saga_shown();
CREATE CONSTRAINT TRIGGER check_saga_shown AFTER UPDATE ON hub
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.saga_id IS DISTINCT FROM OLD.saga_id)
    EXECUTE FUNCTION tenantplane_check_saga_shown();
