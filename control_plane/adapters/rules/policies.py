"""The port ``Policies`` over the rules of the package ``policies``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from control_plane.adapters.rules.parameters import PolicyParameters
from control_plane.domain.canonical import digest
from control_plane.ports import Json, PolicyScope
from policies.code_digest import rules_code_digest
from policies.evaluation import evaluate
from policies.model import Resource, Stage
from policies.pulumi_plan import resources_from_plan
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

    def judge_plan(self, resources: Sequence[Json], scope: PolicyScope) -> dict[str, Any]:
        """Evaluate a Pulumi plan's resources.

        Returns {ok, violations: [{rule, address, path, verdict, enforcement, reason, remedy}],
        rules, judged, stage, digest}.
        """
        return self._judge(resources_from_plan(resources), scope, Stage.PLAN)

    def judge_state(self, resources: Sequence[Json], scope: PolicyScope) -> dict[str, Any]:
        """Evaluate what exists after an apply, in the same form."""
        return self._judge(resources_from_state(resources), scope, Stage.STATE)

    def judge_terraform(self, plan: Json, scope: PolicyScope) -> dict[str, Any]:
        """Evaluate the JSON of a Terraform plan, in the same form. Raises ``ValueError``."""
        return self._judge(resources_from_terraform(plan), scope, Stage.PLAN)

    def _judge(
        self, resources: Sequence[Resource], scope: PolicyScope, stage: Stage
    ) -> dict[str, Any]:
        parameters = self._parameters.for_deployment(
            region=scope.region,
            zone=scope.zone,
            strict=scope.strict,
            tag_values={"tenantplane:mode": scope.mode},
        )
        found = evaluate(resources, parameters, rules_digest=self._code_digest, stage=stage)
        return {
            "ok": found.passed,
            "violations": [violation.to_document() for violation in found.violations],
            "rules": list(found.rules),
            "judged": found.judged,
            "stage": found.stage.value,
            "digest": digest({"rules": found.rules_digest, "parameters": found.parameters_digest}),
        }
