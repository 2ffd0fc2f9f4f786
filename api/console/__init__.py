"""The console: pages for ops, architects, success managers and auditors, over the same services."""
