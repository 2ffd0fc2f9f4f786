ALTER TABLE bundle ADD COLUMN builds integer NOT NULL DEFAULT 0;
ALTER TABLE bundle ALTER COLUMN builds DROP DEFAULT;

-- A receipt that was right, and was then replaced by a wrong one, may be sent again.
ALTER TABLE receipt DROP CONSTRAINT uq_receipt_bundle_id_digest;
CREATE INDEX ix_receipt_bundle_id ON receipt (bundle_id);
