ALTER TABLE plan ADD COLUMN risks jsonb NOT NULL DEFAULT '[]';
ALTER TABLE plan ALTER COLUMN risks DROP DEFAULT;

-- What was asked for before has one rule and no window.
ALTER TABLE approval
    ADD COLUMN rules jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN windows jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN opens_at timestamptz,
    ADD COLUMN closes_at timestamptz;
UPDATE approval SET rules = jsonb_build_array(rule);
ALTER TABLE approval ALTER COLUMN rules DROP DEFAULT, ALTER COLUMN windows DROP DEFAULT;
ALTER TABLE approval
    ADD CONSTRAINT ck_approval_opens_and_closes CHECK (
        num_nulls(opens_at, closes_at) IN (0, 2) AND opens_at <= closes_at
    ),
    ADD CONSTRAINT ck_approval_opens_by_its_windows CHECK (
        CASE WHEN status = 'waiting' OR windows = '[]' THEN opens_at IS NULL
        ELSE status <> 'approved' OR opens_at IS NOT NULL END
    );

-- A person decides again only after withdrawing what they decided before.
ALTER TABLE decision
    ADD COLUMN number integer NOT NULL DEFAULT 1,
    ADD COLUMN acknowledged jsonb NOT NULL DEFAULT '[]';
ALTER TABLE decision ALTER COLUMN number DROP DEFAULT, ALTER COLUMN acknowledged DROP DEFAULT;
ALTER TABLE decision
    DROP CONSTRAINT uq_decision_approval_id_person,
    DROP CONSTRAINT uq_decision_approval_id_actor_id,
    ADD CONSTRAINT uq_decision_approval_id_person_number UNIQUE (approval_id, person, number),
    ADD CONSTRAINT uq_decision_approval_id_actor_id_number UNIQUE (approval_id, actor_id, number);

