-- What the receipt of a customer's destroy says; empty in decisions of before.
ALTER TABLE removal_decision ADD COLUMN evidence jsonb NOT NULL DEFAULT '{}';
ALTER TABLE removal_decision ALTER COLUMN evidence DROP DEFAULT;

-- That a customer destroyed something is recorded for this tenant and a bundle that it was given.
CREATE FUNCTION tenantplane_check_destroy_receipt() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM saga JOIN tenant ON tenant.id = saga.tenant_id
            JOIN bundle ON bundle.tenant_id = tenant.id
        WHERE saga.id = NEW.saga_id
            AND tenant.slug = NEW.evidence ->> 'tenant'
            AND bundle.deployment_id = NEW.evidence ->> 'deployment'
            AND bundle.content_digest = NEW.evidence ->> 'content_digest'
            AND bundle.handed_over_at IS NOT NULL
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'destroy_receipt_of_this_tenant',
            MESSAGE = 'the receipt is of no bundle that this tenant was given';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_destroy_receipt BEFORE INSERT ON removal_decision
    FOR EACH ROW WHEN (NEW.word = 'customer_destroyed')
    EXECUTE FUNCTION tenantplane_check_destroy_receipt();

-- A dedicated Hub is frozen as a slice is, and a Hub of a customer inherits the keys of a slice.
ALTER TABLE deployment
    DROP CONSTRAINT ck_deployment_transfer_of_a_slice,
    ADD CONSTRAINT ck_deployment_transfer_of_ours
        CHECK (kind IN ('dedicated', 'slice') OR transfer = '{}'),
    DROP CONSTRAINT ck_deployment_inherited_by_a_dedicated,
    ADD CONSTRAINT ck_deployment_inherited_by_a_whole_hub
        CHECK (kind IN ('customer_run', 'dedicated') OR inherited = '{}');
ALTER TABLE saga DROP CONSTRAINT ck_saga_kind, ADD CONSTRAINT ck_saga_kind
    CHECK (kind IN ('mode_handover', 'mode_replacement', 'mode_upgrade', 'removal'));

CREATE TABLE import_report (
    id text COLLATE "C" NOT NULL,
    saga_id text COLLATE "C" NOT NULL,
    manifest_digest text NOT NULL,
    digest text NOT NULL,
    body jsonb NOT NULL,
    registered_by text NOT NULL,
    registered_at timestamptz NOT NULL,
    CONSTRAINT pk_import_report PRIMARY KEY (id),
    CONSTRAINT uq_import_report_saga_id_manifest_digest UNIQUE (saga_id, manifest_digest),
    CONSTRAINT fk_import_report_saga_id_saga
        FOREIGN KEY (saga_id) REFERENCES saga (id) DEFERRABLE INITIALLY DEFERRED
);
GRANT SELECT, INSERT ON import_report TO tenantplane_app;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON import_report
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();

-- A customer's Hub takes over only when its import report equals the newest manifest, and a bundle
-- of it was applied.
CREATE FUNCTION tenantplane_check_handover() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM saga JOIN import_report report ON report.saga_id = saga.id
        WHERE saga.tenant_id = NEW.tenant_id AND saga.kind = 'mode_handover'
            AND saga.ended_at IS NULL AND NOT saga.is_undoing
            AND saga.data ->> 'target' = NEW.id
            AND report.manifest_digest = saga.data #>> '{manifest,digest}'
    ) OR NOT EXISTS (
        SELECT FROM bundle WHERE deployment_id = NEW.id AND status = 'applied'
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'handover_is_complete',
            MESSAGE = 'nothing says that the data has arrived where it would be switched to';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_handover BEFORE UPDATE ON deployment
    FOR EACH ROW WHEN (
        NEW.kind = 'customer_run' AND NEW.position = 'current' AND OLD.position <> 'current'
    )
    EXECUTE FUNCTION tenantplane_check_handover();
