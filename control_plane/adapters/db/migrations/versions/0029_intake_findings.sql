ALTER TABLE timer DROP CONSTRAINT ck_timer_kind, ADD CONSTRAINT ck_timer_kind CHECK (kind IN (
    'approval_expiry', 'bundle_expiry', 'bundle_watch', 'delivery_turn', 'drift_look',
    'intake_look', 'journey_turn', 'message_turn', 'onboarding_expiry', 'retention',
    'run_details', 'run_turn', 'run_watch', 'saga_turn', 'waiver_end'
));

CREATE TABLE intake_finding (
    id text COLLATE "C" NOT NULL,
    source text NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    digest text NOT NULL,
    explanation text NOT NULL,
    delivery_id text COLLATE "C",
    tenant_id text COLLATE "C",
    status text NOT NULL,
    found_at timestamp with time zone NOT NULL,
    last_seen_at timestamp with time zone NOT NULL,
    reason text,
    settled_by text,
    ended_at timestamp with time zone,
    version integer NOT NULL,
    CONSTRAINT pk_intake_finding PRIMARY KEY (id),
    CONSTRAINT fk_intake_finding_delivery_id_delivery FOREIGN KEY (delivery_id)
        REFERENCES delivery (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_intake_finding_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_intake_finding_kind CHECK (kind IN (
        'missing_here', 'missing_there', 'other_content', 'voided_there', 'won_without_contract'
    )),
    CONSTRAINT ck_intake_finding_status CHECK (status IN ('agreed', 'open', 'settled')),
    CONSTRAINT ck_intake_finding_ended CHECK ((status = 'open') = (ended_at IS NULL)),
    CONSTRAINT ck_intake_finding_ended_for_a_reason
        CHECK ((status = 'open') = (reason IS NULL)),
    CONSTRAINT ck_intake_finding_settled_by_somebody
        CHECK ((status = 'settled') = (settled_by IS NOT NULL)),
    CONSTRAINT ck_intake_finding_missing_has_its_delivery
        CHECK ((kind = 'missing_here') = (delivery_id IS NOT NULL))
);
CREATE UNIQUE INDEX uq_intake_finding_difference
    ON intake_finding (source, kind, subject, digest) WHERE status IN ('open', 'settled');
CREATE INDEX ix_intake_finding_status ON intake_finding (status, id);
CREATE INDEX ix_intake_finding_source ON intake_finding (source, id);
CREATE INDEX ix_intake_finding_tenant_id ON intake_finding (tenant_id, id);
CREATE INDEX ix_intake_finding_delivery_id ON intake_finding (delivery_id);
GRANT SELECT, INSERT, UPDATE ON intake_finding TO tenantplane_app;

-- What was found is never changed, and what has ended stays so.
CREATE FUNCTION tenantplane_keep_intake_finding() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF OLD.status <> 'open' THEN
        broken := 'intake_finding_has_ended';
    ELSIF (NEW.id, NEW.source, NEW.kind, NEW.subject, NEW.digest, NEW.explanation, NEW.delivery_id,
        NEW.tenant_id, NEW.found_at) IS DISTINCT FROM
        (OLD.id, OLD.source, OLD.kind, OLD.subject, OLD.digest, OLD.explanation, OLD.delivery_id,
        OLD.tenant_id, OLD.found_at) THEN
        broken := 'intake_finding_is_as_it_was';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'a finding is kept as it was made';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_intake_finding BEFORE UPDATE ON intake_finding
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_intake_finding();

CREATE TABLE intake_look (
    id text COLLATE "C" NOT NULL,
    "position" timestamp with time zone NOT NULL,
    checked text NOT NULL,
    turn integer NOT NULL,
    looked_at timestamp with time zone,
    error jsonb,
    version integer NOT NULL,
    CONSTRAINT pk_intake_look PRIMARY KEY (id)
);
GRANT SELECT, INSERT, UPDATE ON intake_look TO tenantplane_app;

-- A position that went back would only look again; one that jumped ahead of what was stored would
-- lose contracts, which no check can see. Turns are never enqueued twice.
CREATE FUNCTION tenantplane_keep_intake_look() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.id <> OLD.id OR NEW.position < OLD.position OR NEW.turn < OLD.turn
        OR NEW.checked < OLD.checked COLLATE "C" THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'intake_look_goes_on',
            MESSAGE = 'the position of a look never goes back';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_intake_look BEFORE UPDATE ON intake_look
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_intake_look();

INSERT INTO timer (kind, subject, due_at) SELECT 'intake_look', 'sources', now();
