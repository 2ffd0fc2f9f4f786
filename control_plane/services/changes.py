"""Changing a tenant: new facts, a new spec, and an update that brings it about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from types import MappingProxyType
from typing import Any, Final

from control_plane.domain.amendment import Amendment, Terms, known_as
from control_plane.domain.canonical import digest
from control_plane.domain.changing import Wish, changed_facts, require_something
from control_plane.domain.deployment import Deployment, DeploymentKind
from control_plane.domain.environment import Environment, changed_environment
from control_plane.domain.errors import (
    IllegalTransition,
    InvalidInput,
)
from control_plane.domain.facts import Facts
from control_plane.domain.mode import ModeDecision, Outcome, confirm, resolve
from control_plane.domain.mode_rules import ModeRules
from control_plane.domain.run import TERMINAL_RUN, Run
from control_plane.domain.sizing import SIZES
from control_plane.domain.spec import Difference
from control_plane.domain.tenant import Tenant
from control_plane.services.differing import Outcome as Found
from control_plane.services.differing import (
    has_spec,
    locked_newest,
    outcome_of,
    require_planned,
    require_still,
)
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
from control_plane.workflows.drafting import request_plan
from control_plane.workflows.placing import spec_document
from control_plane.workflows.planning import exclude_from_deciding
from control_plane.workflows.recording import record, refused_as

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
# an amendment of what the customer runs changes no infrastructure of ours
_AMENDED_ONLY: Final = (
    "the customer applies this tenant: an architect changes it by the next version of its bundle"
)


@dataclass(frozen=True, kw_only=True)
class Change:
    """What a change comes to.

    ``tenant`` and ``deployment`` are as they are afterwards. ``changed`` names the facts, and the
    choices of the environment, with another value; ``spec`` says in what the spec then differs
    from the one that was applied. ``run_id`` is the run that brings it about: a new one if
    ``needs_run``, otherwise one that was requested before and takes the change with it, if there
    is one. ``supersedes`` is the run that gives way to a new one, ``notes`` are what the caller may
    not expect. ``plan_run_id`` is the run that only plans it, where that was asked for.
    """

    tenant: Tenant
    deployment: Deployment
    decision: ModeDecision
    amendment: Amendment | None
    changed: tuple[str, ...]
    spec: tuple[Difference, ...]
    needs_run: bool
    run_id: str | None
    supersedes: str | None
    notes: tuple[str, ...] = ()
    plan_run_id: str | None = None

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


def dry_run_change(
    act: Act,
    key: str,
    facts: Mapping[str, Any] = NOTHING,
    *,
    environment: Mapping[str, Any] = NOTHING,
    amendment: Mapping[str, Any] | None = None,
) -> Change:
    """Say what a change would come to; stores nothing. Raises what ``request_change`` raises."""
    may_change(act, key)
    wish = Wish(facts=facts, environment=environment, amendment=amendment)
    return _resolved(act, get_tenant(act, key), wish)[0]


def plan_change(
    act: Act,
    key: str,
    facts: Mapping[str, Any] = NOTHING,
    *,
    environment: Mapping[str, Any] = NOTHING,
    amendment: Mapping[str, Any] | None = None,
) -> Change:
    """Do as ``dry_run_change``, and request a run that plans the change and applies nothing.

    Raises what ``request_change`` raises, and ``IllegalTransition`` where nothing can be planned
    before the first run has found its place.
    """
    may_change(act, key)
    tenant = get_tenant(act, key)
    wish = Wish(facts=facts, environment=environment, amendment=amendment)
    with refused_as(
        act, "change.refused", tree=tenant.id, targets=(("tenant", tenant.id),),
        changed=list(wish.names),
    ):  # fmt: skip
        change, found = _resolved(act, tenant, wish)
        run = request_plan(act, change.deployment, require_planned(found))
        return replace(change, plan_run_id=run.id)


def request_change(
    act: Act,
    key: str,
    *,
    reason: str,
    facts: Mapping[str, Any] = NOTHING,
    environment: Mapping[str, Any] = NOTHING,
    amendment: Mapping[str, Any] | None = None,
) -> Change:
    """Change facts of a tenant and request the run that they need; that one supersedes one that
    waits, is planned, or is about to be applied.

    ``facts``, ``environment`` (size, version, zones) and ``amendment`` hold only what changes, as
    plain JSON. What changes nothing is stored nowhere. Raises ``InvalidInput``,
    ``ModeWouldChange``, ``DowngradeRefused``, ``AmendmentRefused``, ``RunInProgress`` while a run
    applies, and ``IllegalTransition`` for a tenant that has nothing of ours to change.
    """
    may_change(act, key)
    tenant = get_tenant(act, key)
    wish = Wish(facts=facts, environment=environment, amendment=amendment)
    with refused_as(
        act, "change.refused", tree=tenant.id, targets=(("tenant", tenant.id),),
        changed=list(wish.names),
    ):  # fmt: skip
        if not reason.strip():
            raise InvalidInput("a reason is required", field="reason")
        act.uow.serialize_on(f"change:{tenant.id}")  # of two at once, the second sees the first
        change, _ = _resolved(act, tenant, wish, lock=True)
        return _store(act, change, reason.strip())


def list_amendments(act: Act, key: str) -> list[Amendment]:
    """Return the amendments of a tenant's contract, oldest first. Raises ``NotFound``."""
    return act.uow.amendments.find(tenant_id=get_tenant(act, key).id)


