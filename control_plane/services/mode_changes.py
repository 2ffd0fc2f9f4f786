"""Confirming the mode of a tenant at its kickoff, and raising it later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Deployment, Position
from control_plane.domain.errors import (
    IllegalTransition,
    InvalidInput,
    ModeWouldChange,
    NotFound,
    OnHold,
    RunInProgress,
)
from control_plane.domain.mode import Mode, ModeDecision
from control_plane.domain.mode_change import (
    KEEP_DAYS,
    WAYS,
    Resolved,
    Way,
    resolve_confirmation,
    resolve_raise,
)
from control_plane.domain.run import TERMINAL_RUN, Run, RunKind
from control_plane.domain.saga import Saga, SagaKind
from control_plane.domain.sagas import SAGAS
from control_plane.domain.tenant import Tenant, TenantStatus
from control_plane.domain.transfer import KINDS
from control_plane.ports.rows import UnitOfWork
from control_plane.services.modes import record_decision
from control_plane.services.permission import require_role
from control_plane.services.sagas import SagaProgress, progress_of
from control_plane.services.starting import KINDS_OF_MODES, first_start
from control_plane.services.tenants import MODE_DECIDERS, deployment_of, get_tenant
from control_plane.workflows.core import Act
from control_plane.workflows.ending import CANCELABLE_BEFORE_APPLY, cancel
from control_plane.workflows.recording import record, refused_as
from control_plane.workflows.removal_rules import in_progress
from control_plane.workflows.sagas import start_saga

KINDS_OF_CHANGE: Final = (
    SagaKind.MODE_UPGRADE, SagaKind.MODE_REPLACEMENT, SagaKind.MODE_HANDOVER,
)  # fmt: skip
_SAGA_OF: Final[Mapping[Way, SagaKind]] = {
    Way.UPGRADE: SagaKind.MODE_UPGRADE,
    Way.REPLACE: SagaKind.MODE_REPLACEMENT,
    Way.HANDOVER: SagaKind.MODE_HANDOVER,
}
_KEEP_AT_MOST: Final = 90  # days


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for: to confirm the mode, or (``to``) to raise it.

    ``amendment`` is the number of the amendment of the contract that buys the new mode.
    """

    reason: str
    to: Mode | None = None
    upgrade: bool = False
    amendment: str | None = None
    keep_days: int = KEEP_DAYS


@dataclass(frozen=True, kw_only=True)
class ModeChange:
    """What a change of mode comes to; ``saga_id`` is what brings it about, once it is requested."""

    tenant: Tenant
    way: Way
    previous_mode: str | None
    mode: str
    decision: ModeDecision
    saga_id: str | None = None

    @property
    def summary(self) -> str:
        """What happens, in one sentence."""
        return WAYS[self.way]

    @property
    def steps(self) -> Sequence[str]:
        """What is done, one sentence for each step."""
        kind = _SAGA_OF.get(self.way)
        return [step.says for step in SAGAS[kind].steps] if kind is not None else []


