-- Specs, engine calls, evidence and timers as rows; what the run row held of them moves there.

CREATE TABLE deployment_spec (
    id text COLLATE "C" NOT NULL,
    deployment_id text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    document jsonb NOT NULL,
    digest text NOT NULL,
    desired text NOT NULL,
    made_by text NOT NULL,
    made_at timestamptz NOT NULL,
    CONSTRAINT pk_deployment_spec PRIMARY KEY (id),
    CONSTRAINT uq_deployment_spec_deployment_id_number UNIQUE (deployment_id, number),
    CONSTRAINT ck_deployment_spec_desired CHECK (desired IN ('absent', 'present')),
    CONSTRAINT ck_deployment_spec_number CHECK (number >= 1),
    CONSTRAINT fk_deployment_spec_deployment_id_deployment
        FOREIGN KEY (deployment_id) REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED
);

CREATE TABLE engine_call (
    id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    deployment_id text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    worker text NOT NULL,
    host text NOT NULL,
    pids jsonb NOT NULL,
    begun_at timestamptz NOT NULL,
    deadline_at timestamptz NOT NULL,
    ended_at timestamptz,
    outcome text,
    version integer NOT NULL,
    CONSTRAINT pk_engine_call PRIMARY KEY (id),
    CONSTRAINT uq_engine_call_deployment_id_number UNIQUE (deployment_id, number),
    CONSTRAINT ck_engine_call_outcome CHECK (outcome IN ('died', 'ended')),
    CONSTRAINT ck_engine_call_ended_with_outcome CHECK ((ended_at IS NULL) = (outcome IS NULL)),
    CONSTRAINT fk_engine_call_run_id_run
        FOREIGN KEY (run_id) REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_engine_call_deployment_id_deployment
        FOREIGN KEY (deployment_id) REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_engine_call_run_id ON engine_call (run_id);
CREATE INDEX ix_engine_call_open ON engine_call (worker) WHERE ended_at IS NULL;

CREATE TABLE evidence (
    id text COLLATE "C" NOT NULL,
    deployment_id text COLLATE "C" NOT NULL,
    run_id text COLLATE "C" NOT NULL,
    call_id text NOT NULL,
    spec_number integer NOT NULL,
    state_digest text,
    ok boolean NOT NULL,
    checks jsonb NOT NULL,
    looked_at timestamptz NOT NULL,
    CONSTRAINT pk_evidence PRIMARY KEY (id),
    CONSTRAINT fk_evidence_run_id_run
        FOREIGN KEY (run_id) REFERENCES run (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_evidence_deployment_id_deployment
        FOREIGN KEY (deployment_id) REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_evidence_deployment_id ON evidence (deployment_id);
CREATE INDEX ix_evidence_run_id ON evidence (run_id);

CREATE TABLE timer (
    kind text NOT NULL,
    subject text NOT NULL,
    due_at timestamptz NOT NULL,
    CONSTRAINT pk_timer PRIMARY KEY (kind, subject),
    CONSTRAINT ck_timer_kind CHECK (kind IN (
        'approval_expiry', 'bundle_expiry', 'bundle_watch', 'retention', 'run_turn', 'run_watch'
    ))
);
CREATE INDEX ix_timer_due_at ON timer (due_at);

-- Rules of rows that check them while rows move are off for the move: nothing is decided by it.
ALTER TABLE approval DISABLE TRIGGER check_approval;
ALTER TABLE decision DISABLE TRIGGER refuse_change;
ALTER TABLE plan DISABLE TRIGGER refuse_change;
SET CONSTRAINTS ALL IMMEDIATE;

INSERT INTO deployment_spec (id, deployment_id, number, document, digest, desired, made_by, made_at)
    SELECT d.id || '.' || d.spec_version, d.id, d.spec_version, d.spec,
        'sha256:' || encode(sha256(convert_to(d.spec::text, 'UTF8')), 'hex'),
        'present', 'migration:0002', d.updated_at
    FROM deployment d WHERE d.spec <> '{}'::jsonb;

-- What the newest applied run verified is evidence for the spec that its plan had, and holds unless
-- a later run began to apply. Everything else that ever ran is looked at before it is used.
ALTER TABLE deployment
    DROP CONSTRAINT ck_deployment_spec_version,
    ADD COLUMN spec_number integer NOT NULL DEFAULT 0,
    ADD COLUMN applied_spec integer NOT NULL DEFAULT 0,
    ADD COLUMN is_unsettled boolean NOT NULL DEFAULT true,
    ADD COLUMN evidence_id text COLLATE "C";
UPDATE deployment SET spec_number = spec_version WHERE spec <> '{}'::jsonb;
INSERT INTO evidence (
    id, deployment_id, run_id, call_id, spec_number, state_digest, ok, checks, looked_at
)
    SELECT DISTINCT ON (d.id) 'evd_' || substr(r.id, 5), d.id, r.id, r.id || '.1',
        greatest(least(d.spec_number, 1), d.spec_number - (
            SELECT count(DISTINCT later.parts ->> 'spec') FROM plan later
            WHERE later.deployment_id = d.id AND later.run_id > r.id
                AND later.parts ->> 'spec' <> applied.parts ->> 'spec'
        )),
        d.state_digest, true, r.checks, r.ended_at
    FROM deployment d JOIN run r ON r.deployment_id = d.id
        LEFT JOIN plan applied ON applied.id = r.plan_id
    WHERE r.status = 'applied' AND d.state_digest IS NOT NULL
    ORDER BY d.id, r.id DESC;
UPDATE deployment d SET evidence_id = e.id, applied_spec = e.spec_number,
    is_unsettled = EXISTS (
        SELECT FROM run r
        WHERE r.deployment_id = d.id AND r.id > e.run_id AND r.started_at IS NOT NULL
    )
    FROM evidence e WHERE e.deployment_id = d.id;
UPDATE deployment SET is_unsettled = false
    WHERE NOT EXISTS (SELECT FROM run WHERE run.deployment_id = deployment.id);
ALTER TABLE deployment
    DROP COLUMN spec,
    DROP COLUMN spec_version,
    ALTER COLUMN spec_number DROP DEFAULT,
    ALTER COLUMN applied_spec DROP DEFAULT,
    ALTER COLUMN is_unsettled DROP DEFAULT,
    ADD CONSTRAINT ck_deployment_applied_spec CHECK (applied_spec BETWEEN 0 AND spec_number),
    ADD CONSTRAINT fk_deployment_evidence_id_evidence
        FOREIGN KEY (evidence_id) REFERENCES evidence (id) DEFERRABLE INITIALLY DEFERRED;

ALTER TABLE hub ADD COLUMN requesters jsonb NOT NULL DEFAULT '[]'::jsonb;
UPDATE hub SET requesters = found.requesters FROM (
    SELECT d.hub_id, jsonb_agg(DISTINCT asked.by) AS requesters
    FROM deployment d JOIN run r ON r.deployment_id = d.id,
        unnest(ARRAY[r.requested_by, r.on_behalf_of]) AS asked (by)
    WHERE d.kind = 'hub' AND asked.by IS NOT NULL GROUP BY d.hub_id
) AS found WHERE found.hub_id = hub.id;
ALTER TABLE hub ALTER COLUMN requesters DROP DEFAULT;

ALTER TABLE run
    ADD COLUMN number integer,
    ADD COLUMN spec_number integer NOT NULL DEFAULT 0,
    ADD COLUMN requesters jsonb NOT NULL DEFAULT '[]'::jsonb,
    ADD COLUMN evidence_id text COLLATE "C",
    ADD COLUMN turn integer,
    ADD COLUMN deaths integer NOT NULL DEFAULT 0,
    ADD COLUMN failures integer NOT NULL DEFAULT 0,
    ADD COLUMN is_working boolean NOT NULL DEFAULT false;
UPDATE run SET turn = attempt, number = numbered.number,
    requesters = to_jsonb(array_remove(ARRAY[requested_by, on_behalf_of], NULL)),
    spec_number = (SELECT spec_number FROM deployment WHERE deployment.id = run.deployment_id)
    FROM (
        SELECT id, row_number() OVER (PARTITION BY deployment_id ORDER BY id) AS number FROM run
    ) AS numbered WHERE numbered.id = run.id;
UPDATE run SET evidence_id = evidence.id FROM evidence WHERE evidence.run_id = run.id;
INSERT INTO engine_call (
    id, run_id, deployment_id, number, worker, host, pids, begun_at, deadline_at, ended_at,
    outcome, version
)
    SELECT c.call_id, r.id, r.deployment_id,
        row_number() OVER (PARTITION BY r.deployment_id ORDER BY r.number, c.position),
        'before-0002', '', '[]'::jsonb, r.updated_at, r.updated_at, r.updated_at, 'died', 1
    FROM run r, jsonb_array_elements_text(r.call_ids) WITH ORDINALITY AS c (call_id, position);
DROP INDEX ix_run_deployment_id;
ALTER TABLE run
    DROP CONSTRAINT ck_run_attempt,
    DROP COLUMN attempt,
    DROP COLUMN call_ids,
    DROP COLUMN lock_ids,
    DROP COLUMN checks,
    ALTER COLUMN number SET NOT NULL,
    ALTER COLUMN turn SET NOT NULL,
    ALTER COLUMN spec_number DROP DEFAULT,
    ALTER COLUMN requesters DROP DEFAULT,
    ALTER COLUMN deaths DROP DEFAULT,
    ALTER COLUMN failures DROP DEFAULT,
    ALTER COLUMN is_working DROP DEFAULT,
    ADD CONSTRAINT uq_run_deployment_id_number UNIQUE (deployment_id, number),
    ADD CONSTRAINT ck_run_counts CHECK (turn >= 1 AND deaths >= 0 AND failures >= 0),
    ADD CONSTRAINT fk_run_evidence_id_evidence
        FOREIGN KEY (evidence_id) REFERENCES evidence (id) DEFERRABLE INITIALLY DEFERRED;

-- What cannot be undone is said by the operation itself: whoever decides has to see it.
UPDATE plan SET operations = marked.operations FROM (
    SELECT p.id, jsonb_agg(
        CASE WHEN EXISTS (
            SELECT FROM jsonb_array_elements(p.irreversible) AS lost
            WHERE lost ->> 'urn' = o.operation ->> 'urn' AND lost ->> 'op' = o.operation ->> 'op'
        ) THEN o.operation || '{"irreversible": true}' ELSE o.operation END
        ORDER BY o.position
    ) AS operations
    FROM plan p, jsonb_array_elements(p.operations) WITH ORDINALITY AS o (operation, position)
    WHERE p.irreversible <> '[]'::jsonb GROUP BY p.id
) AS marked WHERE marked.id = plan.id;
ALTER TABLE plan
    ADD COLUMN outputs jsonb NOT NULL DEFAULT '[]'::jsonb,
    DROP COLUMN irreversible;
ALTER TABLE plan ALTER COLUMN outputs DROP DEFAULT;

ALTER TABLE approval
    ADD COLUMN rule text NOT NULL DEFAULT 'before-0002',
    ADD COLUMN needed integer NOT NULL DEFAULT 1,
    ADD COLUMN roles jsonb NOT NULL DEFAULT '["ops_approver"]'::jsonb,
    ADD CONSTRAINT ck_approval_needed CHECK (needed >= 1);
ALTER TABLE approval
    ALTER COLUMN rule DROP DEFAULT,
    ALTER COLUMN needed DROP DEFAULT,
    ALTER COLUMN roles DROP DEFAULT;
ALTER TABLE decision DROP CONSTRAINT uq_decision_approval_id_actor_id, ADD COLUMN person text;
UPDATE decision SET person = actor_id;
ALTER TABLE decision
    ALTER COLUMN person SET NOT NULL,
    ADD CONSTRAINT uq_decision_approval_id_person UNIQUE (approval_id, person);
ALTER TABLE approval ENABLE TRIGGER check_approval;
ALTER TABLE decision ENABLE TRIGGER refuse_change;
ALTER TABLE plan ENABLE TRIGGER refuse_change;

-- What waits falls due as it did.
INSERT INTO timer (kind, subject, due_at)
    SELECT 'approval_expiry', id, expires_at FROM approval WHERE status IN ('waiting', 'approved')
    UNION ALL
    SELECT 'bundle_expiry', id, expires_at FROM bundle
    WHERE expires_at IS NOT NULL
        AND status IN ('awaiting_architect', 'accepted', 'built', 'handed_over')
    UNION ALL
    SELECT 'bundle_watch', id, updated_at FROM bundle WHERE status = 'building'
    UNION ALL
    SELECT 'run_watch', id, updated_at FROM run
    WHERE status IN ('requested', 'planning', 'approved', 'applying', 'verifying')
    UNION ALL
    SELECT 'run_turn', id, updated_at FROM run
    WHERE status = 'blocked' AND blocked_on = 'foreign_lock'
    UNION ALL
    SELECT 'retention', 'idempotency', now()
    UNION ALL
    SELECT 'retention', 'queue', now();

-- Phases that no worker knows any more would hold their partition for ever. The timers above enqueue
-- what goes on instead of them.
DO $$ BEGIN
    IF to_regclass('dbos.workflow_status') IS NOT NULL THEN
        UPDATE dbos.workflow_status SET status = 'CANCELLED'
            WHERE name IN ('plan_run', 'apply_run')
            AND status IN ('ENQUEUED', 'PENDING', 'DELAYED');
    END IF;
END $$;

-- A decision is made by a person who is not barred, under whatever account, on an approval that
-- waits, quoting its digest, before it expires.
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

-- An approval is given when as many different people as it needs approved its digest, and nobody
-- rejected it.
CREATE OR REPLACE FUNCTION tenantplane_check_approval() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'waiting' THEN
            broken := 'approval_starts_waiting';
        END IF;
    ELSIF (NEW.id, NEW.run_id, NEW.plan_id, NEW.plan_digest, NEW.rule, NEW.needed, NEW.roles)
        IS DISTINCT FROM
        (OLD.id, OLD.run_id, OLD.plan_id, OLD.plan_digest, OLD.rule, OLD.needed, OLD.roles) THEN
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

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON deployment_spec
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON evidence
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();

GRANT SELECT, INSERT ON deployment_spec, evidence TO tenantplane_app;
GRANT SELECT, INSERT, UPDATE ON engine_call TO tenantplane_app;
GRANT SELECT, INSERT, UPDATE, DELETE ON timer TO tenantplane_app;
