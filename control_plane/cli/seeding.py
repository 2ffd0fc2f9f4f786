"""The pool of accounts that `serve` starts with, from settings."""

from __future__ import annotations

import re
from typing import Any

from control_plane.bootstrap import Parts
from control_plane.config import Settings
from control_plane.domain.actor import system
from control_plane.domain.errors import SettingInvalid
from control_plane.services import accounts
from control_plane.services.performing import perform
from control_plane.workflows.core import Act, Caller


def prepare_accounts(parts: Parts) -> None:
    """Bring the pool to the accounts of the settings; those that only the pool has stay.

    Raises ``SettingInvalid`` and ``Conflict``.
    """
    perform(parts.core, Caller(actor=system("setup")), _bring, parts.settings)


def _bring(act: Act, settings: Settings) -> None:
    known = {account.account_id: account for account in act.uow.accounts.find()}
    for number, role, external in _pool(settings.accounts):
        facts: dict[str, Any] = {
            "role_arn": role, "external_id": external, "shared": settings.accounts_shared
        }  # fmt: skip
        if number in known:
            accounts.change_account(act, known[number], facts)
        else:
            accounts.put_account(act, number, **facts)


def _pool(text: str) -> list[tuple[str, str | None, str | None]]:
    """Parse ``id`` and ``id=role_arn|external_id``. Raises ``SettingInvalid``."""
    found = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        number, _, rest = entry.partition("=")
        role, _, external = rest.partition("|")
        if not re.fullmatch(r"[0-9]{12}", number):
            raise SettingInvalid("TENANTPLANE_ACCOUNTS: an account id must have 12 digits")
        found.append((number, role or None, external or None))
    return found
