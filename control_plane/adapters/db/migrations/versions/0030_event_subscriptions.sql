CREATE TABLE event_subscription (
    id text COLLATE "C" NOT NULL,
    url text NOT NULL,
    types jsonb NOT NULL,
    tenant_id text COLLATE "C",
    description text,
    secrets jsonb NOT NULL,
    status text NOT NULL,
    code text,
    created_by text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_event_subscription PRIMARY KEY (id),
    CONSTRAINT fk_event_subscription_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_event_subscription_status CHECK (status IN ('active', 'disabled', 'paused')),
    CONSTRAINT ck_event_subscription_disabled_for_a_reason
        CHECK ((status = 'disabled') = (code IS NOT NULL)),
    CONSTRAINT ck_event_subscription_types CHECK (jsonb_array_length(types) BETWEEN 1 AND 30),
    CONSTRAINT ck_event_subscription_secrets CHECK (jsonb_array_length(secrets) BETWEEN 1 AND 2),
    CONSTRAINT ck_event_subscription_url CHECK (url ~ '^https?://' AND length(url) <= 2000)
);
CREATE INDEX ix_event_subscription_tenant_id ON event_subscription (tenant_id);

CREATE TABLE event_turn (
    subscription_id text COLLATE "C" NOT NULL,
    leased_until timestamp with time zone,
    retry_at timestamp with time zone,
    failures integer NOT NULL,
    failing_since timestamp with time zone,
    last_success_at timestamp with time zone,
    CONSTRAINT pk_event_turn PRIMARY KEY (subscription_id),
    CONSTRAINT ck_event_turn_failing CHECK ((failures = 0) = (failing_since IS NULL))
);

CREATE TABLE event_sequence (
    tree text COLLATE "C" NOT NULL,
    last bigint NOT NULL,
    CONSTRAINT pk_event_sequence PRIMARY KEY (tree)
);

CREATE TABLE outgoing_event (
    id bigint GENERATED ALWAYS AS IDENTITY,
    subscription_id text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    schema_version integer NOT NULL,
    tree text COLLATE "C" NOT NULL,
    sequence bigint NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    data jsonb NOT NULL,
    status text NOT NULL,
    attempts integer NOT NULL,
    next_at timestamp with time zone NOT NULL,
    tried_at timestamp with time zone,
    answer_code integer,
    failure text,
    answer bytea,
    sent_at timestamp with time zone,
    CONSTRAINT pk_outgoing_event PRIMARY KEY (id),
    CONSTRAINT ck_outgoing_event_status CHECK (status IN ('failed', 'pending', 'sent')),
    CONSTRAINT ck_outgoing_event_sent CHECK ((status = 'sent') = (sent_at IS NOT NULL)),
    CONSTRAINT ck_outgoing_event_answer CHECK (answer IS NULL OR octet_length(answer) <= 1024),
    CONSTRAINT ck_outgoing_event_attempts CHECK (attempts >= 0)
);
CREATE INDEX ix_outgoing_event_subscription_id ON outgoing_event (subscription_id, id);
CREATE INDEX ix_outgoing_event_due ON outgoing_event (subscription_id, next_at)
    WHERE status = 'pending';
CREATE INDEX ix_outgoing_event_order ON outgoing_event (subscription_id, tree, id)
    WHERE status = 'pending';
CREATE INDEX ix_outgoing_event_occurred_at ON outgoing_event (occurred_at);

CREATE TABLE sealing_key (
    id text COLLATE "C" NOT NULL,
    public bytea NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_sealing_key PRIMARY KEY (id),
    CONSTRAINT ck_sealing_key_public CHECK (octet_length(public) = 32)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON event_subscription, event_turn, outgoing_event
    TO tenantplane_app;
GRANT SELECT, INSERT, UPDATE ON event_sequence TO tenantplane_app;
GRANT SELECT, INSERT ON sealing_key TO tenantplane_app;

-- What an event says is never changed, and a subscription stays that of its tenant.
CREATE FUNCTION tenantplane_keep_event() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.id, NEW.subscription_id, NEW.event_id, NEW.name, NEW.schema_version, NEW.tree,
        NEW.sequence, NEW.occurred_at, NEW.data) IS DISTINCT FROM
        (OLD.id, OLD.subscription_id, OLD.event_id, OLD.name, OLD.schema_version, OLD.tree,
        OLD.sequence, OLD.occurred_at, OLD.data) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'event_is_as_it_was',
            MESSAGE = 'an event stays as it was published';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_event BEFORE UPDATE ON outgoing_event
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_event();

CREATE FUNCTION tenantplane_keep_subscription() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF (NEW.id, NEW.tenant_id, NEW.created_by, NEW.created_at) IS DISTINCT FROM
        (OLD.id, OLD.tenant_id, OLD.created_by, OLD.created_at) THEN
        broken := 'subscription_is_as_it_began';
    ELSIF NEW.status <> OLD.status AND NOT (
        OLD.status = 'active' OR NEW.status = 'active'
    ) THEN
        broken := 'subscription_moves';
    ELSIF (NEW.secrets -> -1 ->> 'generation')::integer
        < (OLD.secrets -> -1 ->> 'generation')::integer THEN
        broken := 'subscription_secrets_grow';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'a subscription changes as its rules say';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_subscription BEFORE UPDATE ON event_subscription
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_subscription();

INSERT INTO timer (kind, subject, due_at) SELECT 'retention', 'events', now();
