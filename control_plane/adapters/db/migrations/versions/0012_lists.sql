-- A page of a list is the newest ids of a status, a tenant or a company.
DROP INDEX ix_tenant_status, ix_tenant_domain, ix_provisioning_request_tenant_id, ix_run_status,
    ix_run_tenant_id, ix_approval_status, ix_approval_tenant_id, ix_bundle_status,
    ix_bundle_tenant_id, ix_deployment_hub_id;
CREATE INDEX ix_tenant_status ON tenant (status, id);
CREATE INDEX ix_tenant_domain ON tenant (domain, id);
CREATE INDEX ix_provisioning_request_tenant_id ON provisioning_request (tenant_id, id);
CREATE INDEX ix_run_status ON run (status, id);
CREATE INDEX ix_run_tenant_id ON run (tenant_id, id);
CREATE INDEX ix_approval_status ON approval (status, id);
CREATE INDEX ix_approval_tenant_id ON approval (tenant_id, id);
CREATE INDEX ix_bundle_status ON bundle (status, id);
CREATE INDEX ix_bundle_tenant_id ON bundle (tenant_id, id);
-- Each tenant is shown with its newest run and bundle, each Hub with the number of its slices.
CREATE INDEX ix_run_newest ON run (tenant_id, requested_at, id);
CREATE INDEX ix_bundle_newest ON bundle (tenant_id, created_at, id);
CREATE INDEX ix_deployment_hub_id ON deployment (hub_id, kind);
-- Tenants are searched by what they signed, whoever provides the signature.
CREATE INDEX ix_contract_envelope_id ON contract (envelope_id);
CREATE INDEX ix_contract_contract_id ON contract (contract_id);

-- Entries of a log are found by their action. The database reads it out of the entry: of a body in
-- canonical JSON it comes first, after the header line. It proves nothing.
ALTER TABLE audit_entry ADD COLUMN action text GENERATED ALWAYS AS (
    CASE WHEN position('\x0a7b22616374696f6e223a22'::bytea IN entry) > 0 THEN split_part(encode(
        substring(entry FROM position('\x0a7b22616374696f6e223a22'::bytea IN entry) + 12 FOR 64),
        'escape'), '"', 1) END
) STORED;
CREATE INDEX ix_audit_entry_action ON audit_entry (tenant_id, action, idx);
