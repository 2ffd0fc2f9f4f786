"""Running the rules over a plan or a state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from policies.model import Enforcement, Finding, Parameters, Resource, Stage, Verdict, Violation
from policies.rules import RULES


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What the rules found: ``violations`` sorted by address and rule, ``rules`` that were run.

    ``judged`` counts the resources checked.
    """

    stage: Stage
    violations: tuple[Violation, ...]
    rules: tuple[str, ...]
    judged: int
    parameters_digest: str
    rules_digest: str

    @property
    def mandatory(self) -> tuple[Violation, ...]:
        """The violations that end a run."""
        return tuple(each for each in self.violations if each.enforcement is Enforcement.MANDATORY)

    @property
    def passed(self) -> bool:
        """Tell whether no mandatory violation was found."""
        return not self.mandatory


def evaluate(
    resources: Sequence[Resource],
    parameters: Parameters,
    *,
    rules_digest: str,
    stage: Stage = Stage.PLAN,
) -> Evaluation:
    """Run every rule over the resources that will exist.

    ``rules_digest`` is ``policies.code_digest.rules_code_digest()``. Raises ``ValueError`` when the
    parameters allow no region: they are not those of a deployment.
    """
    if not parameters.allowed_regions:
        raise ValueError("the policy parameters allow no region; use those of a deployment")
    judged = [resource for resource in resources if resource.is_judged]
    violations = {
        _violation(rule.id, finding, parameters, stage)
        for rule in RULES
        for finding in _said_once(rule.check(judged, parameters))
    }
    return Evaluation(
        stage=stage,
        violations=tuple(sorted(violations, key=_order)),
        rules=tuple(rule.id for rule in RULES),
        judged=len(judged),
        parameters_digest=parameters.digest,
        rules_digest=rules_digest,
    )


def _said_once(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings of a rule; of one resource, all that is not known is one finding.

    Several paths are joined by commas when what to do is the same.
    """
    unknown: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        if finding.verdict is Verdict.UNKNOWN:
            unknown.setdefault((finding.address, finding.remedy), []).append(finding)
        else:
            yield finding
    for same in unknown.values():
        paths = sorted({each.path for each in same})
        yield replace(same[0], path=", ".join(paths))


def _violation(rule: str, finding: Finding, parameters: Parameters, stage: Stage) -> Violation:
    levels = parameters.enforcement
    if finding.verdict is Verdict.UNKNOWN and stage is Stage.PLAN:
        levels = {**parameters.enforcement, **parameters.unknown_values}
    return Violation(
        rule=rule,
        address=finding.address,
        path=finding.path,
        verdict=finding.verdict,
        enforcement=levels.get(rule, Enforcement.MANDATORY),
        reason=finding.reason,
        remedy=finding.remedy,
    )


def _order(violation: Violation) -> tuple[str, str, str, str]:
    return violation.address, violation.rule, violation.path, violation.reason
