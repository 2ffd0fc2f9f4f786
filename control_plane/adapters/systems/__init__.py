"""Systems of others: a client of each, and one that records into a folder."""
