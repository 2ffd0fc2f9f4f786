"""Changing a tenant: new facts, a new spec, and an update that brings it about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from control_plane.domain.canonical import digest
from control_plane.domain.deployment import Deployment, DeploymentKind, Desired, spec_digest
from control_plane.domain.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    RunInProgress,
)
from control_plane.domain.facts import Facts
from control_plane.domain.mode import ModeDecision, Outcome, confirm, resolve
from control_plane.domain.mode_rules import ModeRules
from control_plane.domain.run import HOLDS_SLOT, TERMINAL_RUN, Run, RunKind, RunStatus
from control_plane.domain.spec import Difference, differences
from control_plane.domain.tenant import Tenant
from control_plane.ports.rows import UnitOfWork
from control_plane.services.mode_changes import require_no_saga, would_change
from control_plane.services.modes import record_decision
from control_plane.services.permission import require_role
from control_plane.services.starting import request_run
from control_plane.services.tenants import (
    CHANGEABLE_STATUS,
    CHANGERS,
    deployment_of,
    get_tenant,
)
from control_plane.workflows.core import Act
from control_plane.workflows.placing import spec_document, spec_of
from control_plane.workflows.recording import record, refused_as

CHANGEABLE: Final = ("seats", "ip_allow_list")  # the facts that size and open a deployment


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a change comes to.

    ``tenant`` is as it is afterwards. ``changed`` names the facts with another value, ``spec`` says
    in what the spec then differs from the one that was applied. ``run_id`` is the run that brings
    it about: a new one if ``needs_run``, otherwise one that was requested before and takes the
    change with it, if there is one. ``supersedes`` is the run that gives way to a new one.
    """

    tenant: Tenant
    decision: ModeDecision
    changed: tuple[str, ...]
    spec: tuple[Difference, ...]
    needs_run: bool
    run_id: str | None
    supersedes: str | None

    @property
    def summary(self) -> str:
        """What happens, in one sentence."""
        if self.needs_run:
            return "A run brings the tenant to its new spec."
        if self.run_id is not None:
            return f"No new run is needed: {self.run_id} brings the tenant to this spec."
        if self.changed:
            return "The facts change, and the spec stays as it is: no run is needed."
        return "Nothing changes: no run is needed."


def may_change(act: Act, key: str) -> None:
    """Refuse who may not change a tenant. Raises ``NotFound``, ``NotAllowed``."""
    tenant = get_tenant(act, key)
    require_role(act, *CHANGERS, wanted="changes.create", tree=tenant.id)


def dry_run_change(act: Act, key: str, facts: Mapping[str, Any]) -> Change:
    """Say what a change would come to; stores nothing. Raises what ``request_change`` raises."""
    may_change(act, key)
    return _resolved(act, get_tenant(act, key), facts)[0]


def request_change(act: Act, key: str, *, facts: Mapping[str, Any], reason: str) -> Change:
    """Change facts of a tenant and request the run that they need; that one supersedes one that
    waits, is planned, or is about to be applied.

    ``facts`` holds only what changes. What changes nothing is stored nowhere. Raises
    ``InvalidInput``, ``ModeWouldChange``, ``RunInProgress`` while a run applies, and
    ``IllegalTransition`` for a tenant that has nothing of ours to change.
    """
    may_change(act, key)
    tenant = get_tenant(act, key)
    with refused_as(
        act, "change.refused", tree=tenant.id, targets=(("tenant", tenant.id),),
        changed=sorted(set(facts) & set(CHANGEABLE)),
    ):  # fmt: skip
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        act.uow.serialize_on(f"change:{tenant.id}")  # of two at once, the second sees the first
        change, deployment = _resolved(act, tenant, facts, lock=True)
        return _store(act, change, deployment, reason.strip())


def _resolved(
    act: Act, tenant: Tenant, facts: Mapping[str, Any], *, lock: bool = False
) -> tuple[Change, Deployment]:
    """Return what a change comes to. With ``lock`` run, deployment and tenant stay as they are."""
    deployment = deployment_of(act.uow, tenant)
    newest = act.uow.queries.newest_run(deployment.id) if deployment else None
    if lock and deployment is not None:  # in the order in which they are locked everywhere
        newest = _locked_newest(act.uow, newest)
        deployment = act.uow.deployments.need(deployment.id, lock=True)
        tenant = act.uow.tenants.need(tenant.id, lock=True)
    require_no_saga(act, tenant)
    deployment = _require_changeable(tenant, deployment, newest)
    after, changed = _changed(tenant, facts)
    decision = _same_mode(tenant, after, act.core.rules.mode)
    wanted = replace(tenant, facts=after.to_document(), decision=decision.to_document())
    spec, needs_run = _difference(act, deployment, newest, wanted)
    is_open = newest is not None and newest.status not in TERMINAL_RUN
    open_run = newest.id if newest is not None and is_open else None
    change = Change(
        tenant=wanted if changed else tenant,
        decision=decision,
        changed=changed,
        spec=spec,
        needs_run=needs_run,
        run_id=None if needs_run else open_run,
        supersedes=open_run if needs_run else None,
    )
    return change, deployment


