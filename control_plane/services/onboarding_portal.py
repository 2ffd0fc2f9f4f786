"""What the customer's IT admin does in the portal, by the token of their session.

The session belongs to one tenant, so nobody names one. None is the answer where there is no
session any more: the page then says how to come back.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from control_plane.domain.deployment import DeploymentKind, Position
from control_plane.domain.onboarding_document import Answers
from control_plane.domain.tenant import Tenant
from control_plane.services.onboarding_steps import refusal
from control_plane.services.onboarding_visits import Welcome, holder_of, welcome
from control_plane.workflows import onboarding_steps as steps
from control_plane.workflows.core import Act
from control_plane.workflows.onboarding_steps import StepState

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Portal:
    """Who looks, and every step of their tenant; ``step`` is the one that is shown."""

    welcome: Welcome
    steps: Sequence[StepState]
    step: StepState | None = None
    receipt_at: datetime | None = None  # of the Hub in the customer's cloud


def see_steps(act: Act, token: str) -> Portal | None:
    """Return the steps of the session's tenant."""
    return _inside(act, token, lambda _, found: _portal(act, found))


def see_step(act: Act, token: str, key: str) -> Portal | None:
    """Return one step with what its checks find now, beside the others. Raises ``NotFound``."""
    return _inside(
        act, token,
        lambda _, found: _portal(act, found, steps.step_of(act, found.tenant, key)),
    )  # fmt: skip


def save_own(act: Act, token: str, key: str, *, answers: Answers, version: int) -> StepState | None:
    """Save answers of the session's tenant; raises what ``steps.save`` does."""

    def saved(holder: Act, found: Welcome) -> StepState:
        with refusal(holder, found.tenant, key, "save"):
            return steps.save(holder, found.tenant, key, answers=answers, version=version)

    return _inside(act, token, saved)


def complete_own(act: Act, token: str, key: str, *, version: int) -> StepState | None:
    """Complete a step of the session's tenant; raises what ``steps.complete`` does."""

    def completed(holder: Act, found: Welcome) -> StepState:
        with refusal(holder, found.tenant, key, "complete"):
            return steps.complete(holder, found.tenant, key, version=version)

    return _inside(act, token, completed)


def reopen_own(
    act: Act, token: str, key: str, *, resets: Collection[str], version: int, reason: str
) -> StepState | None:
    """Open a step of the session's tenant again; raises what ``steps.reopen`` does."""

    def reopened(holder: Act, found: Welcome) -> StepState:
        with refusal(holder, found.tenant, key, "reopen"):
            return steps.reopen(
                holder, found.tenant, key, resets=resets, version=version, reason=reason
            )

    return _inside(act, token, reopened)


def _inside(act: Act, token: str, do: Callable[[Act, Welcome], T]) -> T | None:
    """Do something as the holder of a session."""
    found = welcome(act, token)
    if found is None:
        return None
    link = act.uow.onboarding_links.need(found.session.link_id)
    return do(holder_of(act, link), found)


def _portal(act: Act, found: Welcome, step: StepState | None = None) -> Portal:
    return Portal(
        welcome=found, steps=steps.board(act, found.tenant), step=step,
        receipt_at=_receipt_at(act, found.tenant) if step is not None else None,
    )  # fmt: skip


def _receipt_at(act: Act, tenant: Tenant) -> datetime | None:
    """Return when the receipt of the newest bundle was registered."""
    for deployment in act.uow.deployments.find(
        tenant_id=tenant.id, position=Position.CURRENT, kind=DeploymentKind.CUSTOMER_RUN
    ):
        bundle = act.uow.queries.newest_bundle(deployment.id)
        receipts = act.uow.receipts.find(bundle_id=bundle.id) if bundle else []
        if receipts:
            return receipts[-1].registered_at
    return None
