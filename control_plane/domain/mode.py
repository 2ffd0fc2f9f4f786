"""Which deployment mode a tenant gets, and why: pure, deterministic, explainable.

``resolve(facts, rules)`` looks at every rule whatever the others say; a rule may only
raise the least mode required. What was bought stands when it is at least that (a customer may buy
more isolation than the rules demand) and nobody asks for something else; otherwise nothing is
provisioned: no commercial upgrade or downgrade happens in silence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any

from control_plane.domain.canonical import digest
from control_plane.domain.errors import ModeConflict
from control_plane.domain.facts import Facts
from control_plane.domain.mode_rules import Effect, FactValue, Mode, ModeRules
from control_plane.domain.residency import Placement, place

__all__ = ["Facts", "FiredRule", "Mode", "ModeDecision", "Outcome", "confirm", "resolve"]


class Outcome(StrEnum):
    """How a resolution ended. Only ``resolved`` lets anything be provisioned."""

    RESOLVED = "resolved"
    MODE_CONFLICT = "mode_conflict"  # contract or facts must change
    NEEDS_REVIEW = "needs_review"  # an architect may confirm what was bought


class Reason(StrEnum):
    """What the comparison of rules, contract and request may find, besides the rules' own ids."""

    BOUGHT_BELOW_REQUIRED = "bought_below_required"
    REQUEST_DIFFERS = "request_differs"
    BELOW_CURRENT_MODE = "below_current_mode"
    NO_REGION = "no_region"  # no vendor region satisfies the residency, and no rule saw to it


