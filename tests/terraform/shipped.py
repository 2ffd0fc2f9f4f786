"""Bundles built for tests, and their files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from control_plane.adapters.audit.keys import create_key_file
from control_plane.adapters.rules.loader import load_policy_parameters, load_rules
from control_plane.adapters.rules.policies import RulePolicies
from control_plane.adapters.terraform.builder import TerraformBundleBuilder
from control_plane.adapters.terraform.packing import unpack
from control_plane.domain.evaluation import Evaluation
from control_plane.ports.bundles import BuiltBundle, BundleOrder
from control_plane.ports.stores import PolicyScope

SOURCE = Path(__file__).resolve().parents[2]
MODULES = SOURCE / "stacks" / "mode_c_modules"
GUIDE = SOURCE / "docs" / "mode-c.md"
ABSENT = "no-such-terraform"


def passes(plan: Mapping[str, Any], scope: PolicyScope) -> Evaluation:
    """Judge without rules."""
    del plan, scope
    return Evaluation(ok=True, digest="sha256:0")


def order(
    number: int = 1, handover: Mapping[str, bytes] | None = None, **changes: Any
) -> BundleOrder:
    """Return an order of the example in which everything is created."""
    example = MODULES / "examples" / "created.tfvars.json"
    variables = json.loads(example.read_text(encoding="utf-8"))
    return BundleOrder(
        tenant_slug="dainese",
        number=number,
        variables={**variables, **changes},
        handover=handover or {},
    )


def builder(folder: Path, **changes: Any) -> TerraformBundleBuilder:
    """Return a builder on this machine's Terraform with the product's rules."""
    rules = load_rules(SOURCE / "rules")
    parameters = load_policy_parameters(SOURCE / "rules", rules.regions)
    key = folder / "bundle.key"
    if not key.exists():
        create_key_file(key)
    made = TerraformBundleBuilder(
        modules=MODULES,
        guide=GUIDE,
        handover_tool=SOURCE / "stacks" / "mode_c_handover",
        variables_schema=SOURCE / "stacks" / "schemas" / "mode_c_variables.schema.json",
        key_file=key,
        work_folder=folder / "builds",
        binary="terraform",
        mirror=None,
        judge=RulePolicies(parameters).evaluate_terraform,
    )
    return replace(made, **changes)


@dataclass(frozen=True)
class Shipped:
    """A bundle that was built, and its files unpacked."""

    bundle: BuiltBundle
    root: Path
    events: Sequence[Mapping[str, Any]]

    @classmethod
    def build(cls, made: TerraformBundleBuilder, folder: Path, **changes: Any) -> Shipped:
        """Build and unpack."""
        events: list[Mapping[str, Any]] = []
        built = made.build(
            order(**changes), on_events=lambda told: events.extend(body for _, body in told)
        )
        return cls(built, unpack(built.archive, folder), events)

    def text(self, name: str) -> str:
        """Return a file of the archive."""
        return (self.root / name).read_text(encoding="utf-8")

    @property
    def manifest(self) -> dict[str, Any]:
        """What the archive says of itself."""
        found: dict[str, Any] = json.loads(self.text("MANIFEST.json"))
        return found

    def beside(self, ending: str) -> bytes:
        """Return the file beside the archive with this ending."""
        (name,) = [name for name in self.bundle.files if name.endswith(ending)]
        return self.bundle.files[name]
