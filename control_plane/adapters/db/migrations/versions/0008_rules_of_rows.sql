-- Where two must agree, they are two people with two accounts: a person whose claim was changed
-- between two decisions is still one account.
DO $$
DECLARE
    twice text;
BEGIN
    SELECT string_agg(found.approval_id, ', ' ORDER BY found.nth) FILTER (WHERE found.nth <= 20)
        || CASE WHEN count(*) > 20 THEN ' and ' || (count(*) - 20) || ' more' ELSE '' END
    INTO twice FROM (
        SELECT approval_id, row_number() OVER (ORDER BY approval_id) AS nth FROM (
            SELECT DISTINCT approval_id FROM decision
            GROUP BY approval_id, actor_id HAVING count(*) > 1
        ) AS each
    ) AS found;
    IF twice IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP007',
            MESSAGE = 'one account decided twice on the same approval: ' || twice;
    END IF;
END $$;
ALTER TABLE decision
    ADD CONSTRAINT uq_decision_approval_id_actor_id UNIQUE (approval_id, actor_id);

-- A decision is made by a person who is not barred, under whatever account, on an approval that
-- waits, quoting its digest, before it expires. The approval is locked, so that two decisions
-- follow one another.
CREATE OR REPLACE FUNCTION tenantplane_check_decision() RETURNS trigger
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
        SELECT FROM barred
        WHERE approval_id = NEW.approval_id AND subject IN (NEW.actor_id, NEW.person)
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP002', MESSAGE = 'requesters may not decide';
    END IF;
    IF asked.status <> 'waiting' THEN
        RAISE EXCEPTION USING ERRCODE = 'TP003', MESSAGE = 'the approval is not waiting';
    END IF;
    IF NEW.plan_digest <> asked.plan_digest THEN
        RAISE EXCEPTION USING ERRCODE = 'TP004', MESSAGE = 'the digest is not that of the plan';
    END IF;
    IF NEW.decided_at >= asked.expires_at THEN
        RAISE EXCEPTION USING ERRCODE = 'TP005', MESSAGE = 'the approval has expired';
    END IF;
    RETURN NEW;
END $$;

-- An approval starts waiting, stays bound to its plan, its terms and its end, is approved when as
-- many different people as it needs approved its digest and nobody rejected it, and is consumed
-- only after it was approved.
CREATE OR REPLACE FUNCTION tenantplane_check_approval() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'waiting' THEN
            broken := 'approval_starts_waiting';
        END IF;
    ELSIF (
        NEW.id, NEW.run_id, NEW.plan_id, NEW.plan_digest, NEW.tenant_id, NEW.rule, NEW.needed,
        NEW.roles, NEW.expires_at
    ) IS DISTINCT FROM (
        OLD.id, OLD.run_id, OLD.plan_id, OLD.plan_digest, OLD.tenant_id, OLD.rule, OLD.needed,
        OLD.roles, OLD.expires_at
    ) THEN
        broken := 'approval_is_bound_to_its_plan';
    ELSIF NEW.status = OLD.status THEN
        broken := NULL;
    ELSIF NEW.status = 'waiting' OR (NEW.status = 'consumed' AND OLD.status <> 'approved') THEN
        broken := 'approval_needs_decision';
    ELSIF NEW.status = 'approved' AND NOT (
        OLD.status = 'waiting'
        AND NEW.needed <= (
            SELECT count(DISTINCT person) FROM decision
            WHERE approval_id = NEW.id AND decision = 'approve' AND plan_digest = NEW.plan_digest
        )
        AND NOT EXISTS (
            SELECT FROM decision WHERE approval_id = NEW.id AND decision = 'reject'
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

-- A run that asked for an approval applies only when that was given, for the plan that it applies.
-- One that never asked applies by the rules, which are not in the database.
CREATE OR REPLACE FUNCTION tenantplane_check_run() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = 'applying' THEN
        RETURN NEW;
    END IF;
    IF (NEW.approval_id IS NOT NULL OR EXISTS (SELECT FROM approval WHERE run_id = NEW.id))
        AND NOT EXISTS (
            SELECT FROM approval
            WHERE id = NEW.approval_id AND run_id = NEW.id AND plan_id = NEW.plan_id
                AND status IN ('approved', 'consumed')
        )
    THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_needs_approval',
            MESSAGE = 'the approval of the run was not given';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER check_run ON run;
CREATE TRIGGER check_run BEFORE INSERT OR UPDATE ON run
    FOR EACH ROW WHEN (NEW.status = 'applying')
    EXECUTE FUNCTION tenantplane_check_run();

-- The application writes the audit log and reads it as the auditor alone.
REVOKE SELECT ON audit_pending, audit_entry, audit_subtree, audit_key, audit_tree, audit_checkpoint
    FROM tenantplane_app;
DROP POLICY IF EXISTS audit_pending_select_app ON audit_pending;
DROP POLICY IF EXISTS audit_entry_select_app ON audit_entry;
DROP POLICY IF EXISTS audit_subtree_select_app ON audit_subtree;
DROP POLICY IF EXISTS audit_key_select_app ON audit_key;
DROP POLICY IF EXISTS audit_tree_select_app ON audit_tree;
DROP POLICY IF EXISTS audit_checkpoint_select_app ON audit_checkpoint;
ALTER POLICY audit_pending_insert_app ON audit_pending WITH CHECK (true);
ALTER POLICY audit_disclosure_insert_app ON audit_disclosure WITH CHECK (true);
