ALTER TABLE timer DROP CONSTRAINT ck_timer_kind, ADD CONSTRAINT ck_timer_kind CHECK (kind IN (
    'approval_expiry', 'bundle_expiry', 'bundle_watch', 'retention', 'run_details', 'run_turn',
    'run_watch'
));

-- Progress lines are never changed, and stay as long as their run may go on.
CREATE FUNCTION tenantplane_keep_lines() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF EXISTS (SELECT FROM run WHERE id = OLD.run_id AND status NOT IN (
        'applied', 'canceled', 'errored', 'expired', 'no_changes', 'policy_failed', 'rejected',
        'superseded'
    )) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'run_event_is_immutable',
            MESSAGE = 'the lines of a run that may go on are kept';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER refuse_change ON run_event;
CREATE TRIGGER refuse_change BEFORE UPDATE ON run_event
    FOR EACH ROW EXECUTE FUNCTION tenantplane_refuse_change();
CREATE TRIGGER keep_lines BEFORE DELETE ON run_event
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_lines();

GRANT DELETE ON run_event, engine_call TO tenantplane_app;

INSERT INTO timer (kind, subject, due_at)
    SELECT 'run_details', id, coalesce(ended_at, updated_at) + interval '90 days' FROM run
    WHERE status IN (
        'applied', 'canceled', 'errored', 'expired', 'no_changes', 'policy_failed', 'rejected',
        'superseded'
    );
