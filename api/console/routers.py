"""The routes of the console, in the order in which they are tried."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter

from api.console import (
    approvals,
    audit,
    design,
    home,
    operations,
    runs,
    signing_in,
    tenants,
    unknown,
)

CONSOLE: Final[tuple[APIRouter, ...]] = (
    signing_in.router, home.router, tenants.router, approvals.router, runs.router,
    audit.router, operations.router, design.router,
    unknown.router,
)  # fmt: skip