@dataclass(frozen=True, kw_only=True)
class Moved:
    """How much of a kind was copied, of how much there was when it was counted."""

    kind: str
    count: int
    of: int
    size: int
    of_size: int


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A change of mode with its steps, and how much was copied."""

    progress: SagaProgress
    moved: Sequence[Moved]

    def result(self, step: str) -> Mapping[str, Any]:
        """Return what a step said of what it did; empty before it ended."""
        attempt = self.progress.attempts.get(step)
        return attempt.result if attempt is not None else {}


def may_change_mode(act: Act, key: str) -> Tenant:
    """Return a tenant whose mode the caller may change. Raises ``NotFound``, ``NotAllowed``."""
    tenant = get_tenant(act, key)
    require_role(act, *MODE_DECIDERS, wanted="mode.change", tree=tenant.id)
    return tenant


def dry_run_mode(act: Act, key: str, wish: Wish) -> ModeChange:
    """Say what a change of mode would come to; stores nothing.

    Raises what ``change_mode`` raises. Whether a slice is empty is seen only when it is done.
    """
    return _resolved(act, may_change_mode(act, key), wish)[0]


def change_mode(act: Act, key: str, wish: Wish) -> ModeChange:
    """Confirm the mode of a tenant, or start what raises it.

    Raises what ``resolve_raise`` raises, ``InvalidInput``, ``SagaInProgress``, ``RunInProgress``,
    ``OnHold`` while a hold stands, and ``IllegalTransition`` for a tenant whose mode is not decided
    or that is not ready to be upgraded.
    """
    tenant = may_change_mode(act, key)
    with refused_as(
        act, "mode.refused",
        tree=tenant.id, targets=(("tenant", tenant.id),), mode=str(wish.to) if wish.to else None,
    ):  # fmt: skip
        if not wish.reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        act.uow.serialize_on(f"change:{tenant.id}")
        newest = _newest(act.uow, tenant)
        if newest is not None:  # in the order in which they are locked everywhere
            newest = act.uow.runs.need(newest.id, lock=True)
        tenant = act.uow.tenants.need(tenant.id, lock=True)
        change, resolved = _resolved(act, tenant, wish)
        if change.way is Way.CONFIRM:
            return _confirmed(act, change, resolved, wish)
        if newest is not None and newest.status not in TERMINAL_RUN:
            cancel(act, newest, act.uow.deployments.need(newest.deployment_id))
            change = replace(change, tenant=act.uow.tenants.need(tenant.id))
        return _started(act, change, resolved, wish)


def _newest(uow: UnitOfWork, tenant: Tenant) -> Run | None:
    deployment = deployment_of(uow, tenant)
    return uow.queries.newest_run(deployment.id) if deployment is not None else None


def _resolved(act: Act, tenant: Tenant, wish: Wish) -> tuple[ModeChange, Resolved]:
    if tenant.mode is None:
        raise IllegalTransition(
            "the mode is not decided yet: decide it by `tenantctl tenant decide-mode`",
            present_status=str(tenant.status),
        )
    rules, present = act.core.rules.mode, Mode(tenant.mode)
    is_confirmed = not tenant.decision.get("provisional", True)
    if wish.to is None:
        resolved = resolve_confirmation(tenant.facts, rules)
        _require_same(tenant, resolved.decision)
    else:
        resolved = resolve_raise(
            tenant.facts, present, wish.to, rules,
            is_confirmed=is_confirmed, upgrade=wish.upgrade,
        )  # fmt: skip
        _require_wish(wish)
        _require_possible(act, tenant, resolved)
    change = ModeChange(
        tenant=tenant,
        way=resolved.way,
        previous_mode=tenant.mode,
        mode=str(resolved.decision.mode),
        decision=resolved.decision,
    )
    return change, resolved


def _require_same(tenant: Tenant, decision: ModeDecision) -> None:
    if (str(decision.mode), decision.region) != (tenant.mode, tenant.region):
        raise would_change(tenant, decision)


def would_change(tenant: Tenant, decision: ModeDecision) -> ModeWouldChange:
    """Return the refusal of facts that lead to another mode or region, naming what leads there."""
    return ModeWouldChange(
        f"the tenant is in mode {tenant.mode}. {decision.summary}",
        mode=tenant.mode, required_mode=str(decision.required_min),
        rules=[fired.rule for fired in decision.fired],
    )  # fmt: skip


def require_no_saga(act: Act, tenant: Tenant) -> None:
    """Refuse what would meet a saga of the tenant half way. Raises ``SagaInProgress``."""
    if tenant.saga_id is not None:
        raise in_progress(act.uow, tenant.saga_id)


def _require_wish(wish: Wish) -> None:
    if not (wish.amendment or "").strip():
        raise InvalidInput(
            "name the amendment of the contract that buys the new mode", field="amendment"
        )
    if not 0 <= wish.keep_days <= _KEEP_AT_MOST:
        raise InvalidInput(
            f"the former place is kept for 0 to {_KEEP_AT_MOST} days", field="keep_days"
        )


def _require_possible(act: Act, tenant: Tenant, resolved: Resolved) -> None:
    """Refuse what stands in the way now; the steps ask again where it matters."""
    require_no_saga(act, tenant)
    if tenant.hold:
        raise OnHold("a hold stands: no change of mode begins")
    if resolved.decision.region != tenant.region:
        raise ModeWouldChange(
            f"mode {resolved.decision.mode} would be in {resolved.decision.region}",
            mode=tenant.mode, required_mode=str(resolved.decision.required_min), rules=[],
        )  # fmt: skip
    newest = _newest(act.uow, tenant)
    is_open = newest is not None and newest.status not in TERMINAL_RUN
    # a first build that has not begun gives way to the other mode: it is canceled
    gives_way = (
        resolved.way is Way.REPLACE
        and newest is not None
        and newest.started_at is None
        and newest.kind is RunKind.PROVISION
        and newest.status in CANCELABLE_BEFORE_APPLY
    )
    if newest is not None and is_open and not gives_way:
        raise RunInProgress(
            f"{newest.id} of this tenant has not ended: it is {newest.status}", run=newest.id
        )
    moves_data = resolved.way in {Way.UPGRADE, Way.HANDOVER}
    if moves_data and tenant.status is not TenantStatus.READY:
        raise IllegalTransition(
            f"the tenant is {tenant.status}; what is moved is ready",
            present_status=str(tenant.status),
        )


def _confirmed(act: Act, change: ModeChange, resolved: Resolved, wish: Wish) -> ModeChange:
    tenant, decision = change.tenant, resolved.decision
    _record_word(act, tenant, change, resolved, wish)
    tenant = replace(
        tenant, decision=decision.to_document(), updated_at=act.now(), version=tenant.version + 1
    )
    act.uow.tenants.save(tenant)
    record_decision(act, tenant, decision)
    return replace(change, tenant=tenant)


def _started(act: Act, change: ModeChange, resolved: Resolved, wish: Wish) -> ModeChange:
    tenant = change.tenant
    source = deployment_of(act.uow, tenant)
    if source is None:
        raise IllegalTransition("the tenant has nothing", present_status=str(tenant.status))
    target = _beside(act, tenant, source, change.mode)
    _record_word(act, tenant, change, resolved, wish)
    data = {
        "from": tenant.mode,
        "to": change.mode,
        "source": source.id,
        "target": target.id,
        "amendment": wish.amendment,
        "keep_days": wish.keep_days,
        # what the amendment changes; facts that change meanwhile stay changed
        "facts": {
            name: value
            for name, value in resolved.facts.to_document().items()
            if tenant.facts.get(name) != value
        },
        "decision": resolved.decision.to_document(),
    }
    kind = _SAGA_OF[change.way]
    saga = start_saga(act, tenant, kind, reason=wish.reason.strip(), data=data)
    return replace(change, tenant=act.uow.tenants.need(tenant.id), saga_id=saga.id)


def _beside(act: Act, tenant: Tenant, source: Deployment, mode: str) -> Deployment:
    """Return the deployment of the new mode: a new one, or one that was never built.

    It is ``former`` until a step takes it up, so that what is withdrawn before leaves nothing open.
    One that was taken down is removed for good, and so is the name of its stack.
    """
    earlier = act.uow.deployments.find(
        tenant_id=tenant.id, environment=source.environment, kind=KINDS_OF_MODES[Mode(mode)]
    )
    unused = [each for each in earlier if each.removed_at is None]
    if unused:
        return unused[-1]
    start = first_start(act, tenant, Mode(mode), source.environment)
    stack = f"{start.deployment.stack}{len(earlier) + 1}" if earlier else start.deployment.stack
    target = replace(start.deployment, stack=stack, position=Position.FORMER)
    act.uow.deployments.add(target)
    return target


def _record_word(
    act: Act, tenant: Tenant, change: ModeChange, resolved: Resolved, wish: Wish
) -> None:
    decision, is_raise = resolved.decision, change.way is not Way.CONFIRM
    more: dict[str, Any] = (
        {"way": str(change.way), "previous_mode": tenant.mode, "amendment": wish.amendment}
        if is_raise
        else {}
    )
    record(
        act, "mode.change_requested" if is_raise else "mode.confirmed",
        tree=tenant.id, targets=(("tenant", tenant.id),), personal={"reason": wish.reason.strip()},
        mode=str(decision.mode), required_mode=str(decision.required_min),
        rules=[fired.rule for fired in decision.fired], rules_digest=decision.rules_digest,
        facts_digest=decision.input_digest, previous_facts_digest=digest(dict(tenant.facts)),
        **more,
    )  # fmt: skip


# --- looking at it -------------------------------------------------------------------------------
def newest_change(uow: UnitOfWork, tenant: Tenant) -> Saga | None:
    """Return the newest change of mode that a tenant has or had."""
    found = uow.sagas.find(tenant_id=tenant.id, kind=KINDS_OF_CHANGE)
    return found[-1] if found else None


def show_change(act: Act, key: str) -> Progress:
    """Return the newest change of mode of a tenant, and how much was copied.

    Raises ``NotFound`` when there is none.
    """
    tenant = get_tenant(act, key)
    saga = newest_change(act.uow, tenant)
    if saga is None:
        raise NotFound(
            f"no change of the mode of {tenant.slug} was started; its mode is {tenant.mode}"
        )
    progress = progress_of(act.uow, saga)
    return Progress(progress=progress, moved=_moved(act.uow, progress.saga))


def _moved(uow: UnitOfWork, saga: Saga) -> list[Moved]:
    there: Mapping[str, Any] = saga.data.get("survey") or _listed(saga)
    evidence: Mapping[str, Any] = saga.data.get("evidence", {})
    if not there:
        return []
    sums = uow.transfers.sums(saga.id)
    found = []
    for kind in KINDS:
        equal = evidence.get(str(kind))  # rows are deleted when the saga is closed
        count, size = (equal["count"], equal["bytes"]) if equal else sums.get(kind, (0, 0))
        of = there[str(kind)]
        found.append(
            Moved(
                kind=str(kind), count=count, size=size,
                of=max(of["count"], count), of_size=max(of["bytes"], size),
            )
        )  # fmt: skip
    return found


def _listed(saga: Saga) -> Mapping[str, Any]:
    """Return what the newest manifest of a hand-over lists, by kind."""
    found: Mapping[str, Any] = (saga.data.get("manifest") or {}).get("totals", {})
    return found
