"""The port ``Policies`` over the rules of the package ``policies``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from control_plane.adapters.rules.parameters import PolicyParameters
from control_plane.domain.canonical import digest
from control_plane.domain.engine import Operation, PlannedResource
from control_plane.domain.evaluation import Evaluation, Violation
from control_plane.domain.risk import PlanSigns, Risk, RiskKind, Size, SizeChange
from control_plane.ports import Json
from control_plane.ports.stores import PolicyScope
from policies import priced
from policies.code_digest import rules_code_digest
from policies.evaluation import evaluate
from policies.model import Resource, Stage
from policies.priced import priced_of
from policies.pulumi_plan import resources_from_plan
from policies.removal import on_removal
from policies.risk_signs import signs_of
from policies.state import resources_from_state
from policies.terraform_plan import resources_from_terraform


class RulePolicies:
    """The policy rules with the parameters of this installation."""

    def __init__(self, parameters: PolicyParameters) -> None:
        self._parameters = parameters
        self._code_digest = rules_code_digest()

    def digest(self) -> str:
        """Return the digest of rules and parameters: a part of every plan digest."""
        return digest({"rules": self._code_digest, "parameters": self._parameters.digest})

    def evaluate_plan(self, resources: Sequence[PlannedResource], scope: PolicyScope) -> Evaluation:
        """Evaluate a Pulumi plan's resources."""
        documents = [resource.to_document() for resource in resources]
        return self._judge(resources_from_plan(documents), scope, Stage.PLAN)

    def signs_of(
        self, operations: Sequence[Operation], resources: Sequence[PlannedResource]
    ) -> PlanSigns:
        """Read what a plan risks, and what of it has a price."""
        return read_signs(operations, resources)

    def evaluate_state(
        self, resources: Sequence[PlannedResource], scope: PolicyScope
    ) -> Evaluation:
        """Evaluate what exists after an apply."""
        documents = [resource.to_document() for resource in resources]
        return self._judge(resources_from_state(documents), scope, Stage.STATE)

    def on_removal(self, resource: PlannedResource) -> str:
        """Return a sentence on what the removal of a resource destroys and leaves, or ''."""
        return on_removal(resource.type, resource.inputs)

    def evaluate_terraform(self, plan: Json, scope: PolicyScope) -> Evaluation:
        """Evaluate the JSON of a Terraform plan. Raises ``ValueError``."""
        return self._judge(resources_from_terraform(plan), scope, Stage.PLAN)

    def _judge(self, resources: Sequence[Resource], scope: PolicyScope, stage: Stage) -> Evaluation:
        parameters = self._parameters.for_deployment(
            region=scope.region,
            zone=scope.zone,
            strict=scope.strict,
            tag_values=tag_values(scope),
            account_id=scope.account_id,
            slice_short=scope.slice_short,
            unprotected=scope.unprotected,
        )
        found = evaluate(resources, parameters, rules_digest=self._code_digest, stage=stage)
        return Evaluation(
            ok=found.passed,
            violations=tuple(Violation.from_document(asdict(each)) for each in found.violations),
            rules=found.rules,
            digest=digest({"rules": found.rules_digest, "parameters": found.parameters_digest}),
        )


def read_signs(operations: Sequence[Operation], resources: Sequence[PlannedResource]) -> PlanSigns:
    """Return what the properties of a plan say that approval rules ask for."""
    doing = [each.to_document() for each in operations if each.op != "same" or each.options]
    if not doing:
        return PlanSigns()
    planned = [each.to_document() for each in resources]
    return PlanSigns(
        risks=tuple(
            Risk(kind=RiskKind(sign.risk), urn=sign.address, path=sign.path, detail=sign.detail)
            for sign in signs_of(doing, planned)
        ),
        sizes=tuple(
            SizeChange(urn=each.address, before=_size(each.before), after=_size(each.after))
            for each in priced_of(doing, planned)
        ),
    )


def _size(found: priced.Size | None) -> Size | None:
    return Size(**asdict(found)) if found is not None else None


def tag_values(scope: PolicyScope) -> dict[str, str]:
    """Return the tags that say whose a resource is, with the values of the scope."""
    return {
        "tenantplane:tenant": scope.tenant,
        "tenantplane:deployment": scope.deployment,
        "tenantplane:environment": scope.environment,
        "tenantplane:mode": scope.mode,
    }
