-- Who may read values of the log: an opening is one person's, for a minute and for named values; a
-- grant for an export is asked for by one person and given by another.
CREATE TABLE disclosure_grant (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    kind text NOT NULL,
    items jsonb NOT NULL,
    paths jsonb NOT NULL,
    first_idx bigint,
    last_idx bigint,
    reason text NOT NULL,
    requested_by text NOT NULL,
    requesters jsonb NOT NULL,
    requested_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    granted_by text,
    granted_person text,
    granted_kind text,
    granted_at timestamptz,
    version integer NOT NULL,
    CONSTRAINT pk_disclosure_grant PRIMARY KEY (id),
    CONSTRAINT fk_disclosure_grant_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_disclosure_grant_kind CHECK (kind IN ('export', 'opening')),
    CONSTRAINT ck_disclosure_grant_granted_kind
        CHECK (granted_kind IN ('service', 'system', 'user')),
    CONSTRAINT ck_disclosure_grant_granted_by_somebody CHECK (
        num_nulls(granted_by, granted_person, granted_kind, granted_at) IN (0, 4)
    ),
    CONSTRAINT ck_disclosure_grant_span
        CHECK (coalesce(first_idx, 0) >= 0 AND first_idx <= last_idx),
    CONSTRAINT ck_disclosure_grant_lasts CHECK (
        expires_at > requested_at AND expires_at <= requested_at
            + CASE kind WHEN 'opening' THEN interval '1 minute' ELSE interval '90 days' END
    ),
    CONSTRAINT ck_disclosure_grant_opening
        CHECK (kind <> 'opening' OR (granted_at IS NOT NULL AND jsonb_array_length(items) > 0)),
    CONSTRAINT ck_disclosure_grant_two_people CHECK (
        kind <> 'export' OR granted_at IS NULL OR (
            granted_kind = 'user'
            AND NOT requesters ? granted_by AND NOT requesters ? granted_person
            AND NOT requested_by IN (granted_by, granted_person)
        )
    )
);
CREATE INDEX ix_disclosure_grant_tenant_id ON disclosure_grant (tenant_id, id);
GRANT SELECT, INSERT, UPDATE ON disclosure_grant TO tenantplane_app;

-- What is to be erased is named when it is asked for, and is erased when another person confirms.
CREATE TABLE erasure (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C",
    is_everywhere boolean NOT NULL,
    scope text NOT NULL,
    parts jsonb NOT NULL,
    digest text NOT NULL,
    count integer NOT NULL,
    reason text NOT NULL,
    legal_reference text NOT NULL,
    requested_by text NOT NULL,
    requesters jsonb NOT NULL,
    requested_at timestamptz NOT NULL,
    requested_event text NOT NULL,
    expires_at timestamptz NOT NULL,
    confirmed_by text,
    confirmed_person text,
    confirmed_kind text,
    confirm_reason text,
    confirmed_at timestamptz,
    done_events jsonb NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_erasure PRIMARY KEY (id),
    CONSTRAINT fk_erasure_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_erasure_scope CHECK (scope IN ('paths', 'subject')),
    CONSTRAINT ck_erasure_everywhere CHECK (NOT is_everywhere OR tenant_id IS NULL),
    CONSTRAINT ck_erasure_confirmed_kind CHECK (confirmed_kind IN ('service', 'system', 'user')),
    CONSTRAINT ck_erasure_confirmed_by_somebody CHECK (
        num_nulls(confirmed_by, confirmed_person, confirmed_kind, confirm_reason, confirmed_at)
            IN (0, 5)
    ),
    CONSTRAINT ck_erasure_two_people CHECK (
        confirmed_at IS NULL OR (
            confirmed_kind = 'user' AND confirmed_at < expires_at
            AND NOT requesters ? confirmed_by AND NOT requesters ? confirmed_person
            AND NOT requested_by IN (confirmed_by, confirmed_person)
        )
    ),
    CONSTRAINT ck_erasure_names_values CHECK (jsonb_array_length(parts) > 0 AND count > 0),
    CONSTRAINT ck_erasure_done CHECK (
        CASE WHEN confirmed_at IS NULL THEN done_events = '[]'
            ELSE jsonb_array_length(done_events) = jsonb_array_length(parts) END
    )
);
CREATE INDEX ix_erasure_tenant_id ON erasure (tenant_id, id);
GRANT SELECT, INSERT, UPDATE ON erasure TO tenantplane_app;

