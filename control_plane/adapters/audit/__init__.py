"""The audit log: recorded in the business transaction, sequenced, signed, verified."""
