CREATE TABLE hold (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    hub_id text COLLATE "C",
    kind text NOT NULL,
    applying text NOT NULL,
    reason text NOT NULL,
    placed_by text NOT NULL,
    placers jsonb NOT NULL,
    placed_at timestamptz NOT NULL,
    released_by text,
    released_person text,
    released_kind text,
    release_reason text,
    released_at timestamptz,
    version integer NOT NULL,
    CONSTRAINT pk_hold PRIMARY KEY (id),
    CONSTRAINT ck_hold_kind CHECK (kind IN ('compliance', 'legal', 'pause', 'safety')),
    CONSTRAINT ck_hold_applying CHECK (applying IN ('finishes', 'stops')),
    CONSTRAINT ck_hold_released_kind CHECK (released_kind IN ('service', 'system', 'user')),
    CONSTRAINT ck_hold_one_owner CHECK ((tenant_id IS NULL) <> (hub_id IS NULL)),
    CONSTRAINT ck_hold_released_by_somebody CHECK (
        num_nulls(released_by, released_person, released_kind, release_reason, released_at)
            IN (0, 5)
    ),
    CONSTRAINT ck_hold_another_person CHECK (
        kind NOT IN ('compliance', 'legal') OR released_at IS NULL
        OR released_kind = 'user' AND NOT placers ? released_by AND NOT placers ? released_person
    ),
    CONSTRAINT fk_hold_tenant_id_tenant
        FOREIGN KEY (tenant_id) REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_hold_hub_id_hub
        FOREIGN KEY (hub_id) REFERENCES hub (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_hold_tenant_id ON hold (tenant_id, id);
CREATE INDEX ix_hold_hub_id ON hold (hub_id, id);
GRANT SELECT, INSERT, UPDATE ON hold TO tenantplane_app;

ALTER TABLE hub ADD COLUMN hold boolean NOT NULL DEFAULT false;
ALTER TABLE hub ALTER COLUMN hold DROP DEFAULT;

ALTER TABLE run DROP CONSTRAINT ck_run_blocked_on, ADD CONSTRAINT ck_run_blocked_on CHECK (
    blocked_on IN (
        'foreign_lock', 'hold', 'hub_unavailable', 'no_account', 'pending_unresolved',
        'state_moved'
    )
);

-- A hold is placed, released once, and otherwise never changed.
CREATE FUNCTION tenantplane_check_hold() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' AND NEW.released_at IS NULL THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.released_at IS NULL AND NEW.released_at IS NOT NULL AND (
        NEW.id, NEW.tenant_id, NEW.hub_id, NEW.kind, NEW.applying, NEW.reason, NEW.placed_by,
        NEW.placers, NEW.placed_at
    ) IS NOT DISTINCT FROM (
        OLD.id, OLD.tenant_id, OLD.hub_id, OLD.kind, OLD.applying, OLD.reason, OLD.placed_by,
        OLD.placers, OLD.placed_at
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'hold_is_released_once',
        MESSAGE = 'a hold is placed and released once, and stays as a record';
END $$;
CREATE TRIGGER check_hold BEFORE INSERT OR UPDATE OR DELETE ON hold
    FOR EACH ROW EXECUTE FUNCTION tenantplane_check_hold();

-- When a transaction ends, an owner's row says whether a hold stands.
CREATE FUNCTION tenantplane_check_held() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    owners text[];
BEGIN
    IF TG_TABLE_NAME = 'hold' THEN
        owners := ARRAY[NEW.tenant_id, NEW.hub_id];
    ELSE
        owners := ARRAY[NEW.id];
    END IF;
    IF EXISTS (
        SELECT FROM (
            SELECT id, hold FROM tenant WHERE id = ANY (owners)
            UNION ALL SELECT id, hold FROM hub WHERE id = ANY (owners)
        ) AS owner
        WHERE owner.hold <> EXISTS (
            SELECT FROM hold AS standing
            WHERE (standing.tenant_id = owner.id OR standing.hub_id = owner.id)
                AND standing.released_at IS NULL
        )
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'owner_says_whether_it_is_held',
            MESSAGE = 'an owner says that it is held while a hold stands, and only then';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER check_held AFTER INSERT OR UPDATE ON hold
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tenantplane_check_held();
CREATE CONSTRAINT TRIGGER check_held AFTER UPDATE ON tenant
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.hold <> OLD.hold)
    EXECUTE FUNCTION tenantplane_check_held();
CREATE CONSTRAINT TRIGGER check_held AFTER UPDATE ON hub
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.hold <> OLD.hold)
    EXECUTE FUNCTION tenantplane_check_held();

-- A run of what is held does not begin to apply. Holds are placed with the owner's row locked, so
-- that of two who meet here one waits for the other. Whether an apply that began before is resumed
-- is what the hold says, and the gate's to ask.
CREATE FUNCTION tenantplane_refuse_held() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    own_tenant text;
    own_hub text;
BEGIN
    IF TG_OP = 'UPDATE' AND (
        OLD.status = 'applying' OR OLD.status = 'blocked' AND OLD.blocked_from = 'applying'
    ) THEN
        RETURN NEW;
    END IF;
    SELECT tenant_id, CASE WHEN tenant_id IS NULL THEN hub_id END INTO own_tenant, own_hub
        FROM deployment WHERE id = NEW.deployment_id;
    PERFORM FROM tenant WHERE id = own_tenant FOR NO KEY UPDATE;
    PERFORM FROM hub WHERE id = own_hub FOR NO KEY UPDATE;
    IF EXISTS (
        SELECT FROM hold
        WHERE (tenant_id = own_tenant OR hub_id = own_hub) AND released_at IS NULL
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_is_held',
            MESSAGE = 'a hold stands: the run does not begin to apply';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refuse_held BEFORE INSERT OR UPDATE ON run
    FOR EACH ROW WHEN (NEW.status = 'applying')
    EXECUTE FUNCTION tenantplane_refuse_held();
