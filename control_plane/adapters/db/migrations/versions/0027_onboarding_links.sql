ALTER TABLE timer DROP CONSTRAINT ck_timer_kind, ADD CONSTRAINT ck_timer_kind CHECK (kind IN (
    'approval_expiry', 'bundle_expiry', 'bundle_watch', 'delivery_turn', 'drift_look',
    'journey_turn', 'message_turn', 'onboarding_expiry', 'retention', 'run_details', 'run_turn',
    'run_watch', 'saga_turn', 'waiver_end'
));

CREATE TABLE onboarding_link (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    recipient_hmac text NOT NULL,
    nonce text,
    secret_hmac text NOT NULL,
    status text NOT NULL,
    issued_by text NOT NULL,
    issued_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    cause jsonb,
    first_viewed_at timestamp with time zone,
    code_number integer NOT NULL,
    code_hmac text,
    code_sent_at timestamp with time zone,
    code_expires_at timestamp with time zone,
    failures integer NOT NULL,
    used_at timestamp with time zone,
    used_from text,
    replayed_at timestamp with time zone,
    ended_at timestamp with time zone,
    end_reason text,
    ended_by text,
    version integer NOT NULL,
    CONSTRAINT pk_onboarding_link PRIMARY KEY (id),
    CONSTRAINT fk_onboarding_link_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_onboarding_link_status
        CHECK (status IN ('expired', 'issued', 'locked', 'revoked', 'used')),
    CONSTRAINT ck_onboarding_link_end_reason
        CHECK (end_reason IN ('by_person', 'replaced', 'undone')),
    CONSTRAINT ck_onboarding_link_nonce_while_valid
        CHECK ((status = 'issued') = (nonce IS NOT NULL)),
    CONSTRAINT ck_onboarding_link_ended CHECK ((status = 'issued') = (ended_at IS NULL)),
    CONSTRAINT ck_onboarding_link_code_expires
        CHECK ((code_hmac IS NULL) = (code_expires_at IS NULL)),
    CONSTRAINT ck_onboarding_link_code_while_valid
        CHECK (status = 'issued' OR code_hmac IS NULL),
    CONSTRAINT ck_onboarding_link_used_from_somewhere
        CHECK (num_nulls(used_at, used_from) IN (0, 2)),
    CONSTRAINT ck_onboarding_link_used CHECK (
        CASE status WHEN 'used' THEN used_at IS NOT NULL WHEN 'revoked' THEN true
        ELSE used_at IS NULL END
    ),
    CONSTRAINT ck_onboarding_link_revoked_for_a_reason
        CHECK ((status = 'revoked') = (end_reason IS NOT NULL)),
    CONSTRAINT ck_onboarding_link_revoked_by_somebody
        CHECK ((end_reason IS NULL) = (ended_by IS NULL)),
    CONSTRAINT ck_onboarding_link_codes CHECK (code_number BETWEEN 0 AND 5),
    CONSTRAINT ck_onboarding_link_failures CHECK (failures BETWEEN 0 AND 5),
    CONSTRAINT ck_onboarding_link_one_day
        CHECK (expires_at = issued_at + interval '24 hours')
);
CREATE INDEX ix_onboarding_link_tenant_id ON onboarding_link (tenant_id, id);
CREATE UNIQUE INDEX uq_onboarding_link_one_valid ON onboarding_link (tenant_id)
    WHERE status = 'issued';
GRANT SELECT, INSERT, UPDATE ON onboarding_link TO tenantplane_app;

-- A link that has ended is never valid again, and one that was used stays used; nothing gives it
-- another secret or a longer time. Failures and codes are only counted up.
CREATE FUNCTION tenantplane_keep_onboarding_link() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE'
        OR (NEW.id, NEW.tenant_id, NEW.recipient_hmac, NEW.secret_hmac, NEW.issued_by,
            NEW.issued_at, NEW.expires_at, NEW.cause) IS DISTINCT FROM
            (OLD.id, OLD.tenant_id, OLD.recipient_hmac, OLD.secret_hmac, OLD.issued_by,
            OLD.issued_at, OLD.expires_at, OLD.cause)
        OR OLD.nonce IS NOT NULL AND NEW.nonce IS NOT NULL AND NEW.nonce <> OLD.nonce
        OR OLD.status <> 'issued' AND NEW.status <> OLD.status
            AND NOT (OLD.status = 'used' AND NEW.status = 'revoked')
        OR OLD.used_at IS NOT NULL AND (NEW.used_at, NEW.used_from) IS DISTINCT FROM
            (OLD.used_at, OLD.used_from)
        OR NEW.failures < OLD.failures OR NEW.code_number < OLD.code_number THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'onboarding_link_is_kept',
            MESSAGE = 'a link that has ended is never valid again, and none is changed';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_onboarding_link BEFORE UPDATE OR DELETE ON onboarding_link
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_onboarding_link();

CREATE TABLE onboarding_session (
    id text COLLATE "C" NOT NULL,
    link_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    role text NOT NULL,
    secret_hmac text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    seen_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    version integer NOT NULL,
    CONSTRAINT pk_onboarding_session PRIMARY KEY (id),
    CONSTRAINT fk_onboarding_session_link_id_onboarding_link FOREIGN KEY (link_id)
        REFERENCES onboarding_link (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_onboarding_session_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_onboarding_session_role CHECK (role = 'it_admin'),
    CONSTRAINT ck_onboarding_session_eight_hours
        CHECK (expires_at = started_at + interval '8 hours')
);
CREATE UNIQUE INDEX uq_onboarding_session_link_id ON onboarding_session (link_id);
CREATE INDEX ix_onboarding_session_tenant_id ON onboarding_session (tenant_id);
CREATE INDEX ix_onboarding_session_expires_at ON onboarding_session (expires_at);
GRANT SELECT, INSERT, UPDATE, DELETE ON onboarding_session TO tenantplane_app;

-- A session belongs to the tenant of its link, opens when the link was used, and ends once.
CREATE FUNCTION tenantplane_keep_onboarding_session() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NOT EXISTS (SELECT FROM onboarding_link l WHERE l.id = NEW.link_id
            AND l.tenant_id = NEW.tenant_id AND l.status = 'used') THEN
            RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'onboarding_session_of_its_link',
                MESSAGE = 'only a link that was used opens a session, of its own tenant';
        END IF;
    ELSIF (NEW.id, NEW.link_id, NEW.tenant_id, NEW.secret_hmac, NEW.started_at, NEW.expires_at)
        IS DISTINCT FROM
        (OLD.id, OLD.link_id, OLD.tenant_id, OLD.secret_hmac, OLD.started_at, OLD.expires_at)
        OR NEW.seen_at < OLD.seen_at OR OLD.ended_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'onboarding_session_is_kept',
            MESSAGE = 'a session keeps its tenant and its time, and ends once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_onboarding_session BEFORE INSERT OR UPDATE ON onboarding_session
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_onboarding_session();

CREATE TABLE onboarding_attempt (
    source text COLLATE "C" NOT NULL,
    minute timestamp with time zone NOT NULL,
    attempts integer NOT NULL,
    CONSTRAINT pk_onboarding_attempt PRIMARY KEY (source, minute),
    CONSTRAINT ck_onboarding_attempt_counts CHECK (attempts > 0)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON onboarding_attempt TO tenantplane_app;

INSERT INTO timer (kind, subject, due_at) SELECT 'retention', 'onboarding', now();
