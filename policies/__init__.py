"""Policy rules over a plan or a resulting state, the same for Pulumi and Terraform."""

from __future__ import annotations

from policies.catalog import annotate

__all__ = ["annotate"]
