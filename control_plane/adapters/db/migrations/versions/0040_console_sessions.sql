CREATE TABLE console_session (
    id text COLLATE "C" NOT NULL,
    actor jsonb NOT NULL,
    secret_hmac text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    version integer NOT NULL,
    CONSTRAINT pk_console_session PRIMARY KEY (id),
    CONSTRAINT ck_console_session_eight_hours
        CHECK (expires_at > started_at AND expires_at <= started_at + interval '8 hours')
);
CREATE INDEX ix_console_session_expires_at ON console_session (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON console_session TO tenantplane_app;

-- A session is of one person with the roles of its beginning, gets no longer time, and ends once.
CREATE FUNCTION tenantplane_keep_console_session() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.id, NEW.actor, NEW.secret_hmac, NEW.started_at, NEW.expires_at)
        IS DISTINCT FROM
        (OLD.id, OLD.actor, OLD.secret_hmac, OLD.started_at, OLD.expires_at)
        OR NEW.seen_at < OLD.seen_at OR OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'console_session_is_kept',
            MESSAGE = 'a session keeps its person and its time, and ends once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_console_session BEFORE UPDATE ON console_session
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_console_session();
