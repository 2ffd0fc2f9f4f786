CREATE TABLE stack_salt (
    id text COLLATE "C" NOT NULL,
    salt text,
    is_late boolean NOT NULL,
    made_at timestamptz NOT NULL,
    erased_at timestamptz,
    version integer NOT NULL,
    CONSTRAINT pk_stack_salt PRIMARY KEY (id),
    CONSTRAINT ck_stack_salt_salt CHECK (salt ~ '^[A-Za-z0-9_-]{43}$'),
    CONSTRAINT ck_stack_salt_erased CHECK ((salt IS NULL) = (erased_at IS NOT NULL)),
    CONSTRAINT fk_stack_salt_id_deployment
        FOREIGN KEY (id) REFERENCES deployment (id) DEFERRABLE INITIALLY DEFERRED
);
GRANT SELECT, INSERT, UPDATE ON stack_salt TO tenantplane_app;

-- A salt is made once. It is erased once, when its owner was removed and no hold wants what exists
-- to stay, and never comes back: without it nobody opens the state of its stack.
CREATE FUNCTION tenantplane_keep_salt() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL AND (
        NEW.id, NEW.is_late, NEW.made_at
    ) IS NOT DISTINCT FROM (OLD.id, OLD.is_late, OLD.made_at) AND EXISTS (
        SELECT FROM deployment
        LEFT JOIN tenant ON tenant.id = deployment.tenant_id
        LEFT JOIN hub ON hub.id = deployment.hub_id AND deployment.kind = 'hub'
        WHERE deployment.id = OLD.id AND (
            tenant.removed_at IS NOT NULL OR hub.removed_at IS NOT NULL
        ) AND NOT EXISTS (
            SELECT FROM hold
            WHERE hold.released_at IS NULL AND hold.kind IN ('legal', 'compliance')
                AND (hold.tenant_id = tenant.id OR hold.hub_id = hub.id)
        )
    ) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'salt_is_kept',
        MESSAGE = 'the salt of a stack is kept until its owner is removed, and erased once';
END $$;
CREATE TRIGGER keep_salt BEFORE UPDATE OR DELETE ON stack_salt
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_salt();

-- A certificate says that this was destroyed, so it is issued afterwards.
CREATE FUNCTION tenantplane_require_erasure() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (
        SELECT FROM stack_salt JOIN deployment USING (id)
        WHERE stack_salt.erased_at IS NULL AND (
            deployment.tenant_id = NEW.tenant_id
            OR deployment.hub_id = NEW.hub_id AND deployment.kind = 'hub'
        )
    ) OR EXISTS (
        SELECT FROM provisioning_request
        WHERE tenant_id = NEW.tenant_id AND COALESCE(body -> 'contacts', '[]') <> '[]'
    ) OR EXISTS (
        SELECT FROM handover JOIN bundle ON bundle.id = handover.bundle_id
        WHERE bundle.tenant_id = NEW.tenant_id
            AND (handover.recipient_name, handover.recipient_email) <> ('', '')
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'certified_after_erasure',
            MESSAGE = 'a removal is certified when keys and personal values are erased';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER require_erasure BEFORE INSERT ON certificate
    FOR EACH ROW EXECUTE FUNCTION tenantplane_require_erasure();

-- A removal that was closed and not certified yet takes the new step first.
UPDATE saga SET step = 'forget'
    WHERE kind = 'removal' AND step = 'certify' AND ended_at IS NULL;

-- What settling has read into a state, and nobody has decided on, stays a finding.
ALTER TABLE deployment ADD COLUMN is_read boolean NOT NULL DEFAULT false;
ALTER TABLE deployment ALTER COLUMN is_read DROP DEFAULT;

-- Settings of the application are erased by the destroy, as its plan says, so a change of mode has
-- no step for them any more.
UPDATE saga_step SET ended_at = now(), outcome = 'skipped', version = saga_step.version + 1,
        result = '{"why": "the destroy erases the settings of the application"}'
    FROM saga
    WHERE saga.id = saga_step.saga_id AND saga.kind IN ('mode_upgrade', 'mode_replacement')
        AND saga_step.name = 'empty' AND saga_step.ended_at IS NULL;
UPDATE saga SET step = 'destroy'
    WHERE kind IN ('mode_upgrade', 'mode_replacement') AND step = 'empty' AND ended_at IS NULL;

-- The checks at the end of a transaction are done now: a later migration may change these tables.
SET CONSTRAINTS ALL IMMEDIATE;
SET CONSTRAINTS ALL DEFERRED;
