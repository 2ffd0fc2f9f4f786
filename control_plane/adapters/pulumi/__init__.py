"""The engine: where its command line comes from, and the process that drives it."""