CREATE TABLE withdrawal (
    id text COLLATE "C" NOT NULL,
    approval_id text COLLATE "C" NOT NULL,
    decision_id text COLLATE "C" NOT NULL,
    actor_id text NOT NULL,
    person text NOT NULL,
    reason text NOT NULL,
    withdrawn_at timestamptz NOT NULL,
    CONSTRAINT pk_withdrawal PRIMARY KEY (id),
    CONSTRAINT uq_withdrawal_decision_id UNIQUE (decision_id),
    CONSTRAINT fk_withdrawal_approval_id_approval FOREIGN KEY (approval_id)
        REFERENCES approval (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_withdrawal_decision_id_decision FOREIGN KEY (decision_id)
        REFERENCES decision (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_withdrawal_approval_id ON withdrawal (approval_id);
GRANT SELECT, INSERT ON withdrawal TO tenantplane_app;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON withdrawal
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();

-- How many different people approve the digest of an approval, and have not withdrawn that.
CREATE FUNCTION tenantplane_approvers(asked text, quoted text) RETURNS bigint
    LANGUAGE sql STABLE SET search_path = public, pg_temp AS $$
    SELECT count(DISTINCT person) FROM decision
    WHERE approval_id = asked AND decision = 'approve' AND plan_digest = quoted
        AND NOT EXISTS (SELECT FROM withdrawal WHERE decision_id = decision.id)
$$;

-- A decision is made by a person who is not barred, under whatever account, on an approval that
-- waits, quoting its digest, before it expires, and not while an earlier one of theirs stands. Who
-- approves has ticked exactly what the plan cannot undo. The approval is locked, so that two
-- decisions follow one another.
CREATE OR REPLACE FUNCTION tenantplane_check_decision() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    asked record;
    earlier bigint;
    withdrawn bigint;
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
    SELECT count(*), count(withdrawal.id) INTO earlier, withdrawn
        FROM decision LEFT JOIN withdrawal ON withdrawal.decision_id = decision.id
        WHERE decision.approval_id = NEW.approval_id
            AND (decision.person = NEW.person OR decision.actor_id = NEW.actor_id);
    IF earlier <> withdrawn OR NEW.number <> withdrawn + 1 THEN
        RAISE EXCEPTION USING ERRCODE = 'TP003',
            MESSAGE = 'this person has decided, and not withdrawn it';
    END IF;
    IF NEW.decision = 'approve' AND (
        EXISTS (
            SELECT FROM plan, jsonb_array_elements(plan.operations) AS operation
            WHERE plan.id = asked.plan_id AND operation -> 'irreversible' = 'true'
                AND NOT NEW.acknowledged ? (operation ->> 'urn')
        ) OR EXISTS (
            SELECT FROM jsonb_array_elements_text(NEW.acknowledged) AS ticked
            WHERE NOT EXISTS (
                SELECT FROM plan, jsonb_array_elements(plan.operations) AS operation
                WHERE plan.id = asked.plan_id AND operation -> 'irreversible' = 'true'
                    AND operation ->> 'urn' = ticked
            )
        )
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP008',
            MESSAGE = 'what was ticked is not exactly what the plan cannot undo';
    END IF;
    RETURN NEW;
END $$;

-- An approval is withdrawn by the person who gave it, before what it allows has begun. The approval
-- is locked, so that either the apply or the withdrawal comes first.
CREATE FUNCTION tenantplane_check_withdrawal() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    present text;
BEGIN
    SELECT status INTO present FROM approval WHERE id = NEW.approval_id FOR NO KEY UPDATE;
    IF present IS NULL OR present NOT IN ('waiting', 'approved') THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'withdrawal_comes_before_the_apply',
            MESSAGE = 'an approval that was used or has ended is not withdrawn';
    END IF;
    IF NOT EXISTS (
        SELECT FROM decision
        WHERE id = NEW.decision_id AND approval_id = NEW.approval_id AND decision = 'approve'
            AND (person = NEW.person OR actor_id = NEW.actor_id)
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'withdrawal_is_of_an_own_approval',
            MESSAGE = 'somebody withdraws an approval that they gave';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_withdrawal BEFORE INSERT ON withdrawal
    FOR EACH ROW EXECUTE FUNCTION tenantplane_check_withdrawal();

-- When a transaction ends, an approval is approved only while enough people approve it.
CREATE FUNCTION tenantplane_check_withdrawn() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM approval
        WHERE id = NEW.approval_id AND status = 'approved'
            AND needed > tenantplane_approvers(id, plan_digest)
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'approval_needs_decision',
            MESSAGE = 'what was withdrawn counts no more';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER check_withdrawn AFTER INSERT ON withdrawal
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tenantplane_check_withdrawn();

-- An approval starts waiting, stays bound to its plan, its terms and its end, is approved when as
-- many different people as it needs approve its digest and nobody rejected it, waits again when one
-- of them withdrew, and is consumed only after it was approved.
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
        NEW.id, NEW.run_id, NEW.plan_id, NEW.plan_digest, NEW.tenant_id, NEW.rule, NEW.rules,
        NEW.needed, NEW.roles, NEW.windows, NEW.expires_at
    ) IS DISTINCT FROM (
        OLD.id, OLD.run_id, OLD.plan_id, OLD.plan_digest, OLD.tenant_id, OLD.rule, OLD.rules,
        OLD.needed, OLD.roles, OLD.windows, OLD.expires_at
    ) THEN
        broken := 'approval_is_bound_to_its_plan';
    ELSIF NEW.status = OLD.status THEN
        broken := NULL;
    ELSIF NEW.status = 'consumed' AND OLD.status <> 'approved' THEN
        broken := 'approval_needs_decision';
    ELSIF NEW.status = 'waiting' AND NOT (
        OLD.status = 'approved'
        AND NEW.needed > tenantplane_approvers(NEW.id, NEW.plan_digest)
    ) THEN
        broken := 'approval_needs_decision';
    ELSIF NEW.status IN ('approved', 'consumed') AND NOT (
        OLD.status IN ('waiting', 'approved')
        AND NEW.needed <= tenantplane_approvers(NEW.id, NEW.plan_digest)
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

-- A run that asked for an approval begins to apply only when that was given by as many people as it
-- needs and none of them withdrew, for the plan that it applies, before it expires and inside its
-- change windows. A destroy always asks, at least two people. Other runs that never asked apply by
-- the rules, which are not in the database.
CREATE OR REPLACE FUNCTION tenantplane_check_run() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    given record;
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.status = 'applying' THEN
        RETURN NEW;
    END IF;
    IF NEW.kind <> 'destroy' AND NEW.approval_id IS NULL
        AND NOT EXISTS (SELECT FROM approval WHERE run_id = NEW.id)
    THEN
        RETURN NEW;
    END IF;
    SELECT * INTO given FROM approval
        WHERE id = NEW.approval_id AND run_id = NEW.id AND plan_id = NEW.plan_id
            AND status IN ('approved', 'consumed') AND (NEW.kind <> 'destroy' OR needed >= 2)
        FOR NO KEY UPDATE;
    IF NOT FOUND OR given.needed > tenantplane_approvers(given.id, given.plan_digest) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_needs_approval',
            MESSAGE = 'the approval of the run was not given';
    END IF;
    -- what began before and was blocked since is resumed
    IF TG_OP = 'UPDATE' AND OLD.status = 'blocked' AND OLD.blocked_from = 'applying' THEN
        RETURN NEW;
    END IF;
    IF NEW.started_at >= given.expires_at THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_begins_before_it_expires',
            MESSAGE = 'the approval of the run has expired';
    END IF;
    IF given.windows <> '[]' AND (
        NEW.started_at IS NULL OR NEW.started_at < given.opens_at
        OR NEW.started_at >= given.closes_at
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_begins_in_its_window',
            MESSAGE = 'the change window of the run is closed';
    END IF;
    RETURN NEW;
END $$;
