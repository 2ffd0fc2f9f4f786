ALTER TABLE deployment
    ADD COLUMN position text NOT NULL DEFAULT 'current',
    ADD COLUMN transfer jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN inherited jsonb NOT NULL DEFAULT '{}',
    ADD CONSTRAINT ck_deployment_position CHECK (position IN ('current', 'former', 'next')),
    ADD CONSTRAINT ck_deployment_transfer_of_a_slice CHECK (kind = 'slice' OR transfer = '{}'),
    ADD CONSTRAINT ck_deployment_inherited_by_a_dedicated
        CHECK (kind = 'dedicated' OR inherited = '{}');
ALTER TABLE deployment
    ALTER COLUMN position DROP DEFAULT,
    ALTER COLUMN transfer DROP DEFAULT,
    ALTER COLUMN inherited DROP DEFAULT;
CREATE UNIQUE INDEX uq_deployment_one_is_current ON deployment (tenant_id, environment)
    WHERE tenant_id IS NOT NULL AND position = 'current';

-- What was current is never current again: a switch has no way back.
CREATE FUNCTION tenantplane_check_position() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (OLD.position, NEW.position) NOT IN (
        ('next', 'current'), ('next', 'former'), ('current', 'former'), ('former', 'next')
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'deployment_position',
            MESSAGE = 'what took the place of a deployment is not taken back';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_position BEFORE UPDATE ON deployment
    FOR EACH ROW WHEN (NEW.position <> OLD.position)
    EXECUTE FUNCTION tenantplane_check_position();

ALTER TABLE saga DROP CONSTRAINT ck_saga_kind, ADD CONSTRAINT ck_saga_kind
    CHECK (kind IN ('mode_replacement', 'mode_upgrade', 'removal'));

CREATE TABLE transferred (
    saga_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    name_sha256 text NOT NULL,
    name text NOT NULL,
    version text NOT NULL,
    target_version text NOT NULL,
    digest text NOT NULL,
    size bigint NOT NULL,
    CONSTRAINT pk_transferred PRIMARY KEY (saga_id, name_sha256),
    CONSTRAINT ck_transferred_kind CHECK (kind IN ('item', 'object', 'parameter', 'secret')),
    CONSTRAINT fk_transferred_saga_id_saga
        FOREIGN KEY (saga_id) REFERENCES saga (id) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX ix_transferred_kind ON transferred (saga_id, kind);
GRANT SELECT, INSERT, UPDATE, DELETE ON transferred TO tenantplane_app;
