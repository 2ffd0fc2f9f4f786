-- A contract was recorded once per envelope; now it is so per number.
DO $$
DECLARE
    twice text;
BEGIN
    SELECT string_agg(found.named, ', ' ORDER BY found.nth) FILTER (WHERE found.nth <= 20)
        || CASE WHEN count(*) > 20 THEN ' and ' || (count(*) - 20) || ' more' ELSE '' END
    INTO twice FROM (
        SELECT contract_id || ' of ' || provider || ' (' || string_agg(id, ', ' ORDER BY id) || ')'
            AS named, row_number() OVER (ORDER BY contract_id, provider) AS nth
        FROM contract GROUP BY provider, contract_id HAVING count(*) > 1
    ) AS found;
    IF twice IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP007',
            MESSAGE = 'more than one envelope has the same contract number: ' || twice;
    END IF;
END $$;
ALTER TABLE contract
    ADD CONSTRAINT uq_contract_provider_contract_id UNIQUE (provider, contract_id);
CREATE INDEX ix_tenant_domain ON tenant (domain);

CREATE TABLE refused_request (
    id text COLLATE "C" NOT NULL,
    provider text NOT NULL,
    envelope_id text NOT NULL,
    body_digest text NOT NULL,
    code text NOT NULL,
    requested_by text NOT NULL,
    refused_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_refused_request PRIMARY KEY (id)
);
CREATE INDEX ix_refused_request_contract ON refused_request (provider, envelope_id);

CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON refused_request
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();
GRANT SELECT, INSERT ON refused_request TO tenantplane_app;

-- a receipt may be corrected by another one
ALTER TABLE receipt
    DROP CONSTRAINT uq_receipt_bundle_id,
    ADD CONSTRAINT uq_receipt_bundle_id_digest UNIQUE (bundle_id, digest);
