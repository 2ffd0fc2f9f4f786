"""Terraform or OpenTofu: found on this machine, run as a child process."""