def _resolved(act: Act, tenant: Tenant, wish: Wish, *, lock: bool = False) -> tuple[Change, Found]:
    """Return what a change comes to. With ``lock`` run, deployment and tenant stay as they are."""
    require_something(wish)
    deployment = deployment_of(act.uow, tenant)
    newest = act.uow.queries.newest_run(deployment.id) if deployment else None
    if lock and deployment is not None:  # in the order in which they are locked everywhere
        newest = locked_newest(act.uow, newest)
        deployment = act.uow.deployments.need(deployment.id, lock=True)
        tenant = act.uow.tenants.need(tenant.id, lock=True)
    require_no_saga(act, tenant)
    deployment = _require_changeable(tenant, deployment, newest, wish)
    amendment = _amendment(act, tenant, wish)
    before = Facts.from_document(tenant.facts)
    after, changed = changed_facts(before, tenant.facts, wish, amendment)
    decision = _same_mode(tenant, after, act.core.rules.mode)
    wanted = replace(tenant, facts=after.to_document(), decision=decision.to_document())
    chosen = _chosen(act, deployment, wish)
    placed = replace(deployment, chosen=chosen)
    is_ours = deployment.kind is not DeploymentKind.CUSTOMER_RUN
    draft = (
        spec_document(act, placed, tenant=wanted)
        if is_ours and has_spec(deployment, newest)
        else None
    )
    found = outcome_of(act.uow, deployment, newest, draft)
    choices = {name for name in {*chosen, *deployment.chosen}
               if chosen.get(name) != deployment.chosen.get(name)}  # fmt: skip
    changed = (
        *changed,
        *sorted(f"environment.{name}" for name in choices),
        *(("amendment",) if amendment is not None else ()),
    )
    change = Change(
        tenant=wanted if changed else tenant,
        deployment=placed,
        decision=decision,
        amendment=amendment,
        changed=changed,
        spec=found.spec,
        needs_run=found.needs_run,
        run_id=None if found.needs_run else found.open_run,
        supersedes=found.open_run if found.needs_run else None,
        notes=_notes(placed, found, wanted),
    )
    return change, found


def _require_changeable(
    tenant: Tenant, deployment: Deployment | None, newest: Run | None, wish: Wish
) -> Deployment:
    status = tenant.status
    require_still(newest, "this tenant")
    if deployment is None or status not in CHANGEABLE_STATUS:
        raise IllegalTransition(
            f"the tenant is {status}; there is nothing to change", present_status=str(status)
        )
    if deployment.kind is DeploymentKind.CUSTOMER_RUN and (wish.facts or wish.environment):
        raise IllegalTransition(_AMENDED_ONLY, present_status=str(status))
    return deployment


