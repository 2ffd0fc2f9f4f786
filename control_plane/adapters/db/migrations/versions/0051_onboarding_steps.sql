CREATE TABLE onboarding_step (
    id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    document text NOT NULL,
    status text NOT NULL,
    answers jsonb NOT NULL,
    changed_by text NOT NULL,
    changed_at timestamp with time zone NOT NULL,
    version integer NOT NULL,
    CONSTRAINT pk_onboarding_step PRIMARY KEY (id),
    CONSTRAINT fk_onboarding_step_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_onboarding_step_status
        CHECK (status IN ('complete', 'open', 'reopened', 'saved')),
    CONSTRAINT ck_onboarding_step_answers CHECK (jsonb_typeof(answers) = 'object')
);
CREATE UNIQUE INDEX uq_onboarding_step_key ON onboarding_step (tenant_id, key);
GRANT SELECT, INSERT, UPDATE ON onboarding_step TO tenantplane_app;

CREATE TABLE onboarding_step_version (
    id text COLLATE "C" NOT NULL,
    step_id text COLLATE "C" NOT NULL,
    tenant_id text COLLATE "C" NOT NULL,
    number integer NOT NULL,
    act text NOT NULL,
    status text NOT NULL,
    document text NOT NULL,
    answers jsonb NOT NULL,
    made_by text NOT NULL,
    made_at timestamp with time zone NOT NULL,
    CONSTRAINT pk_onboarding_step_version PRIMARY KEY (id),
    CONSTRAINT fk_onboarding_step_version_step_id_onboarding_step FOREIGN KEY (step_id)
        REFERENCES onboarding_step (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT fk_onboarding_step_version_tenant_id_tenant FOREIGN KEY (tenant_id)
        REFERENCES tenant (id) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT ck_onboarding_step_version_act
        CHECK (act IN ('completed', 'reopened', 'reset', 'saved')),
    CONSTRAINT ck_onboarding_step_version_status
        CHECK (status IN ('complete', 'open', 'reopened', 'saved')),
    CONSTRAINT ck_onboarding_step_version_leads_to CHECK (
        status = CASE act WHEN 'saved' THEN 'saved' WHEN 'completed' THEN 'complete'
            WHEN 'reopened' THEN 'reopened' ELSE 'open' END
    )
);
CREATE UNIQUE INDEX uq_onboarding_step_version_number ON onboarding_step_version (step_id, number);
CREATE INDEX ix_onboarding_step_version_tenant_id ON onboarding_step_version (tenant_id, id);
GRANT SELECT, INSERT, UPDATE ON onboarding_step_version TO tenantplane_app;

-- A step begins with a save and moves as the domain's table says; what is complete keeps its
-- answers until it is opened again. Answers can be erased whatever the status is.
CREATE FUNCTION tenantplane_keep_onboarding_step() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    broken text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NEW.status <> 'saved' THEN
            broken := 'onboarding_step_begins_saved';
        END IF;
    ELSIF TG_OP = 'DELETE' OR (NEW.id, NEW.tenant_id, NEW.key) IS DISTINCT FROM
        (OLD.id, OLD.tenant_id, OLD.key) OR NEW.version <> OLD.version + 1 THEN
        broken := 'onboarding_step_is_kept';
    ELSIF (OLD.status, NEW.status) NOT IN (('open', 'saved'), ('saved', 'saved'),
        ('saved', 'complete'), ('complete', 'reopened'), ('complete', 'open'),
        ('reopened', 'saved'), ('reopened', 'complete'))
        AND NOT (NEW.status = OLD.status AND NEW.answers = '{}') THEN
        broken := 'onboarding_step_moves';
    ELSIF NEW.answers <> OLD.answers AND NEW.answers <> '{}' AND NEW.status <> 'saved' THEN
        broken := 'onboarding_step_answers_are_saved';
    END IF;
    IF broken IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = broken,
            MESSAGE = 'a step is saved, completed and opened again in this order';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_onboarding_step BEFORE INSERT OR UPDATE OR DELETE ON onboarding_step
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_onboarding_step();

-- A version stays as it was made; what people answered can be erased from it.
CREATE FUNCTION tenantplane_keep_onboarding_step_version() RETURNS trigger
    LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF EXISTS (SELECT FROM onboarding_step s WHERE s.id = NEW.step_id
            AND s.tenant_id = NEW.tenant_id AND s.version = NEW.number
            AND s.status = NEW.status AND s.answers = NEW.answers) THEN
            RETURN NEW;
        END IF;
    ELSIF TG_OP = 'UPDATE' AND NEW.answers = '{}' AND (NEW.id, NEW.step_id, NEW.tenant_id,
        NEW.number, NEW.act, NEW.status, NEW.document, NEW.made_by, NEW.made_at) IS NOT DISTINCT
        FROM (OLD.id, OLD.step_id, OLD.tenant_id, OLD.number, OLD.act, OLD.status, OLD.document,
        OLD.made_by, OLD.made_at) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION USING ERRCODE = 'TP006', CONSTRAINT = 'onboarding_step_version_is_kept',
        MESSAGE = 'a version of a step is what the step was, and stays';
END $$;
CREATE TRIGGER keep_onboarding_step_version
    BEFORE INSERT OR UPDATE OR DELETE ON onboarding_step_version
    FOR EACH ROW EXECUTE FUNCTION tenantplane_keep_onboarding_step_version();
