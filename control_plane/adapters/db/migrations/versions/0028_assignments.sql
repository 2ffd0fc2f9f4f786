CREATE TABLE assignment (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    role text NOT NULL,
    person_key text NOT NULL,
    segment text NOT NULL,
    weight integer NOT NULL,
    capacity integer NOT NULL,
    is_queue_owner boolean NOT NULL,
    reason text NOT NULL,
    explanation jsonb NOT NULL,
    cause jsonb,
    previous_id text COLLATE "C",
    assigned_by text NOT NULL,
    since timestamp with time zone NOT NULL,
    until timestamp with time zone,
    ended_by text,
    end_reason text,
    version integer NOT NULL,
    CONSTRAINT pk_assignment PRIMARY KEY (id),
    CONSTRAINT fk_assignment_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_assignment_previous_id_assignment FOREIGN KEY (previous_id)
        REFERENCES assignment (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_assignment_role
        CHECK (role IN ('csm', 'executive_sponsor_partner', 'solutions_engineer')),
    CONSTRAINT ck_assignment_points CHECK (weight > 0 AND capacity > 0),
    CONSTRAINT ck_assignment_ended_by_somebody
        CHECK (num_nulls(until, ended_by, end_reason) IN (0, 3)),
    CONSTRAINT ck_assignment_ends_after_its_start CHECK (until IS NULL OR until >= since)
);
CREATE UNIQUE INDEX uq_assignment_one_is_open ON assignment (tenant_id, role)
    WHERE until IS NULL;
CREATE INDEX ix_assignment_tenant_id ON assignment (tenant_id, id);
CREATE INDEX ix_assignment_person_key ON assignment (person_key, since);
CREATE INDEX ix_assignment_previous_id ON assignment (previous_id);
GRANT SELECT, INSERT, UPDATE ON assignment TO tenantplane_app;

-- Nobody gets more than their points, or a fourth tenant to sponsor, whoever assigns at the same
-- time: those who assign one person take turns, and each sees what the one before did.
CREATE FUNCTION tenantplane_begin_assignment() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    points bigint;
    sponsored bigint;
    broken text;
BEGIN
    IF NEW.until IS NOT NULL THEN
        broken := 'assignment_begins_open';
    ELSIF NOT NEW.is_queue_owner THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('assignment:' || NEW.person_key, 0));
        SELECT coalesce(sum(weight), 0), count(*) FILTER (WHERE role = 'executive_sponsor_partner')
            INTO points, sponsored FROM assignment
            WHERE person_key = NEW.person_key AND until IS NULL AND NOT is_queue_owner;
        IF points + NEW.weight > NEW.capacity THEN
            broken := 'assignment_within_capacity';
        ELSIF NEW.role = 'executive_sponsor_partner' AND sponsored >= 3 THEN
            broken := 'assignment_sponsors_three';
        END IF;
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'an assignment begins open, within the points of the person';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER begin_assignment BEFORE INSERT ON assignment
    FOR EACH ROW EXECUTE FUNCTION tenantplane_begin_assignment();

-- An assignment ends once; what people wrote can be erased, and nothing else changes.
CREATE FUNCTION tenantplane_keep_assignment() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE'
        OR (NEW.id, NEW.tenant_id, NEW.role, NEW.person_key, NEW.segment, NEW.weight, NEW.capacity,
            NEW.is_queue_owner, NEW.explanation, NEW.cause, NEW.previous_id, NEW.assigned_by,
            NEW.since) IS DISTINCT FROM
            (OLD.id, OLD.tenant_id, OLD.role, OLD.person_key, OLD.segment, OLD.weight, OLD.capacity,
            OLD.is_queue_owner, OLD.explanation, OLD.cause, OLD.previous_id, OLD.assigned_by,
            OLD.since)
        OR NEW.reason <> OLD.reason AND NEW.reason <> ''
        OR OLD.until IS NOT NULL AND ((NEW.until, NEW.ended_by) IS DISTINCT FROM
            (OLD.until, OLD.ended_by)
            OR NEW.end_reason IS DISTINCT FROM OLD.end_reason AND NEW.end_reason <> '') THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'assignment_is_kept',
            MESSAGE = 'an assignment is kept, and ends once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_assignment BEFORE UPDATE OR DELETE ON assignment
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_assignment();

CREATE TABLE meeting (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    uid text NOT NULL,
    sequence integer NOT NULL,
    status text NOT NULL,
    title text NOT NULL,
    starts_at timestamp with time zone NOT NULL,
    ends_at timestamp with time zone NOT NULL,
    zone text NOT NULL,
    attendees jsonb NOT NULL,
    missing jsonb NOT NULL,
    cause jsonb,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_meeting PRIMARY KEY (id),
    CONSTRAINT fk_meeting_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_meeting_status CHECK (status IN ('canceled', 'invited')),
    CONSTRAINT ck_meeting_ends_after_its_start CHECK (ends_at > starts_at),
    CONSTRAINT ck_meeting_sequence CHECK (sequence >= 0)
);
CREATE UNIQUE INDEX uq_meeting_uid ON meeting (uid);
CREATE UNIQUE INDEX uq_meeting_one_is_open ON meeting (tenant_id, kind)
    WHERE status = 'invited';
CREATE INDEX ix_meeting_tenant_id ON meeting (tenant_id, id);
CREATE INDEX ix_meeting_ends_at ON meeting (ends_at) WHERE status = 'invited';
GRANT SELECT, INSERT, UPDATE ON meeting TO tenantplane_app;

-- A calendar takes a change only with a higher sequence (RFC 5546, 2.1.4), and knows a meeting by
-- its uid; one that was called off does not come back.
CREATE FUNCTION tenantplane_keep_meeting() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'DELETE' THEN
        broken := 'meeting_is_kept';
    ELSIF (NEW.id, NEW.tenant_id, NEW.kind, NEW.uid, NEW.cause, NEW.created_at) IS DISTINCT FROM
        (OLD.id, OLD.tenant_id, OLD.kind, OLD.uid, OLD.cause, OLD.created_at) THEN
        broken := 'meeting_is_kept';
    ELSIF NEW.sequence < OLD.sequence
        OR NEW.sequence = OLD.sequence
            AND ((NEW.starts_at, NEW.ends_at, NEW.status) IS DISTINCT FROM
                (OLD.starts_at, OLD.ends_at, OLD.status)
            OR NEW.attendees <> OLD.attendees AND NEW.attendees <> '[]') THEN
        broken := 'meeting_sequence_grows';
    ELSIF OLD.status = 'canceled' AND NEW.status <> OLD.status THEN
        broken := 'meeting_moves';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'a meeting is kept, and each change has a number of its own';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_meeting BEFORE UPDATE OR DELETE ON meeting
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_meeting();
