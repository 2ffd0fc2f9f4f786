"""Steps of a tenant's onboarding: saved, completed, opened again; who may is asked before.

All changes of one tenant's steps take turns, and each leaves a version and an event. The event has
a digest of each answer under a key of the installation, so that nobody guesses a value from it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from control_plane.domain.canonical import canonical_json
from control_plane.domain.errors import InvalidInput, NotFound
from control_plane.domain.onboarding_answers import Examined, examine
from control_plane.domain.onboarding_document import Answers, FaultCode, StepRule, Validator
from control_plane.domain.onboarding_errors import (
    AnswersRefused,
    ResetsNotNamed,
    StepChanged,
    StepComplete,
    StepNotYet,
)
from control_plane.domain.onboarding_step import OnboardingStep, StepAct, StepStatus, StepVersion
from control_plane.domain.onboarding_values import About
from control_plane.domain.removal_errors import AlreadyRemoved
from control_plane.domain.tenant import Tenant
from control_plane.workflows.core import Act
from control_plane.workflows.links import is_leaving
from control_plane.workflows.onboarding_checks import Looked, look_at
from control_plane.workflows.recording import record
from control_plane.workflows.residence import promise_of
from control_plane.workflows.tasks import open_task

LAUNCH: Final = "review_and_launch"
_COMPLETE: Final = StepStatus.COMPLETE
Rows = Mapping[str, OnboardingStep]


@dataclass(frozen=True, kw_only=True)
class StepState:
    """A step of a tenant: its rule, its row if it has one, and what is in its way.

    ``waits_for`` are steps that have to be complete first, ``resets`` those that are open again
    once it is. ``examined`` has its answers with what is missing, ``looked`` what its checks
    found, where they were made.
    """

    rule: StepRule
    row: OnboardingStep | None
    waits_for: tuple[str, ...]
    resets: tuple[str, ...]
    examined: Examined
    looked: tuple[Looked, ...] = ()

    @property
    def status(self) -> StepStatus:
        """Where it stands."""
        return self.row.status if self.row is not None else StepStatus.OPEN

    @property
    def version(self) -> int:
        """The number of its newest version, 0 before the first."""
        return self.row.version if self.row is not None else 0

    @property
    def answers(self) -> Answers:
        """What was answered."""
        return self.row.answers if self.row is not None else {}


# --- looking --------------------------------------------------------------------------------------
def board(act: Act, tenant: Tenant) -> tuple[StepState, ...]:
    """Return every step of a tenant, in order; no check is made."""
    rows = _rows(act, tenant)
    return tuple(_state(act, tenant, each, rows) for each in act.core.rules.onboarding.steps)


def step_of(act: Act, tenant: Tenant, key: str) -> StepState:
    """Return a step with its checks. Raises ``NotFound``."""
    rule = _rule(act, key)
    return _state(act, tenant, rule, _rows(act, tenant), looked=look_at(act, tenant, rule))


def about(act: Act, tenant: Tenant, rows: Rows) -> About:
    """Return what answers of a tenant are examined with."""
    regions = act.core.rules.regions
    promise = promise_of(tenant, regions)
    named = [
        domain
        for rule in act.core.rules.onboarding.steps
        for field in rule.fields
        if field.validator is Validator.DOMAIN and rule.key in rows
        for domain in rows[rule.key].answers.get(field.key) or ()
    ]
    return About(
        domain=tenant.domain,
        domains=tuple(named),
        mode=tenant.mode,
        region=tenant.region,
        now=act.now(),
        known_regions=frozenset(
            region for zone in regions.zones.values() for region in zone.regions
        ),
        allowed_regions=frozenset(promise.allowed) if promise.is_stated else None,
    )


# --- changing -------------------------------------------------------------------------------------
def save(act: Act, tenant: Tenant, key: str, *, answers: Answers, version: int) -> StepState:
    """Save answers to a step, also when some are missing.

    ``version`` is that which was seen, 0 for none. Raises ``NotFound``, ``StepNotYet``,
    ``StepComplete``, ``StepChanged``, ``AnswersRefused`` and ``AlreadyRemoved``.
    """
    rule, rows = _begun(act, tenant, key)
    row, rules = rows.get(key), act.core.rules.onboarding
    _require_before(rule, rows)
    if row is not None and row.status is _COMPLETE:
        raise StepComplete(f"the step {key} is complete; open it again to change it")
    examined = examine(rules, rule, answers, about(act, tenant, rows))
    wrong = [each for each in examined.faults if not each.is_unfinished]
    if wrong:
        raise AnswersRefused(
            f"{len(wrong)} answer(s) of the step {key} cannot be taken",
            faults=[each.to_document(rules.faults) for each in wrong],
        )
    if row is not None and row.version != version and row.answers == examined.answers:
        return step_of(act, tenant, key)  # a repetition, or both entered the same
    _require_version(key, row, version, answers)
    by, now = act.caller.actor.id, act.now()
    if row is None:
        row = OnboardingStep(
            id=act.new_id("onboarding_step"), tenant_id=tenant.id, key=key,
            document=rules.digest, status=StepStatus.SAVED, answers=examined.answers,
            changed_by=by, changed_at=now,
        )  # fmt: skip
        act.uow.onboarding_steps.add(row)
        _keep(act, row, StepAct.SAVED)
    else:
        row = _moved(act, row, StepAct.SAVED, answers=examined.answers)
    _record(act, "onboarding.step_saved", row, answers=_digests(act, row))
    _look_at_disagreement(act, tenant, row, examined)
    return step_of(act, tenant, key)


def complete(act: Act, tenant: Tenant, key: str, *, version: int) -> StepState:
    """Complete a step with the answers that were saved.

    Raises ``NotFound``, ``StepNotYet`` for steps and checks that are missing, ``StepChanged``,
    ``AnswersRefused`` for answers that are missing, and ``AlreadyRemoved``.
    """
    rule, rows = _begun(act, tenant, key)
    row, rules = rows.get(key), act.core.rules.onboarding
    _require_before(rule, rows)
    if row is not None and row.status is _COMPLETE and row.version == version:
        return step_of(act, tenant, key)
    _require_version(key, row, version, {})
    if row is None or row.status is StepStatus.OPEN:
        raise StepNotYet(f"the step {key} has to be saved first", step=key, steps=[], checks=[])
    examined = examine(rules, rule, row.answers, about(act, tenant, rows))
    if examined.faults:
        raise AnswersRefused(
            f"{len(examined.faults)} answer(s) of the step {key} are missing or cannot be taken",
            faults=[each.to_document(rules.faults) for each in examined.faults],
        )
    looked = look_at(act, tenant, rule)
    missing = [each for each in looked if not each.holds]
    if missing:
        raise StepNotYet(
            f"the step {key} has to wait: " + "; ".join(each.why for each in missing),
            step=key, steps=[],
            checks=[{"check": str(each.check), "why": each.why} for each in missing],
        )  # fmt: skip
    row = _moved(act, row, StepAct.COMPLETED)
    _record(act, "onboarding.step_completed", row, answers=_digests(act, row))
    if key == LAUNCH:
        record(
            act, "onboarding.launched",
            tree=tenant.id, targets=(("tenant", tenant.id),),
            checks=[str(each.check) for each in looked],
        )  # fmt: skip
    return step_of(act, tenant, key)


def reopen(
    act: Act, tenant: Tenant, key: str, *, resets: Collection[str], version: int, reason: str
) -> StepState:
    """Open a complete step again, and those that need it; ``resets`` names exactly these.

    What was answered in them stays, to be confirmed once more. Raises ``NotFound``,
    ``StepChanged``, ``ResetsNotNamed``, ``InvalidInput``, ``IllegalTransition`` for a step that is
    not complete, and ``AlreadyRemoved``.
    """
    _, rows = _begun(act, tenant, key)
    row = rows.get(key)
    if not reason.strip():
        raise InvalidInput("a reason is required", field="reason")
    if row is None:
        raise NotFound("nothing was saved for this step")
    _require_version(key, row, version, {})
    affected = _resets(act, key, rows)
    if set(resets) != set(affected):
        raise ResetsNotNamed(
            f"{len(affected)} step(s) are open again with {key}: "
            + (", ".join(affected) or "none"),
            resets=list(affected),
        )
    row = _moved(act, row, StepAct.REOPENED)
    record(
        act, "onboarding.step_reopened",
        tree=tenant.id, targets=_targets(row), personal={"reason": reason.strip()},
        step=key, version=row.version, resets=list(affected),
    )  # fmt: skip
    for each in affected:
        reset = _moved(act, rows[each], StepAct.RESET)
        _record(act, "onboarding.step_reset", reset, because=key)
    return step_of(act, tenant, key)


# --- what all of them do --------------------------------------------------------------------------
def _begun(act: Act, tenant: Tenant, key: str) -> tuple[StepRule, Rows]:
    """Take the turn of a tenant's steps, and return the rule of one with the rows of all."""
    act.uow.serialize_on(f"onboarding_steps:{tenant.id}")
    if is_leaving(tenant):
        raise AlreadyRemoved("the tenant was removed, or is being removed")
    return _rule(act, key), _rows(act, tenant)


