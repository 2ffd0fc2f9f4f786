ALTER TABLE timer DROP CONSTRAINT ck_timer_kind, ADD CONSTRAINT ck_timer_kind CHECK (kind IN (
    'approval_expiry', 'bundle_expiry', 'bundle_watch', 'delivery_turn', 'drift_look',
    'journey_turn', 'message_turn', 'retention', 'run_details', 'run_turn', 'run_watch',
    'saga_turn', 'waiver_end'
));

CREATE TABLE message (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    event text NOT NULL,
    persona text NOT NULL,
    channel text NOT NULL,
    locale text NOT NULL,
    message_class text NOT NULL,
    recipient_name text NOT NULL,
    recipient_email text NOT NULL,
    data jsonb NOT NULL,
    secrets jsonb NOT NULL,
    calendar_method text,
    calendar_content text,
    dedupe_key text NOT NULL,
    cause jsonb,
    status text NOT NULL,
    reason text,
    error jsonb,
    turn integer NOT NULL,
    attempts integer NOT NULL,
    lost_turns integer NOT NULL,
    may_be_twice boolean NOT NULL,
    message_id text NOT NULL,
    template text,
    template_digest text,
    system text,
    system_id text,
    queued_at timestamp with time zone NOT NULL,
    settled_at timestamp with time zone,
    erased_at timestamp with time zone,
    version integer NOT NULL,
    CONSTRAINT pk_message PRIMARY KEY (id),
    CONSTRAINT uq_message_dedupe_key UNIQUE (dedupe_key),
    CONSTRAINT uq_message_message_id UNIQUE (message_id),
    CONSTRAINT fk_message_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_message_channel CHECK (channel IN ('email')),
    CONSTRAINT ck_message_message_class
        CHECK (message_class IN ('commercial', 'lifecycle', 'transactional')),
    CONSTRAINT ck_message_status CHECK (status IN (
        'canceled', 'dead', 'queued', 'sending', 'sent', 'suppressed'
    )),
    CONSTRAINT ck_message_reason CHECK (reason IN (
        'bounced', 'by_person', 'erased', 'frequency', 'gave_up', 'hold', 'lost', 'no_system', 'opted_out',
        'put_off', 'refused', 'too_early', 'unprintable'
    )),
    CONSTRAINT ck_message_settled
        CHECK ((status IN ('queued', 'sending')) = (settled_at IS NULL)),
    CONSTRAINT ck_message_says_why
        CHECK (status NOT IN ('suppressed', 'dead', 'canceled') OR reason IS NOT NULL),
    CONSTRAINT ck_message_nothing_wrong
        CHECK (status NOT IN ('sending', 'sent') OR reason IS NULL),
    CONSTRAINT ck_message_sent_as_something CHECK (
        status NOT IN ('sending', 'sent') OR (template IS NOT NULL AND system IS NOT NULL)
    ),
    CONSTRAINT ck_message_template_has_digest
        CHECK ((template IS NULL) = (template_digest IS NULL)),
    CONSTRAINT ck_message_calendar_is_whole
        CHECK ((calendar_method IS NULL) = (calendar_content IS NULL)),
    CONSTRAINT ck_message_calendar_method CHECK (calendar_method IN ('REQUEST', 'CANCEL')),
    CONSTRAINT ck_message_counts CHECK (turn > 0 AND attempts >= 0 AND lost_turns >= 0),
    CONSTRAINT ck_message_erased_whole CHECK (
        (erased_at IS NULL AND recipient_email <> '')
        OR (erased_at IS NOT NULL AND status NOT IN ('queued', 'sending')
            AND recipient_email = '' AND recipient_name = '' AND data = '{}' AND secrets = '{}'
            AND calendar_content IS NULL)
    ),
    CONSTRAINT ck_message_one_line
        CHECK (recipient_email !~ '[[:cntrl:]]' AND recipient_name !~ '[[:cntrl:]]')
);
CREATE INDEX ix_message_tenant_id ON message (tenant_id, id);
CREATE INDEX ix_message_status ON message (status, id);
CREATE INDEX ix_message_event ON message (event, id);
CREATE INDEX ix_message_recipient_email ON message (lower(recipient_email), settled_at);
CREATE INDEX ix_message_settled_at ON message (settled_at)
    WHERE erased_at IS NULL AND status NOT IN ('dead', 'queued', 'sending');
