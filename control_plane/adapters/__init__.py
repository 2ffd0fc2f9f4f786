"""Implementations of the ports: database, engine, Terraform, audit log, files."""