def _locked_newest(uow: UnitOfWork, newest: Run | None) -> Run | None:
    """Lock the newest run. Raises ``Conflict`` if another one was requested meanwhile."""
    locked = uow.runs.need(newest.id, lock=True) if newest is not None else None
    present = uow.queries.newest_run(locked.deployment_id) if locked is not None else None
    if locked is not None and present is not None and present.id != locked.id:
        raise Conflict("another run was requested meanwhile", constraint="version")
    return locked


def _require_changeable(
    tenant: Tenant, deployment: Deployment | None, newest: Run | None
) -> Deployment:
    status = tenant.status
    if newest is not None and (_applies(newest) or _removes(newest)):
        doing = "removes" if _removes(newest) else "changes"
        raise RunInProgress(f"{newest.id} {doing} this tenant: it is {newest.status}",
                            run=newest.id)  # fmt: skip
    if deployment is None or status not in CHANGEABLE_STATUS:
        raise IllegalTransition(
            f"the tenant is {status}; there is nothing to change", present_status=str(status)
        )
    if deployment.kind is DeploymentKind.CUSTOMER_RUN:
        raise IllegalTransition(
            "the customer applies this tenant: an architect changes it by the next version of its "
            "bundle",
            present_status=str(status),
        )
    return deployment


def _applies(run: Run) -> bool:
    at = run.blocked_from if run.status is RunStatus.BLOCKED else run.status
    return at in HOLDS_SLOT


def _removes(run: Run) -> bool:
    return run.kind is RunKind.DESTROY and run.status not in TERMINAL_RUN


def _changed(tenant: Tenant, facts: Mapping[str, Any]) -> tuple[Facts, tuple[str, ...]]:
    """Return the facts as they would be, and which of them have another value."""
    if not facts:
        raise InvalidInput("name at least one fact to change", field="facts")
    other = sorted(set(facts) - set(CHANGEABLE))
    if other:
        raise InvalidInput(
            f"{other[0]} cannot be changed this way; only {' and '.join(CHANGEABLE)} can",
            field=f"facts.{other[0]}",
        )
    before = Facts.from_document(tenant.facts)
    try:
        after = Facts.from_document({**tenant.facts, **facts})
    except InvalidInput as error:
        raise error.renamed(lambda name: f"facts.{name}") from error
    return after, tuple(
        name for name in CHANGEABLE if getattr(before, name) != getattr(after, name)
    )


def _same_mode(tenant: Tenant, facts: Facts, rules: ModeRules) -> ModeDecision:
    """Return the decision on the changed facts. Raises ``ModeWouldChange`` for another mode.

    What an architect has confirmed stays so while the same rules ask for the review.
    """
    decision = resolve(facts, rules)
    is_confirmed = not tenant.decision.get("provisional", True)
    is_same_review = _rules(decision.to_document()) == _rules(tenant.decision)
    if decision.outcome is Outcome.NEEDS_REVIEW and is_confirmed and is_same_review:
        decision = confirm(decision)
    mode = str(decision.mode) if decision.mode else None
    if (mode, decision.region) != (tenant.mode, tenant.region):
        raise would_change(tenant, decision)
    return decision


def _rules(decision: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(reason["rule"], reason["effect"]) for reason in decision["reasons"]}


def _difference(
    act: Act, deployment: Deployment, newest: Run | None, wanted: Tenant
) -> tuple[tuple[Difference, ...], bool]:
    """Return in what the spec would differ from the applied one, and whether that needs a run."""
    is_open = newest is not None and newest.status not in TERMINAL_RUN
    has_spec = newest is not None and newest.spec_number > 0
    if not deployment.spec_number or (is_open and not has_spec):
        return (), False  # the spec is made of the facts as they are when there is a place
    document = spec_document(act, deployment, tenant=wanted)
    last = spec_of(act.uow, deployment)
    applied = spec_of(act.uow, deployment, deployment.applied_spec or None)
    is_same = last.content_digest == spec_digest(document, Desired.PRESENT)
    is_on_its_way = is_open or deployment.applied_spec == deployment.spec_number
    return differences(applied.document, document), not (is_same and is_on_its_way)


def _store(act: Act, change: Change, deployment: Deployment, reason: str) -> Change:
    if not change.changed and not change.needs_run:
        return change
    tenant, before = change.tenant, act.uow.tenants.need(change.tenant.id)
    if change.changed:
        editors = tenant.editors
        if not change.needs_run:  # the run that takes the facts up later was asked for by others
            editors = tuple(dict.fromkeys((*editors, *act.caller.actor.subjects)))
        tenant = replace(tenant, editors=editors, updated_at=act.now(), version=tenant.version + 1)
        act.uow.tenants.save(tenant)
    record(
        act, "change.requested",
        tree=tenant.id, targets=(("tenant", tenant.id), ("deployment", deployment.id)),
        personal={"reason": reason}, changed=change.changed,
        facts_digest=change.decision.input_digest,
        previous_facts_digest=digest(dict(before.facts)),
        spec=[each.path for each in change.spec], supersedes=change.supersedes,
    )  # fmt: skip
    if change.changed:
        record_decision(act, tenant, change.decision)
    if not change.needs_run:
        return replace(change, tenant=tenant)
    run = request_run(act, deployment)
    return replace(change, tenant=act.uow.tenants.need(tenant.id), run_id=run.id)
