ALTER TABLE deployment DROP COLUMN stack_salt, DROP COLUMN encrypted_key;
ALTER TABLE engine_call DROP COLUMN pids;
