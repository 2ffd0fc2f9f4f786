"""The pool of AWS accounts: dedicated Hubs and shared Hubs are built in one of its accounts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from control_plane.domain.actor import Role
from control_plane.domain.deployment import Account, DeploymentKind
from control_plane.domain.errors import Conflict, InvalidInput, NotFound
from control_plane.domain.removal_errors import AccountHasServed
from control_plane.ports.rows import UnitOfWork
from control_plane.services.permission import require_role, require_visibility
from control_plane.workflows.core import Act
from control_plane.workflows.recording import record, refused_as
from control_plane.workflows.waking import ACCOUNT_POOL, wake_for_account

READERS: Final = (Role.PLATFORM_ADMIN, Role.OPS_APPROVER, Role.PLATFORM_AUDITOR)
CHANGEABLE: Final = frozenset({"role_arn", "external_id", "shared"})
_NUMBER: Final = re.compile(r"[0-9]{12}\Z")
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):role/[\w+=,.@/-]{1,512}\Z", re.ASCII)


def may_change(act: Act, wanted: str) -> None:
    """Refuse who may not change the pool. Raises ``NotAllowed``."""
    require_role(act, Role.PLATFORM_ADMIN, wanted=f"accounts.{wanted}")


def add_account(
    act: Act,
    *,
    account_id: str,
    role_arn: str | None,
    external_id: str | None,
    shared: bool,
) -> Account:
    """Add an account to the pool; runs that wait for one continue.

    Without a role the worker's own credentials are used. Raises ``InvalidInput`` and ``Conflict``.
    """
    may_change(act, "create")
    with _change_of(act, account_id):
        if act.uow.accounts.count(account_id=account_id):
            raise Conflict(
                f"account {account_id} is already in the pool; change it with `tenantctl account "
                f"update`",
                account=account_id,
            )
        return put_account(
            act, account_id, role_arn=role_arn, external_id=external_id, shared=shared
        )


def put_account(
    act: Act, account_id: str, *, role_arn: str | None, external_id: str | None, shared: bool
) -> Account:
    """Add an account in the caller's transaction. Raises ``InvalidInput``."""
    account = Account(
        id=act.new_id("account"),
        account_id=account_id,
        role_arn=role_arn,
        external_id=external_id,
        shared=shared,
        claimed_by=None,
        created_at=act.now(),
    )
    _check(account)
    act.uow.accounts.add(account)
    record(
        act, "account.added",
        tree=None, account=account.account_id, shared=account.shared,
    )  # fmt: skip
    wake_for_account(act)
    return account


def update_account(act: Act, account_id: str, changes: Mapping[str, Any]) -> Account:
    """Change the role, the external id or the sharing of an account.

    Runs that are planned from now on use the new values. Raises ``NotFound``, ``InvalidInput``,
    and ``Conflict`` when the deployments in it do not allow the new sharing.
    """
    may_change(act, "update")
    account = _locked(act, account_id)
    with _change_of(act, account_id):
        return change_account(act, account, changes)


def change_account(act: Act, account: Account, changes: Mapping[str, Any]) -> Account:
    """Change an account in the caller's transaction; nothing happens when nothing differs.

    Raises ``InvalidInput`` and ``Conflict`` as ``update_account``.
    """
    differing = {
        name: value
        for name, value in changes.items()
        if name in CHANGEABLE and getattr(account, name) != value
    }
    if not differing:
        return account
    if account.served is not None and "shared" in differing:
        raise _has_served(account)
    changed = replace(account, **differing)
    _check(changed)
    if "shared" in differing:
        changed = replace(changed, claimed_by=_owner_of(act.uow, changed))
    act.uow.accounts.save(changed)
    record(
        act, "account.updated",
        tree=None, account=changed.account_id, shared=changed.shared, fields=sorted(differing),
    )  # fmt: skip
    if "shared" in differing:
        wake_for_account(act)
    return changed


def remove_account(act: Act, account_id: str) -> Account:
    """Take an account out of the pool; the account itself is left as it is.

    Raises ``NotFound``, ``AccountHasServed`` for one that something was applied in, and
    ``Conflict`` while a deployment is in it: its next run would have neither role nor external id.
    """
    may_change(act, "remove")
    account = _locked(act, account_id)
    with _change_of(act, account_id):
        if account.served is not None:
            raise _has_served(account)
        used = max(
            act.uow.deployments.count(account_id=account_id), int(account.claimed_by is not None)
        )
        if used:
            verb = "deployment is" if used == 1 else "deployments are"
            raise Conflict(
                f"{used} {verb} in account {account_id}, so it stays in the pool",
                account=account_id,
            )
        act.uow.accounts.remove(account.id)
        record(act, "account.removed", tree=None, account=account_id)
        return account


def get_account(act: Act, account_id: str) -> Account:
    """Return an account of the pool by its number. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="accounts.read")
    require_visibility(act, None, wanted="accounts.read")
    return _found(act.uow, account_id)


def status_of(account: Account) -> str:
    """Return in one word how an account may be used."""
    if account.shared:
        return "shared"
    if account.retired_at is not None:
        return "retired"
    return "free" if account.claimed_by is None and account.served is None else "in_use"


def list_accounts(act: Act, *, limit: int, before: str | None) -> list[Account]:
    """Return accounts of the pool, newest first; they belong to no tenant."""
    require_role(act, *READERS, wanted="accounts.read")
    if not act.caller.actor.sees(None):
        return []
    return act.uow.accounts.page(limit=limit, before=before)


def _has_served(account: Account) -> AccountHasServed:
    return AccountHasServed(
        f"account {account.account_id} has served deployment {account.served}",
        account=account.account_id, deployment=account.served,
    )  # fmt: skip


@contextmanager
def _change_of(act: Act, account_id: str) -> Iterator[None]:
    """Let changes of the pool take turns; a refusal leaves its event."""
    act.uow.serialize_on(ACCOUNT_POOL)
    known = account_id if _NUMBER.match(account_id) else None
    with refused_as(act, "account.refused", tree=None, account=known):
        yield


def _locked(act: Act, account_id: str) -> Account:
    act.uow.serialize_on(ACCOUNT_POOL)
    return _found(act.uow, account_id)


def _found(uow: UnitOfWork, account_id: str) -> Account:
    found = uow.accounts.find(account_id=account_id)
    if not found:
        raise NotFound("this account is not in the pool")
    return found[0]


def _owner_of(uow: UnitOfWork, account: Account) -> str | None:
    """Return the deployment that claims an account with its new sharing. Raises ``Conflict``."""
    if account.shared:
        return None
    found = uow.deployments.find(account_id=account.account_id)
    inside = [each for each in found if each.kind is not DeploymentKind.SLICE]  # they are its Hub's
    if len(inside) > 1:
        raise Conflict(
            f"{len(inside)} deployments are in account {account.account_id}, so it stays shared",
            account=account.account_id,
        )
    return inside[0].id if inside else None


def _check(account: Account) -> None:
    """Raise ``InvalidInput`` for what AWS would refuse in the middle of a run."""
    if not _NUMBER.match(account.account_id):
        raise InvalidInput("an account id must have 12 digits", field="account_id")
    if account.role_arn is not None:
        role = _ROLE.match(account.role_arn)
        if role is None:
            raise InvalidInput(
                "a role must have the form arn:aws:iam::…:role/name", field="role_arn"
            )
        if role[1] != account.account_id:
            raise InvalidInput(
                f"the role belongs to account {role[1]}, not to {account.account_id}",
                field="role_arn",
            )
    elif account.external_id is not None:
        raise InvalidInput("an external id needs a role", field="external_id")
