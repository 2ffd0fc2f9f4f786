ALTER TABLE hub DROP CONSTRAINT ck_hub_status, ADD CONSTRAINT ck_hub_status CHECK (status IN (
    'deprovisioned', 'deprovisioning', 'failed', 'pending', 'provisioning', 'ready', 'requested'
));

-- A look plans and applies nothing.
ALTER TABLE run ADD CONSTRAINT ck_run_status_of_refresh CHECK (kind <> 'refresh' OR status IN (
    'blocked', 'canceled', 'errored', 'no_changes', 'requested', 'superseded', 'verifying'
));

-- A run that asked for an approval applies only when that was given, for the plan that it applies.
-- A destroy always asks, at least two people. Other runs that never asked apply by the rules, which
-- are not in the database.
CREATE OR REPLACE FUNCTION tenantplane_check_run() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = 'applying' THEN
        RETURN NEW;
    END IF;
    IF (
        NEW.kind = 'destroy' OR NEW.approval_id IS NOT NULL
        OR EXISTS (SELECT FROM approval WHERE run_id = NEW.id)
    ) AND NOT EXISTS (
        SELECT FROM approval
        WHERE id = NEW.approval_id AND run_id = NEW.id AND plan_id = NEW.plan_id
            AND status IN ('approved', 'consumed') AND (NEW.kind <> 'destroy' OR needed >= 2)
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_needs_approval',
            MESSAGE = 'the approval of the run was not given';
    END IF;
    RETURN NEW;
END $$;

-- What a run is for was said when it was requested.
CREATE FUNCTION tenantplane_keep_kind() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_keeps_its_kind',
        MESSAGE = 'a run keeps its kind and its deployment';
END $$;
CREATE TRIGGER keep_kind AFTER UPDATE ON run
    FOR EACH ROW WHEN (
        (NEW.kind, NEW.deployment_id) IS DISTINCT FROM (OLD.kind, OLD.deployment_id)
    )
    EXECUTE FUNCTION tenantplane_keep_kind();
