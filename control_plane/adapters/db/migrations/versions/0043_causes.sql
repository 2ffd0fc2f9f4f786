-- What exists was made before causes were kept, and stays without one.
ALTER TABLE run ADD COLUMN cause jsonb,
    ADD CONSTRAINT ck_run_cause_of_tenant CHECK (cause IS NULL OR tenant_id IS NOT NULL);
ALTER TABLE bundle ADD COLUMN cause jsonb;

-- A cause is a step of a journey of the same tenant by the same playbook. It is looked at when the
-- transaction ends, since a request stores a bundle before the journey that it is made for.
CREATE FUNCTION tenantplane_know_cause() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM journey_step s JOIN journey j ON j.id = s.journey_id
        WHERE j.id = NEW.cause ->> 'journey' AND j.tenant_id = NEW.tenant_id
            AND j.playbook_digest = NEW.cause ->> 'digest'
            AND j.playbook_key || '/' || j.playbook_version = NEW.cause ->> 'playbook'
            AND s.key = NEW.cause ->> 'step'
            AND (NEW.cause ->> 'round')::integer BETWEEN 1 AND s.round
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'cause_is_a_step',
            MESSAGE = 'a cause is a step of a journey of the same tenant';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER know_cause AFTER INSERT ON run DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.cause IS NOT NULL) EXECUTE FUNCTION tenantplane_know_cause();
CREATE CONSTRAINT TRIGGER know_cause AFTER INSERT ON bundle DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.cause IS NOT NULL) EXECUTE FUNCTION tenantplane_know_cause();

CREATE FUNCTION tenantplane_keep_cause() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'cause_is_kept',
        MESSAGE = 'what something was made for does not change';
END $$;
CREATE TRIGGER keep_cause BEFORE UPDATE ON run
    FOR EACH ROW WHEN (NEW.cause IS DISTINCT FROM OLD.cause)
    EXECUTE FUNCTION tenantplane_keep_cause();
CREATE TRIGGER keep_cause BEFORE UPDATE ON bundle
    FOR EACH ROW WHEN (NEW.cause IS DISTINCT FROM OLD.cause)
    EXECUTE FUNCTION tenantplane_keep_cause();

-- What a tenant's people can watch; numbers are those of its public events. No foreign key, as in
-- the audit log: what is told must not undo its cause.
CREATE TABLE tenant_event (
    tenant_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    data jsonb NOT NULL,
    CONSTRAINT pk_tenant_event PRIMARY KEY (tenant_id, seq),
    CONSTRAINT ck_tenant_event_seq CHECK (seq > 0)
);
CREATE INDEX ix_tenant_event_occurred_at ON tenant_event (occurred_at);
GRANT SELECT, INSERT, DELETE ON tenant_event TO tenantplane_app;
CREATE TRIGGER keep_tenant_event BEFORE UPDATE ON tenant_event
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();

CREATE FUNCTION tenantplane_tell_tenant_event() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_notify('run_events', NEW.tenant_id);
    RETURN NULL;
END $$;
CREATE TRIGGER tell_tenant_event AFTER INSERT ON tenant_event
    FOR EACH ROW EXECUTE FUNCTION tenantplane_tell_tenant_event();

-- Tasks that are late are found by when they were due.
CREATE INDEX ix_task_due_at ON task (due_at, id) WHERE status = 'open' AND due_at IS NOT NULL;
