"""A worker whose engine is the scripted one: ``python -m tests.intake_run.worker``.

Its resources have no provider whose region the shipped policies ask for, so that plans and states
are not judged. Everything else is the product's own, as `tenantctl worker` starts it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, cast

from control_plane import worker
from control_plane.adapters.pulumi.engine import PulumiEngine
from control_plane.adapters.rules.loader import load_policy_parameters
from control_plane.adapters.rules.policies import RulePolicies
from control_plane.bootstrap import Parts, start_process
from control_plane.domain.engine import PlannedResource
from control_plane.domain.evaluation import Evaluation
from control_plane.ports.stores import PolicyScope
from tests.intake_run.engine import KeptEngine

STACKS: Final = "scripted-stacks"  # in the home


class FindingNothing(RulePolicies):
    """The shipped policies, which find nothing in plans and states."""

    def evaluate_plan(self, resources: Sequence[PlannedResource], scope: PolicyScope) -> Evaluation:
        return Evaluation(ok=True, digest=self.digest())

    def evaluate_state(
        self, resources: Sequence[PlannedResource], scope: PolicyScope
    ) -> Evaluation:
        return Evaluation(ok=True, digest=self.digest())


@dataclass(frozen=True)
class ScriptedParts(Parts):
    """The parts of a worker with that engine."""

    @cached_property
    def engine(self) -> PulumiEngine:
        """The scripted engine."""
        return cast("PulumiEngine", KeptEngine(self.home.folder / STACKS))

    @cached_property
    def policies(self) -> RulePolicies:
        """The policies that find nothing."""
        return FindingNothing(load_policy_parameters(self.rules_folder, self.rules.regions))


def main() -> int:
    """Work until SIGTERM."""
    parts = start_process("worker")
    return worker.run(ScriptedParts(parts.settings), ready=_say_ready)


def _say_ready() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
