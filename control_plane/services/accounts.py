"""The pool of AWS accounts: dedicated Hubs and shared Hubs are built in one of its accounts."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from control_plane.domain.actor import Role
from control_plane.domain.deployment import Account, Deployment
from control_plane.domain.errors import Conflict, DomainError, InvalidInput, NotFound
from control_plane.ports import UnitOfWork
from control_plane.services.permission import require_role
from control_plane.workflows.core import Caller, Core
from control_plane.workflows.recording import record, record_denied
from control_plane.workflows.waking import ACCOUNT_POOL, wake_for_account

READERS: Final = (Role.PLATFORM_ADMIN, Role.OPS_APPROVER, Role.PLATFORM_AUDITOR)
CHANGEABLE: Final = frozenset({"role_arn", "external_id", "shared"})
_NUMBER: Final = re.compile(r"[0-9]{12}\Z")
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::([0-9]{12}):role/[\w+=,.@/-]{1,512}\Z", re.ASCII)


def add_account(
    core: Core,
    caller: Caller,
    *,
    account_id: str,
    role_arn: str | None,
    external_id: str | None,
    shared: bool,
) -> Account:
    """Put an account into the pool; runs that wait for one go on.

    Without a role the worker's own credentials are used. Raises ``InvalidInput`` and ``Conflict``.
    """
    require_role(core, caller, Role.PLATFORM_ADMIN, act="accounts.create")

    def act(uow: UnitOfWork) -> Account:
        if uow.accounts.count(account_id=account_id):
            raise Conflict(
                f"account {account_id} is in the pool already; `tenantctl account update` changes "
                "it",
                account=account_id,
            )
        account = Account(
            id=core.ids.new("account"),
            account_id=account_id,
            role_arn=role_arn,
            external_id=external_id,
            shared=shared,
            claimed_by=None,
            created_at=core.clock.now(),
        )
        return put_account(core, uow, caller, account)

    return _changed(core, caller, account_id, act)


def put_account(core: Core, uow: UnitOfWork, caller: Caller, account: Account) -> Account:
    """Add an account in the caller's transaction. Raises ``InvalidInput``."""
    _check(account)
    uow.accounts.add(account)
    record(
        core, uow, caller, "account.added",
        tree=None, account=account.account_id, shared=account.shared,
    )  # fmt: skip
    wake_for_account(core, uow)
    return account


def update_account(
    core: Core, caller: Caller, account_id: str, changes: Mapping[str, Any]
) -> Account:
    """Change the role, the external id or the sharing of an account.

    Runs that are planned from now on use the new values. Raises ``NotFound``, ``InvalidInput``,
    and ``Conflict`` when the deployments in it do not allow the new sharing.
    """
    require_role(core, caller, Role.PLATFORM_ADMIN, act="accounts.update")
    return _changed(
        core,
        caller,
        account_id,
        lambda uow: change_account(core, uow, caller, _found(uow, account_id), changes),
    )


def change_account(
    core: Core, uow: UnitOfWork, caller: Caller, account: Account, changes: Mapping[str, Any]
) -> Account:
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
    changed = replace(account, **differing)
    _check(changed)
    if "shared" in differing:
        changed = replace(changed, claimed_by=_owner_of(uow, changed))
    uow.accounts.save(changed)
    record(
        core, uow, caller, "account.updated",
        tree=None, account=changed.account_id, shared=changed.shared, fields=sorted(differing),
    )  # fmt: skip
    if "shared" in differing:
        wake_for_account(core, uow)
    return changed


def remove_account(core: Core, caller: Caller, account_id: str) -> Account:
    """Take an account out of the pool; the account itself is left as it is.

    Raises ``NotFound``, and ``Conflict`` while a deployment is in it: its next run would have
    neither role nor external id.
    """
    require_role(core, caller, Role.PLATFORM_ADMIN, act="accounts.remove")

    def act(uow: UnitOfWork) -> Account:
        account = _found(uow, account_id)
        used = max(
            uow.deployments.count(account_id=account_id), int(account.claimed_by is not None)
        )
        if used:
            verb = "deployment is" if used == 1 else "deployments are"
            raise Conflict(
                f"{used} {verb} in account {account_id}, so it stays in the pool",
                account=account_id,
            )
        uow.accounts.remove(account.id)
        record(core, uow, caller, "account.removed", tree=None, account=account_id)
        return account

    return _changed(core, caller, account_id, act)


