CREATE TABLE approver_key (
    id text COLLATE "C" NOT NULL,
    actor_id text NOT NULL,
    person text NOT NULL,
    kind text NOT NULL,
    public_key text NOT NULL,
    fingerprint text NOT NULL,
    statement text NOT NULL,
    signature text NOT NULL,
    enrolled_at timestamp with time zone NOT NULL,
    confirmed_by text,
    confirmed_person text,
    confirm_key text,
    confirm_statement text,
    confirm_signature text,
    confirmed_at timestamp with time zone,
    revoked_by text,
    revoke_reason text,
    revoked_at timestamp with time zone,
    version integer NOT NULL,
    CONSTRAINT pk_approver_key PRIMARY KEY (id),
    CONSTRAINT uq_approver_key_fingerprint UNIQUE (fingerprint),
    CONSTRAINT ck_approver_key_kind CHECK (kind IN ('ssh-ed25519')),
    CONSTRAINT ck_approver_key_confirmed_by_somebody CHECK (
        num_nulls(confirmed_by, confirmed_person, confirm_key, confirm_statement,
            confirm_signature, confirmed_at) IN (0, 6)
    ),
    CONSTRAINT ck_approver_key_revoked_by_somebody
        CHECK (num_nulls(revoked_by, revoke_reason, revoked_at) IN (0, 3)),
    CONSTRAINT ck_approver_key_two_people CHECK (
        actor_id NOT IN (confirmed_by, confirmed_person)
        AND person NOT IN (confirmed_by, confirmed_person)
    )
);
CREATE INDEX ix_approver_key_actor_id ON approver_key (actor_id);
GRANT SELECT, INSERT, UPDATE ON approver_key TO tenantplane_app;

-- A key is enrolled, then confirmed once with a key of another person that stands, and revoked once.
-- While no confirmed key stands, an enrolled one confirms: the services let platform admins alone.
CREATE FUNCTION tenantplane_keep_approver_key() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.confirmed_at IS NOT NULL OR NEW.revoked_at IS NOT NULL THEN
            broken := 'approver_key_starts_enrolled';
        END IF;
    ELSIF TG_OP = 'DELETE' OR OLD.revoked_at IS NOT NULL
        OR (NEW.id, NEW.actor_id, NEW.person, NEW.kind, NEW.public_key, NEW.fingerprint,
            NEW.statement, NEW.signature, NEW.enrolled_at) IS DISTINCT FROM
            (OLD.id, OLD.actor_id, OLD.person, OLD.kind, OLD.public_key, OLD.fingerprint,
            OLD.statement, OLD.signature, OLD.enrolled_at)
        OR (OLD.confirmed_at IS NOT NULL
            AND (NEW.confirmed_by, NEW.confirmed_person, NEW.confirm_key, NEW.confirm_statement,
                NEW.confirm_signature, NEW.confirmed_at) IS DISTINCT FROM
                (OLD.confirmed_by, OLD.confirmed_person, OLD.confirm_key, OLD.confirm_statement,
                OLD.confirm_signature, OLD.confirmed_at))
    THEN
        broken := 'approver_key_is_kept';
    ELSIF OLD.confirmed_at IS NULL AND NEW.confirmed_at IS NOT NULL AND NOT EXISTS (
        SELECT FROM approver_key k
        WHERE k.fingerprint = NEW.confirm_key AND k.revoked_at IS NULL AND k.id <> NEW.id
            AND k.actor_id = NEW.confirmed_by AND (
                k.confirmed_at IS NOT NULL OR NOT EXISTS (
                    SELECT FROM approver_key
                    WHERE confirmed_at IS NOT NULL AND revoked_at IS NULL
                )
            )
    ) THEN
        broken := 'approver_key_is_confirmed_with_a_key';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'a key is enrolled, confirmed by another person, and revoked for good';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_approver_key BEFORE INSERT OR UPDATE OR DELETE ON approver_key
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_approver_key();

-- What waited or was given before asked for no signatures.
ALTER TABLE approval ADD COLUMN signed boolean NOT NULL DEFAULT false;
ALTER TABLE approval ALTER COLUMN signed DROP DEFAULT;
ALTER TABLE decision ADD COLUMN signed jsonb;
CREATE UNIQUE INDEX uq_decision_nonce ON decision ((signed ->> 'nonce')) WHERE signed IS NOT NULL;

CREATE FUNCTION tenantplane_keep_signed() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'approval_is_bound_to_its_plan',
        MESSAGE = 'whether an approval asks for signatures does not change';
END $$;
CREATE TRIGGER keep_signed BEFORE UPDATE ON approval
    FOR EACH ROW WHEN (NEW.signed IS DISTINCT FROM OLD.signed)
    EXECUTE FUNCTION tenantplane_keep_signed();

-- A decision is signed where its approval asks for that, and with a key that counts of who decides.
-- The signature itself is verified by the API, by workers and by auditors.
CREATE FUNCTION tenantplane_check_signed() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.signed IS NULL THEN
        IF EXISTS (SELECT FROM approval WHERE id = NEW.approval_id AND signed) THEN
            RAISE EXCEPTION USING ERRCODE = 'TP010', MESSAGE = 'the decision must be signed';
        END IF;
    ELSE
        PERFORM FROM approver_key
            WHERE fingerprint = NEW.signed ->> 'approver_key' AND actor_id = NEW.actor_id
                AND confirmed_at IS NOT NULL AND revoked_at IS NULL
            FOR SHARE;
        IF NOT FOUND OR num_nulls(NEW.signed ->> 'statement', NEW.signed ->> 'signature',
            NEW.signed ->> 'nonce', NEW.signed ->> 'reason_salt') <> 0
        THEN
            RAISE EXCEPTION USING ERRCODE = 'TP011',
                MESSAGE = 'a decision is signed with an own key that counts';
        END IF;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER check_signed BEFORE INSERT ON decision
    FOR EACH ROW EXECUTE FUNCTION tenantplane_check_signed();