def _rule(act: Act, key: str) -> StepRule:
    rule = act.core.rules.onboarding.by_key.get(key)
    if rule is None:
        raise NotFound("onboarding has no such step")
    return rule


def _rows(act: Act, tenant: Tenant) -> Rows:
    return {each.key: each for each in act.uow.onboarding_steps.find(tenant_id=tenant.id)}


def _state(
    act: Act, tenant: Tenant, rule: StepRule, rows: Rows, looked: tuple[Looked, ...] = ()
) -> StepState:
    row = rows.get(rule.key)
    return StepState(
        rule=rule,
        row=row,
        waits_for=_waits_for(rule, rows),
        resets=_resets(act, rule.key, rows),
        examined=examine(
            act.core.rules.onboarding, rule, row.answers if row else {}, about(act, tenant, rows)
        ),
        looked=looked,
    )


def _waits_for(rule: StepRule, rows: Rows) -> tuple[str, ...]:
    return tuple(
        need for need in rule.needs if need not in rows or rows[need].status is not _COMPLETE
    )


def _require_before(rule: StepRule, rows: Rows) -> None:
    waits_for = _waits_for(rule, rows)
    if waits_for:
        raise StepNotYet(
            f"the step {rule.key} comes after {', '.join(waits_for)}",
            step=rule.key, steps=list(waits_for), checks=[],
        )  # fmt: skip