@dataclass(frozen=True, kw_only=True)
class FiredRule:
    """A rule, or a ``Reason``, that had an effect, with the facts it saw and a sentence."""

    rule: str
    effect: Effect
    min_mode: Mode | None
    facts: Mapping[str, Any]
    sentence: str
    review_contract: bool = False

    def to_document(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {
            "rule": self.rule,
            "effect": self.effect.value,
            "min_mode": self.min_mode.value if self.min_mode else None,
            "facts": dict(self.facts),
            "sentence": self.sentence,
        }


@dataclass(frozen=True, kw_only=True)
class ModeDecision:
    """What ``resolve`` found.

    ``mode`` and ``region`` are None unless the outcome is ``resolved``. ``bought`` is what the
    contract buys, else what is requested, else what the rules require. ``placement`` has the
    regions that the tenant's data may lie in. ``provisional`` until the kickoff confirms.
    """

    outcome: Outcome
    mode: Mode | None
    required_min: Mode
    bought: Mode
    region: str | None
    placement: Placement
    fired: tuple[FiredRule, ...]
    summary: str
    rules_digest: str
    input_digest: str
    provisional: bool = True

    def to_document(self) -> dict[str, Any]:
        """Return it as plain JSON: what is stored, audited and answered."""
        return {
            "outcome": self.outcome.value,
            "mode": self.mode.value if self.mode else None,
            "required_min": self.required_min.value,
            "bought": self.bought.value,
            "region": self.region,
            "zone": self.placement.zone,
            "allowed_regions": list(self.placement.allowed),
            "placement": self.placement.sentence,
            "reasons": [fired.to_document() for fired in self.fired],
            "summary": self.summary,
            "rules_digest": self.rules_digest,
            "input_digest": self.input_digest,
            "provisional": self.provisional,
        }


def resolve(facts: Facts, rules: ModeRules) -> ModeDecision:
    """Return the decision on ``facts`` under the rules.

    Raises ``UnknownRegion`` and ``InvalidInput`` for a residency that names nothing real; every
    other combination of facts has a decision with at least one reason.
    """
    placement = place(facts.residency, rules.regions)
    seen = _seen(facts, placement)
    raising = _fired(rules, seen, (Effect.MIN_MODE,))
    required = max((fired.min_mode for fired in raising if fired.min_mode), default=Mode.A)
    bought = facts.contract_mode or facts.requested_mode or required
    candidate = max(bought, required)
    seen = {
        **seen,
        "candidate_mode": candidate.value,
        "cloud_supported": _supported(facts.cloud, rules.clouds, candidate),
        "partition_supported": _supported(placement.partition, rules.partitions, candidate),
    }
    judging = _fired(rules, seen, (Effect.NEEDS_REVIEW, Effect.CONFLICT))
    fired = (*raising, *judging, *_commercial(facts, raising, bought, placement))
    outcome = _outcome(fired, facts.contract_mode)
    mode = bought if outcome is Outcome.RESOLVED else None
    return ModeDecision(
        outcome=outcome,
        mode=mode,
        required_min=required,
        bought=bought,
        region=placement.region(customer_run=mode is Mode.C) if mode else None,
        placement=placement,
        fired=fired,
        summary=_summary(outcome, facts, required, bought, fired),
        rules_digest=digest({"mode_rules": rules.digest, "regions": rules.regions.digest}),
        input_digest=digest(facts.to_document()),
    )


def confirm(decision: ModeDecision) -> ModeDecision:
    """Return the decision as a solutions architect confirms it: final, in the bought mode.

    A conflict cannot be confirmed away: contract or facts
    change first. Raises ``ModeConflict``.
    """
    if decision.outcome is Outcome.MODE_CONFLICT:
        raise ModeConflict(
            f"{decision.summary} A conflict cannot be confirmed: correct the facts or the "
            f"contract.",
            rules=[fired.rule for fired in decision.fired if fired.effect is Effect.CONFLICT],
        )
    return replace(
        decision,
        outcome=Outcome.RESOLVED,
        mode=decision.bought,
        region=decision.placement.region(customer_run=decision.bought is Mode.C),
        summary=f"Mode {decision.bought}, confirmed by a solutions architect.",
        provisional=False,
    )


def _seen(facts: Facts, placement: Placement) -> dict[str, FactValue]:
    """Return the facts under the names that the rules document uses."""
    residency = facts.residency
    uptime = facts.sla_uptime_min
    return {
        **facts.scalars(),
        "sla_uptime_min": Decimal(uptime) if uptime is not None else None,
        "residency.zone": residency.zone if residency else None,
        "residency.regions": residency.regions if residency else (),
        "residency.strict": residency.strict if residency else None,
        "residency.stated": placement.stated,
        "residency.offered": bool(placement.offered) if placement.stated else None,
    }


def _fired(
    rules: ModeRules, seen: Mapping[str, FactValue], effects: tuple[Effect, ...]
) -> tuple[FiredRule, ...]:
    fired = []
    for rule in rules.rules:
        for clause in rule.clauses:
            if clause.effect not in effects or not clause.when.holds(seen):
                continue
            names = dict.fromkeys(clause.when.named_facts())
            facts = {name: _plain(seen[name]) for name in names if seen.get(name) not in (None, ())}
            raises = clause.effect is Effect.MIN_MODE
            fired.append(
                FiredRule(
                    rule=rule.id,
                    effect=clause.effect,
                    min_mode=clause.min_mode if raises else None,
                    facts=facts,
                    sentence=clause.because,
                    review_contract=clause.review_contract,
                )
            )
    return tuple(fired)


def _commercial(
    facts: Facts, raising: Iterable[FiredRule], bought: Mode, placement: Placement
) -> tuple[FiredRule, ...]:
    """Compare what the rules require with what was bought, asked for and is running."""
    found: list[FiredRule] = []
    short = [fired for fired in raising if fired.min_mode and fired.min_mode > bought]
    unreviewable = (fired for fired in short if not _is_reviewable(fired, facts))
    firm = sorted(unreviewable, key=lambda fired: fired.rule)
    if firm:
        names = list(dict.fromkeys(fired.rule for fired in firm))
        how = "was bought" if facts.contract_mode else "is requested"
        require = "requires" if len(names) == 1 else "require"
        why = " ".join(dict.fromkeys(fired.sentence for fired in firm))
        found.append(
            _reason(
                Reason.BOUGHT_BELOW_REQUIRED,
                {"bought": bought.value, "rules": names},
                f"Mode {bought} {how}, and {_listed(names)} {require} more: {why}",
            )
        )
    if facts.requested_mode is not None and facts.requested_mode is not bought:
        found.append(
            _reason(
                Reason.REQUEST_DIFFERS,
                {"bought": bought.value, "requested_mode": facts.requested_mode.value},
                f"Mode {facts.requested_mode} is requested, and the contract buys mode {bought}.",
            )
        )
    if facts.current_mode is not None and bought < facts.current_mode:
        found.append(
            _reason(
                Reason.BELOW_CURRENT_MODE,
                {"bought": bought.value, "current_mode": facts.current_mode.value},
                f"The tenant runs in mode {facts.current_mode}; a downgrade to mode {bought} "
                f"is a separate migration.",
            )
        )
    if bought is not Mode.C and not placement.offered and not firm:
        found.append(_reason(Reason.NO_REGION, {"bought": bought.value}, placement.sentence))
    return tuple(found)


def _reason(reason: Reason, facts: Mapping[str, Any], sentence: str) -> FiredRule:
    return FiredRule(
        rule=reason.value, effect=Effect.CONFLICT, min_mode=None, facts=facts, sentence=sentence
    )


def _is_reviewable(fired: FiredRule, facts: Facts) -> bool:
    return fired.review_contract and facts.contract_mode is not None


def _outcome(fired: Iterable[FiredRule], contract_mode: Mode | None) -> Outcome:
    fired = tuple(fired)
    if any(each.effect is Effect.CONFLICT for each in fired):
        return Outcome.MODE_CONFLICT
    review = any(each.effect is Effect.NEEDS_REVIEW for each in fired)
    short = contract_mode is not None and any(
        each.review_contract and each.min_mode is not None and each.min_mode > contract_mode
        for each in fired
    )
    return Outcome.NEEDS_REVIEW if review or short else Outcome.RESOLVED


def _summary(
    outcome: Outcome, facts: Facts, required: Mode, bought: Mode, fired: Iterable[FiredRule]
) -> str:
    if outcome is Outcome.RESOLVED:
        if facts.contract_mode is None and facts.requested_mode is None:
            return (
                f"Mode {bought}: the rules require at least this, and no other mode is asked for."
            )
        source = "the contract buys it" if facts.contract_mode else "it is requested"
        return f"Mode {bought}: {source}, and the rules require at least mode {required}."
    if outcome is Outcome.NEEDS_REVIEW:
        return f"Mode {bought} needs a review: the rules require at least mode {required}."
    conflicts = [each.sentence for each in fired if each.effect is Effect.CONFLICT]
    return " ".join(conflicts)


def _supported(
    value: str | None, supported: Mapping[Mode, frozenset[str]], mode: Mode
) -> bool | None:
    return None if value is None else value in supported.get(mode, frozenset())


def _listed(names: list[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _plain(value: FactValue) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Decimal) else value
