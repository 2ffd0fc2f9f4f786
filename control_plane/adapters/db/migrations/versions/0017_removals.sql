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
ALTER TABLE tenant ADD COLUMN retention_until timestamptz, ADD COLUMN removed_at timestamptz;
ALTER TABLE hub ADD COLUMN removed_at timestamptz;
ALTER TABLE finding DROP CONSTRAINT ck_finding_kind, ADD CONSTRAINT ck_finding_kind
    CHECK (kind IN ('changed', 'foreign', 'missing', 'remaining'));
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

CREATE TABLE removal_decision (
    id text COLLATE "C" NOT NULL,
    saga_id text COLLATE "C" NOT NULL,
    topic text NOT NULL,
    word text NOT NULL,
    digest text,
    counts jsonb NOT NULL,
    actor_id text NOT NULL,
    person text NOT NULL,
    actor_kind text NOT NULL,
    reason text NOT NULL,
    decided_at timestamptz NOT NULL,
    CONSTRAINT pk_removal_decision PRIMARY KEY (id),
    CONSTRAINT uq_removal_decision_saga_id_topic UNIQUE (saga_id, topic),
    CONSTRAINT ck_removal_decision_topic CHECK (topic IN ('customer', 'export')),
    CONSTRAINT ck_removal_decision_word CHECK (word IN (
        'customer_destroyed', 'customer_unverified', 'export_acknowledged', 'export_waived'
    )),
    CONSTRAINT ck_removal_decision_actor_kind
        CHECK (actor_kind IN ('service', 'system', 'user')),
    CONSTRAINT ck_removal_decision_word_on_topic CHECK (
        word = 'export_acknowledged' AND topic = 'export'
        OR word = 'export_waived' AND topic = 'export'
        OR word = 'customer_destroyed' AND topic = 'customer'
        OR word = 'customer_unverified' AND topic = 'customer'
    ),
    CONSTRAINT ck_removal_decision_by_a_person CHECK (actor_kind = 'user'),
    CONSTRAINT ck_removal_decision_proof CHECK (
        word NOT IN ('customer_destroyed', 'export_acknowledged') OR digest IS NOT NULL
    ),
    CONSTRAINT fk_removal_decision_saga_id_saga
        FOREIGN KEY (saga_id) REFERENCES saga (id) DEFERRABLE INITIALLY DEFERRED
);
GRANT SELECT, INSERT ON removal_decision TO tenantplane_app;