GRANT SELECT, INSERT, UPDATE ON message TO tenantplane_app;

-- What was queued is never changed; recipient and content can be erased, all at once. Whether it
-- may have gone out twice is never taken back.
CREATE FUNCTION tenantplane_keep_message() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        broken := 'message_is_kept';
    ELSIF (NEW.id, NEW.tenant_id, NEW.event, NEW.persona, NEW.channel, NEW.locale,
        NEW.message_class, NEW.dedupe_key, NEW.cause, NEW.message_id, NEW.queued_at)
        IS DISTINCT FROM
        (OLD.id, OLD.tenant_id, OLD.event, OLD.persona, OLD.channel, OLD.locale,
        OLD.message_class, OLD.dedupe_key, OLD.cause, OLD.message_id, OLD.queued_at)
        OR NEW.erased_at IS NULL AND (NEW.recipient_name, NEW.recipient_email, NEW.data,
            NEW.secrets, NEW.calendar_method, NEW.calendar_content) IS DISTINCT FROM
            (OLD.recipient_name, OLD.recipient_email, OLD.data, OLD.secrets, OLD.calendar_method,
            OLD.calendar_content)
        OR OLD.erased_at IS NOT NULL AND NEW.erased_at IS DISTINCT FROM OLD.erased_at THEN
        broken := 'message_is_as_queued';
    ELSIF NEW.status <> OLD.status AND NOT (
        OLD.status = 'queued' AND NEW.status IN ('sending', 'suppressed', 'dead', 'canceled')
        OR OLD.status = 'sending' AND NEW.status IN ('queued', 'sent', 'dead')
        OR OLD.status IN ('suppressed', 'dead') AND NEW.status IN ('queued', 'canceled')
    ) THEN
        broken := 'message_moves';
    ELSIF NEW.turn < OLD.turn OR OLD.may_be_twice AND NOT NEW.may_be_twice THEN
        broken := 'message_counts';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'a message is kept as it was queued';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_message BEFORE UPDATE OR DELETE ON message
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_message();

CREATE FUNCTION tenantplane_begin_message() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.status <> 'queued' OR NEW.attempts <> 0 OR NEW.may_be_twice
        OR NEW.template IS NOT NULL OR NEW.system IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'message_begins',
            MESSAGE = 'a message begins as queued';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER begin_message BEFORE INSERT ON message
    FOR EACH ROW EXECUTE FUNCTION tenantplane_begin_message();

CREATE TABLE suppression (
    id text COLLATE "C" NOT NULL,
    address_sha256 text NOT NULL,
    domain text NOT NULL,
    kind text NOT NULL,
    reason text NOT NULL,
    added_by text NOT NULL,
    added_at timestamp with time zone NOT NULL,
    lifted_by text,
    lift_reason text,
    lifted_at timestamp with time zone,
    version integer NOT NULL,
    CONSTRAINT pk_suppression PRIMARY KEY (id),
    CONSTRAINT ck_suppression_kind CHECK (kind IN ('bounced', 'opted_out')),
    CONSTRAINT ck_suppression_lifted_by_somebody
        CHECK (num_nulls(lifted_by, lift_reason, lifted_at) IN (0, 3)),
    CONSTRAINT ck_suppression_is_a_digest CHECK (address_sha256 ~ '^[0-9a-f]{64}$')
);
CREATE UNIQUE INDEX uq_suppression_one_stands ON suppression (address_sha256, kind)
    WHERE lifted_at IS NULL;
GRANT SELECT, INSERT, UPDATE ON suppression TO tenantplane_app;

-- Who suppressed what is never changed; lifting is done once.
CREATE FUNCTION tenantplane_keep_suppression() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.lifted_at IS NOT NULL
        OR (NEW.id, NEW.address_sha256, NEW.domain, NEW.kind, NEW.reason, NEW.added_by,
            NEW.added_at) IS DISTINCT FROM
            (OLD.id, OLD.address_sha256, OLD.domain, OLD.kind, OLD.reason, OLD.added_by,
            OLD.added_at) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'suppression_is_kept',
            MESSAGE = 'a suppression is kept, and lifted once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_suppression BEFORE UPDATE OR DELETE ON suppression
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_suppression();

INSERT INTO timer (kind, subject, due_at) SELECT 'retention', 'messages', now();
