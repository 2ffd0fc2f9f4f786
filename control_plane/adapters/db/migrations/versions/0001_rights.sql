-- The application reads and writes its rows and deletes none but leases and old idempotency
-- records. The roles of the audit log have no rights here; theirs are in audit_grants.py.
GRANT USAGE ON SCHEMA public TO tenantplane_app;

GRANT SELECT, INSERT, UPDATE ON
    tenant, provisioning_request, hub, deployment, account, run, approval, bundle, handover,
    download_link, idempotency_record
    TO tenantplane_app;
GRANT SELECT, INSERT ON contract, run_event, plan, barred, decision, receipt TO tenantplane_app;
GRANT DELETE ON idempotency_record TO tenantplane_app;
GRANT SELECT ON alembic_version TO tenantplane_app;