CREATE TABLE certificate (
    id text COLLATE "C" NOT NULL,
    saga_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    hub_id text COLLATE "C",
    body jsonb NOT NULL,
    digest text NOT NULL,
    issued_at timestamptz NOT NULL,
    CONSTRAINT pk_certificate PRIMARY KEY (id),
    CONSTRAINT uq_certificate_saga_id UNIQUE (saga_id),
    CONSTRAINT fk_certificate_saga_id_saga
        FOREIGN KEY (saga_id) REFERENCES saga (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_certificate_tenant_id_tenant
        FOREIGN KEY (tenant_id) REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_certificate_hub_id_hub
        FOREIGN KEY (hub_id) REFERENCES hub (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_certificate_tenant_id ON certificate (tenant_id);
CREATE INDEX ix_certificate_hub_id ON certificate (hub_id);
GRANT SELECT, INSERT ON certificate TO tenantplane_app;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON removal_decision
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON certificate
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();

-- An AWS account serves the deployment that something was applied for in it first, and no other. It
-- stays listed, and once it is retired it stays so.
ALTER TABLE account ADD COLUMN served text COLLATE "C", ADD COLUMN retired_at timestamptz,
    ADD CONSTRAINT uq_account_served UNIQUE (served),
    ADD CONSTRAINT fk_account_served_deployment
        FOREIGN KEY (served) REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED;
UPDATE account SET served = claimed_by WHERE EXISTS (
    SELECT FROM run WHERE run.deployment_id = account.claimed_by AND run.started_at IS NOT NULL
);
ALTER TABLE account
    ADD CONSTRAINT ck_account_shared_serves_many CHECK (NOT shared OR served IS NULL),
    ADD CONSTRAINT ck_account_serves_one
        CHECK (served IS NULL OR claimed_by IS NULL OR claimed_by = served),
    ADD CONSTRAINT ck_account_retired_is_never_claimed
        CHECK (retired_at IS NULL OR claimed_by IS NULL);
CREATE FUNCTION tenantplane_keep_account() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.account_id, NEW.served) IS NOT DISTINCT FROM (
        OLD.account_id, OLD.served
    ) AND (OLD.retired_at IS NULL OR NEW.retired_at IS NOT DISTINCT FROM OLD.retired_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'account_serves_one',
        MESSAGE = 'an AWS account that has served one deployment serves no other';
END $$;
CREATE TRIGGER keep_account BEFORE UPDATE OR DELETE ON account
    FOR EACH ROW WHEN (OLD.served IS NOT NULL)
    EXECUTE FUNCTION tenantplane_keep_account();

-- Where a run begins to apply decides whom the account serves. The slices in it are its Hub's.
CREATE FUNCTION tenantplane_take_account() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    place record;
BEGIN
    SELECT kind, account_id INTO place FROM deployment WHERE id = NEW.deployment_id;
    IF place.kind NOT IN ('dedicated', 'hub') THEN
        RETURN NEW;
    END IF;
    UPDATE account SET served = NEW.deployment_id
        WHERE account_id = place.account_id AND NOT shared AND served IS NULL
            AND claimed_by = NEW.deployment_id;
    IF EXISTS (
        SELECT FROM account
        WHERE account_id = place.account_id AND NOT shared
            AND served IS DISTINCT FROM NEW.deployment_id
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'account_serves_one',
            MESSAGE = 'an AWS account that has served one deployment serves no other';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER take_account BEFORE INSERT OR UPDATE ON run
    FOR EACH ROW WHEN (NEW.status = 'applying')
    EXECUTE FUNCTION tenantplane_take_account();

-- A Hub is not destroyed under the slices on it, and gets none while it is removed.
CREATE FUNCTION tenantplane_refuse_hub_with_slices() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    own_hub text;
BEGIN
    SELECT hub_id INTO own_hub FROM deployment WHERE id = NEW.deployment_id AND kind = 'hub';
    PERFORM FROM hub WHERE id = own_hub FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM deployment
        WHERE hub_id = own_hub AND kind = 'slice' AND removed_at IS NULL
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'hub_has_slices',
            MESSAGE = 'a Hub with slices is not destroyed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_hub_with_slices BEFORE INSERT OR UPDATE ON run
    FOR EACH ROW WHEN (NEW.status = 'applying' AND NEW.kind = 'destroy')
    EXECUTE FUNCTION tenantplane_refuse_hub_with_slices();
CREATE FUNCTION tenantplane_refuse_slice() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM hub JOIN saga ON saga.id = hub.saga_id
        WHERE hub.id = NEW.hub_id AND saga.kind = 'removal'
    ) OR EXISTS (SELECT FROM hub WHERE id = NEW.hub_id AND removed_at IS NOT NULL) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'hub_is_removed',
            MESSAGE = 'a Hub that is removed takes no slices';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_slice_on_insert BEFORE INSERT ON deployment
    FOR EACH ROW WHEN (NEW.kind = 'slice' AND NEW.hub_id IS NOT NULL)
    EXECUTE FUNCTION tenantplane_refuse_slice();
CREATE TRIGGER refuse_slice_on_update BEFORE UPDATE ON deployment
    FOR EACH ROW WHEN (
        NEW.kind = 'slice' AND NEW.hub_id IS NOT NULL AND NEW.hub_id IS DISTINCT FROM OLD.hub_id
    )
    EXECUTE FUNCTION tenantplane_refuse_slice();

-- What was removed stays removed, and keeps its name. A retention date is never brought forward.
CREATE FUNCTION tenantplane_keep_removed() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'removed_stays_removed',
        MESSAGE = 'what was removed stays removed, and a retention date is kept';
END $$;
CREATE TRIGGER keep_removed BEFORE UPDATE ON tenant FOR EACH ROW WHEN (
    OLD.removed_at IS NOT NULL
        AND (NEW.removed_at, NEW.slug) IS DISTINCT FROM (OLD.removed_at, OLD.slug)
    OR OLD.retention_until IS NOT NULL
        AND (NEW.retention_until IS NULL OR NEW.retention_until < OLD.retention_until)
) EXECUTE FUNCTION tenantplane_keep_removed();
CREATE TRIGGER keep_removed BEFORE UPDATE ON hub FOR EACH ROW WHEN (
    OLD.removed_at IS NOT NULL AND NEW.removed_at IS DISTINCT FROM OLD.removed_at
) EXECUTE FUNCTION tenantplane_keep_removed();
CREATE TRIGGER keep_removed BEFORE UPDATE ON deployment FOR EACH ROW WHEN (
    OLD.removed_at IS NOT NULL AND NEW.removed_at IS DISTINCT FROM OLD.removed_at
) EXECUTE FUNCTION tenantplane_keep_removed();
