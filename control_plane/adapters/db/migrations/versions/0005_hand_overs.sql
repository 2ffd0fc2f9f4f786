ALTER TABLE bundle ADD COLUMN handed_over_at timestamp with time zone;
UPDATE bundle SET handed_over_at = given.at
    FROM (SELECT bundle_id, max(handed_over_at) AS at FROM handover GROUP BY bundle_id) AS given
    WHERE given.bundle_id = bundle.id;

ALTER TABLE download_link ADD COLUMN revoked_at timestamp with time zone;