-- The functions below read the log and its values as the tables' owner, for others. A session of the
-- owner itself sees nothing.
CREATE POLICY audit_disclosure_select_owner ON audit_disclosure FOR SELECT TO tenantplane_owner
    USING (session_user <> current_user);
CREATE POLICY audit_disclosure_update_owner ON audit_disclosure FOR UPDATE TO tenantplane_owner
    USING (session_user <> current_user);
CREATE POLICY audit_pending_select_owner ON audit_pending FOR SELECT TO tenantplane_owner
    USING (session_user <> current_user);
CREATE POLICY audit_entry_select_owner ON audit_entry FOR SELECT TO tenantplane_owner
    USING (session_user <> current_user);

-- Whether an event is recorded in a log, sequenced or not.
CREATE FUNCTION tenantplane_is_recorded(wanted uuid, log text, wanted_action text)
    RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM audit_pending
        WHERE event_id = wanted AND tenant_id = log
            -- canonical JSON begins with the action
            AND starts_with(convert_from(body, 'UTF8'), '{"action":"' || wanted_action || '"')
    ) OR EXISTS (
        SELECT FROM audit_entry
        WHERE event_id = wanted AND tenant_id = log AND action = wanted_action
    )
$$;

-- The values that a grant shows at an instant; the salt is what opens the commitment of each.
CREATE FUNCTION tenantplane_disclosed(wanted text, asked_at timestamptz)
    RETURNS TABLE (
        idx bigint, event_id uuid, path text, value text, salt bytea, erased_at timestamptz,
        erasure_event uuid
    )
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
DECLARE
    given disclosure_grant;
BEGIN
    SELECT * INTO given FROM disclosure_grant
    WHERE id = wanted AND granted_at IS NOT NULL AND expires_at > asked_at;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'TP009', MESSAGE = 'no such grant is valid now';
    END IF;
    IF given.kind = 'opening' THEN
        RETURN QUERY SELECT entry.idx, shown.event_id, shown.path, shown.value, shown.salt,
                shown.erased_at, shown.erasure_event
            FROM jsonb_array_elements(given.items) AS item
            JOIN audit_disclosure AS shown ON shown.tenant_id = coalesce(given.tenant_id, 'platform')
                AND shown.event_id = (item ->> 0)::uuid AND shown.path = item ->> 1
            LEFT JOIN audit_entry AS entry ON entry.event_id = shown.event_id
            ORDER BY entry.idx, shown.path;
    ELSE
        RETURN QUERY SELECT entry.idx, shown.event_id, shown.path, shown.value, shown.salt,
                shown.erased_at, shown.erasure_event
            FROM audit_entry AS entry JOIN audit_disclosure AS shown
                ON shown.tenant_id = entry.tenant_id AND shown.event_id = entry.event_id
            WHERE entry.tenant_id = coalesce(given.tenant_id, 'platform')
                AND entry.idx BETWEEN coalesce(given.first_idx, 0)
                    AND coalesce(given.last_idx, 9223372036854775807)
                AND (given.paths = '[]' OR given.paths ? split_part(shown.path, '.', 1))
            ORDER BY entry.idx, shown.path;
    END IF;
END $$;

-- The same for who makes an export, by the clock of the database and for one log.
CREATE FUNCTION tenantplane_granted(log text, wanted text)
    RETURNS TABLE (
        idx bigint, event_id uuid, path text, value text, salt bytea, erased_at timestamptz,
        erasure_event uuid
    )
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM disclosure_grant
        WHERE id = wanted AND kind = 'export' AND coalesce(tenant_id, 'platform') = log
    ) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP009', MESSAGE = 'no such grant is valid now';
    END IF;
    RETURN QUERY SELECT * FROM tenantplane_disclosed(wanted, clock_timestamp());