def _resets(act: Act, key: str, rows: Rows) -> tuple[str, ...]:
    return tuple(
        each
        for each in act.core.rules.onboarding.dependants(key)
        if each in rows and rows[each].status is _COMPLETE
    )


def _require_version(key: str, row: OnboardingStep | None, version: int, yours: Answers) -> None:
    """Refuse a change of what somebody else changed since; both values are in the error."""
    newest, theirs = (row.version, row.answers) if row is not None else (0, {})
    if newest == version:
        return
    names = sorted(name for name in {*yours, *theirs} if yours.get(name) != theirs.get(name))
    raise StepChanged(
        f"the step {key} is at version {newest}, not at {version}",
        version=newest,
        changed_by=row.changed_by if row is not None else None,
        changed_at=row.changed_at.isoformat() if row is not None else None,
        differences=[
            {"field": name, "yours": yours.get(name), "saved": theirs.get(name)} for name in names
        ] if yours else [],
    )  # fmt: skip


def _moved(
    act: Act, row: OnboardingStep, how: StepAct, *, answers: Answers | None = None
) -> OnboardingStep:
    moved = row.after(
        how, document=act.core.rules.onboarding.digest, by=act.caller.actor.id, now=act.now(),
        answers=answers,
    )  # fmt: skip
    act.uow.onboarding_steps.save(moved)
    _keep(act, moved, how)
    return moved


def _keep(act: Act, row: OnboardingStep, how: StepAct) -> None:
    act.uow.step_versions.add(
        StepVersion(
            id=act.new_id("onboarding_step_version"), step_id=row.id, tenant_id=row.tenant_id,
            number=row.version, act=how, status=row.status, document=row.document,
            answers=row.answers, made_by=row.changed_by, made_at=row.changed_at,
        )
    )  # fmt: skip


def _targets(row: OnboardingStep) -> tuple[tuple[str, str], ...]:
    return (("tenant", row.tenant_id), ("onboarding_step", row.id))


def _record(act: Act, action: str, row: OnboardingStep, **data: Any) -> None:
    record(
        act, action,
        tree=row.tenant_id, targets=_targets(row),
        step=row.key, version=row.version, digest=row.document, **data,
    )  # fmt: skip


def _digests(act: Act, row: OnboardingStep) -> dict[str, str]:
    """Return a digest of each answer; without the installation's key none can be tried out."""
    return {
        name: act.core.onboarding_keys.hidden(
            "answer", f"{row.tenant_id}\0{row.key}\0{name}\0{canonical_json(value).decode()}"
        )[:32]
        for name, value in sorted(row.answers.items())
    }


def _look_at_disagreement(
    act: Act, tenant: Tenant, row: OnboardingStep, examined: Examined
) -> None:
    """Ask the success manager where the customer says that something is not as agreed."""
    for each in examined.faults:
        if each.code is FaultCode.NOT_AGREED:
            open_task(
                act, owner="csm", title="The customer disagrees in onboarding",
                instructions=f"Read the remark: tenantctl tenant onboarding show {tenant.slug} "
                f"{row.key}. Settle it, then let the customer save the step again.",
                about=("onboarding_step", row.id), tenant_id=tenant.id,
                dedupe_key=f"onboarding:{row.id}.{each.key}",
            )  # fmt: skip
