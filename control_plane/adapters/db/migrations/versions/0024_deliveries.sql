ALTER TABLE timer DROP CONSTRAINT ck_timer_kind, ADD CONSTRAINT ck_timer_kind CHECK (kind IN (
    'approval_expiry', 'bundle_expiry', 'bundle_watch', 'delivery_turn', 'drift_look',
    'retention', 'run_details', 'run_turn', 'run_watch', 'saga_turn', 'waiver_end'
));

CREATE TABLE delivery (
    id text COLLATE "C" NOT NULL,
    source text NOT NULL,
    dedupe_key text NOT NULL,
    account text,
    envelope_id text,
    event text,
    sha256 text NOT NULL,
    size integer NOT NULL,
    body bytea,
    key_name text,
    status text NOT NULL,
    code text,
    error jsonb,
    request_id text COLLATE "C",
    tenant_id text COLLATE "C",
    times_received integer NOT NULL,
    received_at timestamp with time zone NOT NULL,
    last_received_at timestamp with time zone NOT NULL,
    turn integer NOT NULL,
    lost_turns integer NOT NULL,
    is_additional boolean NOT NULL,
    decided_by text,
    decision_reason text,
    decided_at timestamp with time zone,
    settled_at timestamp with time zone,
    version integer NOT NULL,
    CONSTRAINT pk_delivery PRIMARY KEY (id),
    CONSTRAINT uq_delivery_dedupe_key UNIQUE (dedupe_key),
    CONSTRAINT fk_delivery_request_id_provisioning_request FOREIGN KEY (request_id)
        REFERENCES provisioning_request (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_delivery_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_delivery_status CHECK (status IN (
        'accepted', 'dismissed', 'held', 'ignored', 'received', 'refused', 'repeated'
    )),
    CONSTRAINT ck_delivery_code_of_error CHECK ((code IS NULL) = (error IS NULL)),
    CONSTRAINT ck_delivery_open_for_a_reason
        CHECK (status NOT IN ('held', 'refused') OR code IS NOT NULL),
    CONSTRAINT ck_delivery_made_a_tenant CHECK (
        status NOT IN ('accepted', 'repeated')
        OR (request_id IS NOT NULL AND tenant_id IS NOT NULL)
    ),
    CONSTRAINT ck_delivery_settled CHECK ((status = 'received') = (settled_at IS NULL)),
    CONSTRAINT ck_delivery_authentic
        CHECK (key_name IS NOT NULL OR (body IS NULL AND status = 'refused')),
    CONSTRAINT ck_delivery_has_its_content CHECK (status <> 'received' OR body IS NOT NULL),
    CONSTRAINT ck_delivery_decided_by_somebody
        CHECK (num_nulls(decided_by, decision_reason, decided_at) IN (0, 3)),
    CONSTRAINT ck_delivery_additional_by_somebody
        CHECK (NOT is_additional OR decided_by IS NOT NULL),
    CONSTRAINT ck_delivery_dismissed_by_somebody
        CHECK (status <> 'dismissed' OR decided_by IS NOT NULL),
    CONSTRAINT ck_delivery_small CHECK (body IS NULL OR octet_length(body) <= 262144),
    CONSTRAINT ck_delivery_received CHECK (times_received > 0)
);
CREATE INDEX ix_delivery_source ON delivery (source, id);
CREATE INDEX ix_delivery_status ON delivery (status, id);
CREATE INDEX ix_delivery_envelope_id ON delivery (envelope_id, id);
CREATE INDEX ix_delivery_tenant_id ON delivery (tenant_id, id);
CREATE INDEX ix_delivery_request_id ON delivery (request_id);
CREATE INDEX ix_delivery_settled_at ON delivery (settled_at)
    WHERE body IS NOT NULL AND status NOT IN ('held', 'refused', 'received');
CREATE INDEX ix_delivery_unsigned ON delivery (last_received_at) WHERE key_name IS NULL;
GRANT SELECT, INSERT, UPDATE, DELETE ON delivery TO tenantplane_app;

-- What was received is never changed; its content can be erased. What is settled stays so, and only
-- what nobody signed is deleted.
CREATE FUNCTION tenantplane_keep_delivery() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.key_name IS NULL THEN
            RETURN OLD;
        END IF;
        broken := 'delivery_is_kept';
    ELSIF (NEW.id, NEW.source, NEW.dedupe_key, NEW.account, NEW.envelope_id, NEW.event, NEW.sha256,
        NEW.size, NEW.key_name, NEW.received_at) IS DISTINCT FROM
        (OLD.id, OLD.source, OLD.dedupe_key, OLD.account, OLD.envelope_id, OLD.event, OLD.sha256,
        OLD.size, OLD.key_name, OLD.received_at)
        OR NEW.body IS DISTINCT FROM OLD.body AND NEW.body IS NOT NULL THEN
        broken := 'delivery_is_as_it_came';
    ELSIF NEW.status <> OLD.status AND NOT (
        OLD.status = 'received'
            AND NEW.status IN ('accepted', 'repeated', 'ignored', 'held', 'refused')
        OR OLD.status IN ('held', 'refused') AND NEW.status IN ('received', 'dismissed')
    ) THEN
        broken := 'delivery_moves';
    ELSIF NEW.turn < OLD.turn OR NEW.times_received < OLD.times_received THEN
        broken := 'delivery_counts';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'a delivery is kept as it came';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_delivery BEFORE UPDATE OR DELETE ON delivery
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_delivery();

-- A delivery begins as received, or refused when its signature was wrong.
CREATE FUNCTION tenantplane_begin_delivery() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF (NEW.key_name IS NOT NULL) <> (NEW.status = 'received')
        OR NEW.body IS NOT NULL AND octet_length(NEW.body) <> NEW.size THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'delivery_begins',
            MESSAGE = 'a delivery begins as received';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER begin_delivery BEFORE INSERT ON delivery
    FOR EACH ROW EXECUTE FUNCTION tenantplane_begin_delivery();

INSERT INTO timer (kind, subject, due_at) SELECT 'retention', 'deliveries', now();