END $$;

-- Where values of a subject are: those that are it or name it as a word, and those beside them.
-- The subject is given as canonical JSON has it.
CREATE FUNCTION tenantplane_values_of(subject text, log text)
    RETURNS TABLE (tenant_id text, event_id uuid, path text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
    WITH named AS (
        SELECT found.tenant_id, found.event_id, found.path FROM audit_disclosure AS found
        WHERE found.erased_at IS NULL AND (log IS NULL OR found.tenant_id = log)
            AND found.value ~* (
                '(?<![[:alnum:]._\u0025+@-])' || regexp_replace(subject, '([^[:alnum:]])', '\\\1', 'g')
                || '(?![[:alnum:]_\u0025+@-])(?!\.[[:alnum:]])'
            )
    )
    SELECT DISTINCT beside.tenant_id, beside.event_id, beside.path
    FROM named JOIN audit_disclosure AS beside
        ON beside.tenant_id = named.tenant_id AND beside.event_id = named.event_id
    WHERE beside.erased_at IS NULL AND (
        beside.path = named.path
        OR position('.' IN named.path) > 0
            AND starts_with(beside.path, regexp_replace(named.path, '[^.]*$', ''))
    )
    ORDER BY 1, 2, 3
$$;

-- Which of some values, each an event and a path, are there and not erased.
CREATE FUNCTION tenantplane_values_at(log text, wanted jsonb)
    RETURNS TABLE (tenant_id text, event_id uuid, path text)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
    SELECT found.tenant_id, found.event_id, found.path
    FROM jsonb_array_elements(wanted) AS item JOIN audit_disclosure AS found
        ON found.tenant_id = log AND found.event_id = (item ->> 0)::uuid
            AND found.path = item ->> 1
    WHERE found.erased_at IS NULL
    ORDER BY 1, 2, 3
$$;

-- Erases what a confirmed erasure names; how many values that were.
CREATE FUNCTION tenantplane_erase(wanted text) RETURNS integer
    LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = public, pg_temp AS $$
DECLARE
    given erasure;
    erased integer;
BEGIN
    SELECT * INTO given FROM erasure WHERE id = wanted AND confirmed_at IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'erasure_is_confirmed',
            MESSAGE = 'values are erased when a second person has confirmed it';
    END IF;
    UPDATE audit_disclosure AS shown
        SET salt = NULL, value = NULL, erased_at = given.confirmed_at,
            erasure_event = (given.done_events ->> (part.place - 1)::integer)::uuid
        FROM jsonb_array_elements(given.parts) WITH ORDINALITY AS part(content, place),
            jsonb_array_elements(part.content -> 'values') AS item
        WHERE shown.tenant_id = part.content ->> 'tree' AND shown.event_id = (item ->> 0)::uuid
            AND shown.path = item ->> 1 AND shown.erased_at IS NULL;
    GET DIAGNOSTICS erased = ROW_COUNT;
    RETURN erased;
END $$;

REVOKE ALL ON FUNCTION tenantplane_is_recorded(uuid, text, text),
    tenantplane_disclosed(text, timestamptz), tenantplane_granted(text, text),
    tenantplane_values_of(text, text), tenantplane_values_at(text, jsonb), tenantplane_erase(text)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tenantplane_is_recorded(uuid, text, text),
    tenantplane_disclosed(text, timestamptz), tenantplane_values_of(text, text),
    tenantplane_values_at(text, jsonb), tenantplane_erase(text) TO tenantplane_app;
GRANT EXECUTE ON FUNCTION tenantplane_granted(text, text) TO tenantplane_auditor;

-- A grant or an erasure is as it was asked for, is decided once, and stays.
CREATE FUNCTION tenantplane_keep_grant() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' OR OLD.granted_at IS NOT NULL
        OR (NEW.id, NEW.tenant_id, NEW.kind, NEW.items, NEW.paths, NEW.first_idx, NEW.last_idx,
            NEW.reason, NEW.requested_by, NEW.requesters, NEW.requested_at, NEW.expires_at)
            IS DISTINCT FROM
            (OLD.id, OLD.tenant_id, OLD.kind, OLD.items, OLD.paths, OLD.first_idx, OLD.last_idx,
            OLD.reason, OLD.requested_by, OLD.requesters, OLD.requested_at, OLD.expires_at) THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'grant_is_kept',
            MESSAGE = 'a grant is kept as it was asked for, and given once';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_grant BEFORE UPDATE OR DELETE ON disclosure_grant
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_grant();

-- A grant for an export is asked for first: nobody asks and gives in one row.
CREATE FUNCTION tenantplane_begin_grant() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.kind = 'export' AND NEW.granted_at IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'grant_is_asked_for',
            MESSAGE = 'a grant for an export is asked for before it is given';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER begin_grant BEFORE INSERT ON disclosure_grant
    FOR EACH ROW EXECUTE FUNCTION tenantplane_begin_grant();

-- An erasure is confirmed after the log has its request, and not while a hold wants things to stay.
CREATE FUNCTION tenantplane_keep_erasure() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.confirmed_at IS NULL THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'UPDATE' AND OLD.confirmed_at IS NULL
        AND (NEW.id, NEW.tenant_id, NEW.is_everywhere, NEW.scope, NEW.parts, NEW.digest, NEW.count,
            NEW.reason, NEW.legal_reference, NEW.requested_by, NEW.requesters, NEW.requested_at,
            NEW.requested_event, NEW.expires_at)
            IS NOT DISTINCT FROM
            (OLD.id, OLD.tenant_id, OLD.is_everywhere, OLD.scope, OLD.parts, OLD.digest, OLD.count,
            OLD.reason, OLD.legal_reference, OLD.requested_by, OLD.requesters, OLD.requested_at,
            OLD.requested_event, OLD.expires_at) THEN
        IF EXISTS (
            SELECT FROM jsonb_array_elements(NEW.parts) AS part JOIN hold
                ON hold.tenant_id = part ->> 'tree'
                    OR hold.hub_id IS NOT NULL AND part ->> 'tree' = 'platform'
            WHERE hold.released_at IS NULL AND hold.kind IN ('legal', 'compliance')
        ) THEN
            RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'erasure_heeds_holds',
                MESSAGE = 'nothing is erased while a hold wants it to stay';
        END IF;
        IF NOT tenantplane_is_recorded(
            NEW.requested_event::uuid,
            CASE WHEN NEW.tenant_id IS NULL THEN 'platform' ELSE NEW.tenant_id END,
            'erasure.requested'
        ) THEN
            RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'erasure_is_recorded',
                MESSAGE = 'nothing is erased before the log has its request';
        END IF;
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'erasure_is_kept',
        MESSAGE = 'an erasure is kept as it was asked for, and confirmed once';
END $$;
CREATE TRIGGER keep_erasure BEFORE INSERT OR UPDATE OR DELETE ON erasure
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_erasure();

-- A value of the log is erased once, whole, and never changed, deleted or brought back.
CREATE FUNCTION tenantplane_keep_disclosure() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND OLD.erased_at IS NULL AND NEW.erased_at IS NOT NULL
        AND (NEW.tenant_id, NEW.event_id, NEW.path)
            IS NOT DISTINCT FROM (OLD.tenant_id, OLD.event_id, OLD.path) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'disclosure_is_kept',
        MESSAGE = 'a personal value of the log is kept as it is, or erased';
END $$;
CREATE TRIGGER keep_disclosure BEFORE UPDATE OR DELETE ON audit_disclosure
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_disclosure();

-- At the end of the transaction the log must have the event that names what was erased.
CREATE FUNCTION tenantplane_require_done() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT tenantplane_is_recorded(NEW.erasure_event, NEW.tenant_id, 'erasure.done') THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'erasure_is_recorded',
            MESSAGE = 'nothing is erased without its event in the log';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER require_done AFTER UPDATE ON audit_disclosure
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION tenantplane_require_done();

INSERT INTO timer (kind, subject, due_at) SELECT 'retention', 'personal', now();
