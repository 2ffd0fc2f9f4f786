"""The pool that `serve` starts with, on PostgreSQL: added, changed, and never silently lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from control_plane.bootstrap import Parts
from control_plane.cli.seeding import prepare_accounts
from control_plane.config import Settings
from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.errors import NotFound, SettingInvalid
from control_plane.services import accounts
from control_plane.services.performing import perform
from control_plane.workflows.core import Caller
from tests.databases import Database

ADA = Caller(actor=Actor(id="ada", kind=ActorKind.USER, roles=(Role.PLATFORM_ADMIN,)))
NUMBER = "111122223333"


@pytest.fixture
def parts(database: Database, tmp_path: Path) -> Any:
    """What a process has over a migrated database, with settings of the pool."""
    made: list[Parts] = []

    def over(pool: str, *, shared: bool = True) -> Parts:
        settings = Settings.model_validate(
            {
                "home": tmp_path, "database_url": database.app, "accounts": pool,
                "database_auditor_url": database.auditor, "accounts_shared": shared,
            }
        )  # fmt: skip
        made.append(Parts(settings))
        return made[-1]

    yield over
    for each in made:
        each.app_engine.dispose()
        each.auditor_engine.dispose()


def test_a_corrected_setting_reaches_the_pool(parts: Any) -> None:
    prepare_accounts(parts(NUMBER))
    role = f"arn:aws:iam::{NUMBER}:role/provision"
    first = parts(f"{NUMBER}={role}|vendor-7,444455556666", shared=False)
    prepare_accounts(first)
    found = perform(first.core, ADA, accounts.get_account, NUMBER)
    assert (found.role_arn, found.external_id, found.shared) == (role, "vendor-7", False)
    numbers = [
        a.account_id for a in perform(first.core, ADA, accounts.list_accounts, limit=9, before=None)
    ]
    assert numbers == ["444455556666", NUMBER]
    prepare_accounts(parts("444455556666", shared=False))
    assert (
        perform(first.core, ADA, accounts.get_account, NUMBER) == found
    )  # it stays, as `account` made it


def test_a_removed_account_is_gone(parts: Any) -> None:
    core = parts(NUMBER).core
    prepare_accounts(parts(NUMBER))
    perform(core, ADA, accounts.remove_account, NUMBER)
    with pytest.raises(NotFound):
        perform(core, ADA, accounts.get_account, NUMBER)


def test_a_wrong_pool_is_refused(parts: Any) -> None:
    with pytest.raises(SettingInvalid, match="TENANTPLANE_ACCOUNTS"):
        prepare_accounts(parts("12345"))
