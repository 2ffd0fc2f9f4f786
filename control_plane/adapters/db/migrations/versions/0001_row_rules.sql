-- What no check and no index can say. SQLSTATEs of class TP are told apart in faults.py; a refusal
-- of class TP006 carries the name of the rule as its constraint.

-- A decision is made by a person who is not barred, on an approval that waits, quoting its digest,
-- before it expires. The approval is locked, so that two decisions follow one another.
CREATE FUNCTION tenantplane_check_decision() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    asked record;
BEGIN
    SELECT * INTO asked FROM approval WHERE id = NEW.approval_id FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = '23503', CONSTRAINT = 'fk_decision_approval_id_approval',
            MESSAGE = 'there is no such approval';
    END IF;
    IF NEW.actor_kind <> 'user' THEN
        RAISE EXCEPTION USING ERRCODE = 'TP001', MESSAGE = 'a decision is made by a person';
    END IF;
    IF EXISTS (
        SELECT FROM barred WHERE approval_id = NEW.approval_id AND subject = NEW.actor_id
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP002', MESSAGE = 'who asked for a change may not decide';
    END IF;
    IF asked.status <> 'waiting' THEN
        RAISE EXCEPTION USING ERRCODE = 'TP003', MESSAGE = 'the approval does not wait';
    END IF;
    IF NEW.plan_digest <> asked.plan_digest THEN
        RAISE EXCEPTION USING ERRCODE = 'TP004', MESSAGE = 'the digest is not that of the plan';
    END IF;
    IF NEW.decided_at >= asked.expires_at THEN
        RAISE EXCEPTION USING ERRCODE = 'TP005', MESSAGE = 'the approval has expired';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER check_decision BEFORE INSERT ON decision
    FOR EACH ROW EXECUTE FUNCTION tenantplane_check_decision();

-- An approval starts waiting, stays bound to its plan, is approved only after an approving decision
-- on its digest, and is consumed only after it was approved.
CREATE FUNCTION tenantplane_check_approval() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'waiting' THEN
            broken := 'approval_starts_waiting';
        END IF;
    ELSIF (NEW.id, NEW.run_id, NEW.plan_id, NEW.plan_digest)
        IS DISTINCT FROM (OLD.id, OLD.run_id, OLD.plan_id, OLD.plan_digest) THEN
        broken := 'approval_is_bound_to_its_plan';
    ELSIF NEW.status = OLD.status THEN
        broken := NULL;
    ELSIF NEW.status = 'waiting' OR (NEW.status = 'consumed' AND OLD.status <> 'approved') THEN
        broken := 'approval_needs_decision';
    ELSIF NEW.status = 'approved' AND NOT (
        OLD.status = 'waiting' AND EXISTS (
            SELECT FROM decision
            WHERE approval_id = NEW.id AND decision = 'approve' AND plan_digest = NEW.plan_digest
        )
    ) THEN
        broken := 'approval_needs_decision';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'an approval is given by decisions alone';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER check_approval BEFORE INSERT OR UPDATE ON approval
    FOR EACH ROW EXECUTE FUNCTION tenantplane_check_approval();

-- A run that asked for an approval applies only when it was given.
CREATE FUNCTION tenantplane_check_run() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM approval WHERE id = NEW.approval_id AND status IN ('approved', 'consumed')
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_needs_approval',
            MESSAGE = 'the approval of the run was not given';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER check_run BEFORE UPDATE ON run
    FOR EACH ROW
    WHEN (NEW.status = 'applying' AND OLD.status <> 'applying' AND NEW.approval_id IS NOT NULL)
    EXECUTE FUNCTION tenantplane_check_run();

-- What was said or done is never changed.
CREATE FUNCTION tenantplane_refuse_change() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = TG_TABLE_NAME || '_is_immutable',
        MESSAGE = 'a row of ' || TG_TABLE_NAME || ' is never changed';
END $$;

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON contract
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON run_event
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON plan
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON barred
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON decision
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON receipt
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();

-- Whoever listens on run_events learns at commit which runs have new lines.
CREATE FUNCTION tenantplane_tell_run_event() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    PERFORM pg_notify('run_events', NEW.run_id);
    RETURN NULL;
END $$;

CREATE TRIGGER tell_run_event AFTER INSERT ON run_event
    FOR EACH ROW EXECUTE FUNCTION tenantplane_tell_run_event();
