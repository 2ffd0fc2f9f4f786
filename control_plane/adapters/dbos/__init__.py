"""The durable queue: phases of runs on DBOS; the only package that imports it."""
