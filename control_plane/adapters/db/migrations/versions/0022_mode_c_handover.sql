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
