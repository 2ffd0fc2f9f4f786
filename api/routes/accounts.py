"""The pool of AWS accounts."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.answers import keyed
from api.dependencies import CallerDep, KeyedDep, PagingDep, SharedDep
from api.schemas import requests as bodies
from api.schemas.views import AccountView, Page
from api.strict_json import StrictRoute
from control_plane.services import accounts
from control_plane.services.performing import perform
from control_plane.workflows.core import Act

router = APIRouter(prefix="/v1/accounts", tags=["accounts"], route_class=StrictRoute)


@router.post("", status_code=201, response_model=AccountView)
def add_account(have: SharedDep, who: KeyedDep, body: bodies.Account) -> JSONResponse:
    """Add an AWS account to the pool; runs that wait for one continue."""
    document = bodies.plain(body)

    def do(act: Act) -> AccountView:
        return AccountView.of(accounts.add_account(act, **document))

    place = f"/v1/accounts/{body.account_id}"
    return keyed(
        have,
        who,
        "accounts",
        document,
        do,
        place,
        status=201,
        may=lambda act: accounts.may_change(act, "create"),
    )


@router.get("")
def list_accounts(have: SharedDep, who: CallerDep, page: PagingDep) -> Page[AccountView]:
    """List the accounts of the pool, newest first."""
    found = perform(have.core, who, accounts.list_accounts, limit=page.limit, before=page.before)
    return Page(
        items=[AccountView.of(account) for account in found],
        next_page_token=page.token(account.id for account in found),
    )


@router.get("/{account_id}")
def get_account(have: SharedDep, who: CallerDep, account_id: str) -> AccountView:
    """Show an account of the pool, by its number."""
    return AccountView.of(perform(have.core, who, accounts.get_account, account_id))


@router.patch("/{account_id}", response_model=AccountView)
def update_account(
    have: SharedDep, who: KeyedDep, account_id: str, body: bodies.AccountChange
) -> JSONResponse:
    """Change the role, the external id or the sharing of an account."""
    changes = body.model_dump(exclude_unset=True)

    def do(act: Act) -> AccountView:
        return AccountView.of(accounts.update_account(act, account_id, changes))

    route = f"accounts/{account_id}"
    return keyed(
        have,
        who,
        route,
        changes,
        do,
        None,
        status=200,
        may=lambda act: accounts.may_change(act, "update"),
    )


@router.delete("/{account_id}", response_model=AccountView)
def remove_account(have: SharedDep, who: KeyedDep, account_id: str) -> JSONResponse:
    """Remove an account from the pool; refused while a deployment uses it."""

    def do(act: Act) -> AccountView:
        return AccountView.of(accounts.remove_account(act, account_id))

    return keyed(
        have,
        who,
        f"accounts/{account_id}/removal",
        {},
        do,
        None,
        status=200,
        may=lambda act: accounts.may_change(act, "remove"),
    )
