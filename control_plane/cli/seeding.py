"""The pool of accounts that `serve` starts with, from settings."""

from __future__ import annotations

import re

from control_plane.bootstrap import Parts
from control_plane.domain.actor import system
from control_plane.domain.deployment import Account
from control_plane.domain.errors import SettingInvalid
from control_plane.services import accounts
from control_plane.workflows.core import Caller


def prepare_accounts(parts: Parts) -> None:
    """Bring the pool to the accounts of the settings; those that only the pool has stay.

    Raises ``SettingInvalid`` and ``Conflict``.
    """
    core, caller = parts.core, Caller(actor=system("setup"))
    shared = parts.settings.accounts_shared
    with core.uow() as uow:
        known = {account.account_id: account for account in uow.accounts.find()}
        for number, role, external in _pool(parts.settings.accounts):
            if number in known:
                changes = {"role_arn": role, "external_id": external, "shared": shared}
                accounts.change_account(core, uow, caller, known[number], changes)
                continue
            account = Account(
                id=core.ids.new("account"),
                account_id=number,
                role_arn=role,
                external_id=external,
                shared=shared,
                claimed_by=None,
                created_at=core.clock.now(),
            )
            accounts.put_account(core, uow, caller, account)
        uow.commit()


def _pool(text: str) -> list[tuple[str, str | None, str | None]]:
    """Parse ``id`` and ``id=role_arn|external_id``. Raises ``SettingInvalid``."""
    found = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        number, _, rest = entry.partition("=")
        role, _, external = rest.partition("|")
        if not re.fullmatch(r"[0-9]{12}", number):
            raise SettingInvalid("TENANTPLANE_ACCOUNTS: an account id has 12 digits")
        found.append((number, role or None, external or None))
    return found
