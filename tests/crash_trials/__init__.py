"""Many trials of what a kill or an immediate stop of the database leaves of the audit log."""
