-- A salt is made once. It is erased once, when its owner was removed or when the tenant has another
-- place and the former one was closed, and no hold wants what exists to stay. It never comes back.
CREATE OR REPLACE FUNCTION tenantplane_keep_salt() RETURNS trigger
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
            OR deployment.position = 'former' AND deployment.removed_at IS NOT NULL
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