def release_account(
    core: Core, uow: UnitOfWork, caller: Caller, deployment: Deployment
) -> Deployment:
    """Give the account of an ended deployment back to the pool, in the caller's transaction.

    The caller has made sure that nothing of the deployment is left in it: a later run of the same
    deployment claims an account anew. Runs that wait for one go on. Returns the deployment as it
    is then.
    """
    if not deployment.account_id:
        return deployment
    uow.serialize_on(ACCOUNT_POOL)
    freed = replace(
        deployment, account_id="", updated_at=core.clock.now(), version=deployment.version + 1
    )
    uow.deployments.save(freed)
    for account in uow.accounts.find(claimed_by=deployment.id):
        uow.accounts.save(replace(account, claimed_by=None))
    record(
        core, uow, caller, "account.released",
        tree=deployment.tenant_id, targets=(("deployment", deployment.id),),
        account=deployment.account_id,
    )  # fmt: skip
    wake_for_account(core, uow)
    return freed


def get_account(core: Core, caller: Caller, account_id: str) -> Account:
    """Return an account of the pool by its number. Raises ``NotFound``."""
    require_role(core, caller, *READERS, act="accounts.read")
    with core.uow() as uow:
        return _found(uow, account_id)


def list_accounts(core: Core, caller: Caller, *, limit: int, before: str | None) -> list[Account]:
    """Return accounts of the pool, newest first."""
    require_role(core, caller, *READERS, act="accounts.read")
    with core.uow() as uow:
        return uow.accounts.page(limit=limit, before=before)


def _changed(
    core: Core, caller: Caller, account_id: str, act: Callable[[UnitOfWork], Account]
) -> Account:
    """Do a change of the pool in one transaction; a refusal leaves its event."""
    try:
        with core.uow() as uow:
            uow.serialize_on(ACCOUNT_POOL)
            account = act(uow)
            uow.commit()
            return account
    except (Conflict, InvalidInput) as error:
        _record_refusal(core, caller, account_id, error)
        raise


def _record_refusal(core: Core, caller: Caller, account_id: str, error: DomainError) -> None:
    known = account_id if _NUMBER.match(account_id) else None
    record_denied(core, caller, "account.refused", error, tree=None, account=known)


def _found(uow: UnitOfWork, account_id: str) -> Account:
    found = uow.accounts.find(account_id=account_id)
    if not found:
        raise NotFound("this account is not in the pool")
    return found[0]


def _owner_of(uow: UnitOfWork, account: Account) -> str | None:
    """Return the deployment that claims an account with its new sharing. Raises ``Conflict``."""
    if account.shared:
        return None
    inside = uow.deployments.find(account_id=account.account_id)
    if len(inside) > 1:
        raise Conflict(
            f"{len(inside)} deployments are in account {account.account_id}, so it stays shared",
            account=account.account_id,
        )
    return inside[0].id if inside else None


def _check(account: Account) -> None:
    """Raise ``InvalidInput`` for what AWS would refuse in the middle of a run."""
    if not _NUMBER.match(account.account_id):
        raise InvalidInput("an account id has 12 digits", field="account_id")
    if account.role_arn is not None:
        role = _ROLE.match(account.role_arn)
        if role is None:
            raise InvalidInput("a role is arn:aws:iam::…:role/name", field="role_arn")
        if role[1] != account.account_id:
            raise InvalidInput(
                f"the role is of account {role[1]}, not of {account.account_id}", field="role_arn"
            )
    elif account.external_id is not None:
        raise InvalidInput("an external id goes with a role", field="external_id")
