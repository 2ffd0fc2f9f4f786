ALTER TABLE plan DROP COLUMN saved_plan_ref;