def _amendment(act: Act, tenant: Tenant, wish: Wish) -> Amendment | None:
    """Return the amendment to be stored, None for one that was stored before."""
    if wish.amendment is None:
        return None
    terms = Terms.from_document(wish.amendment)
    if known_as(act.uow.amendments.find(tenant_id=tenant.id), terms) is not None:
        return None
    contracts = act.uow.contracts.find(tenant_id=tenant.id)
    return Amendment(
        **vars(terms),
        id=act.new_id("amendment"),
        tenant_id=tenant.id,
        contract_ref=contracts[-1].id,
        amended_by=act.caller.actor.id,
        amended_at=act.now(),
    )


def _chosen(act: Act, deployment: Deployment, wish: Wish) -> Mapping[str, object]:
    if not wish.environment:
        return deployment.chosen
    return changed_environment(
        Environment.from_document(deployment.chosen),
        wish.environment,
        deployment.kind,
        versions=act.core.rules.versions,
        zones=len(act.core.rules.regions.availability_zones(deployment.region)),
    ).to_document()


def _notes(deployment: Deployment, found: Found, tenant: Tenant) -> tuple[str, ...]:
    """Return in what the outcome differs from what was asked, and what else is to be done."""
    if deployment.kind is DeploymentKind.CUSTOMER_RUN:
        return ("What the customer runs stays as it is until the next version of the bundle.",)
    size = SIZES.get(str(deployment.chosen.get("size")))
    database = (found.draft or {}).get("database")
    notes = []
    if size is not None and database and database["storage_gb"] > size.storage_gb:
        notes.append(f"The disk keeps its {database['storage_gb']} GiB: RDS makes none smaller.")
    if tenant.hold and found.needs_run:
        notes.append("A hold stands: the run is planned, and applies when it is released.")
    return tuple(notes)


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


def _store(act: Act, change: Change, reason: str) -> Change:
    if not change.changed and not change.needs_run:
        return change
    tenant, before = change.tenant, act.uow.tenants.need(change.tenant.id)
    if change.amendment is not None:
        act.uow.amendments.add(change.amendment)
    deployment = act.uow.deployments.need(change.deployment.id)
    if change.deployment.chosen != deployment.chosen:
        deployment = deployment.changed(act.now(), chosen=change.deployment.chosen)
        act.uow.deployments.save(deployment)
    if change.changed:
        editors = tenant.editors
        if not change.needs_run:  # the run that takes the facts up later was asked for by others
            editors = tuple(dict.fromkeys((*editors, *act.caller.actor.subjects)))
        tenant = replace(
            tenant,
            editors=editors,
            retention_until=_kept_until(tenant, change.amendment),
            updated_at=act.now(),
            version=tenant.version + 1,
        )
        act.uow.tenants.save(tenant)
    amendment = change.amendment
    record(
        act, "change.requested",
        tree=tenant.id, targets=(("tenant", tenant.id), ("deployment", deployment.id)),
        personal={"reason": reason}, changed=change.changed,
        facts_digest=change.decision.input_digest,
        previous_facts_digest=digest(dict(before.facts)),
        spec=[each.path for each in change.spec], supersedes=change.supersedes,
        amendment=amendment.number if amendment is not None else None,
        retention_until=_iso(amendment.retention_until) if amendment is not None else None,
        chosen=dict(change.deployment.chosen),
    )  # fmt: skip
    if change.changed:
        record_decision(act, tenant, change.decision)
    if not change.needs_run:
        _stand_behind(act, change.run_id)
        return replace(change, tenant=tenant)
    run = request_run(act, deployment)
    return replace(change, tenant=act.uow.tenants.need(tenant.id), run_id=run.id)


def _stand_behind(act: Act, run_id: str | None) -> None:
    """Let the caller decide on no plan of a run that brings this change beside another one."""
    run = act.uow.runs.get(run_id) if run_id is not None else None
    if run is not None and run.status not in TERMINAL_RUN:
        subjects = act.caller.actor.subjects
        act.uow.runs.save(run.followed_by(subjects, act.now()))
        exclude_from_deciding(act, run, subjects, "editor")


def _kept_until(tenant: Tenant, amendment: Amendment | None) -> datetime | None:
    """Return the date before which nothing of a tenant is removed: the later of both."""
    if amendment is None or amendment.retention_until is None:
        return tenant.retention_until
    agreed = datetime.combine(amendment.retention_until, time.min, tzinfo=UTC)
    return max(agreed, tenant.retention_until or agreed)


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day is not None else None
