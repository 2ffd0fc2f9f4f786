"""What Terraform adopts or renames says "no-op"; the policies are told all the same."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from control_plane.adapters.terraform.toolchain import Toolchain
from policies.model import Operation
from policies.terraform_plan import resources_from_terraform

SECONDS = 120
FIRST = 'resource "terraform_data" "old" {}\nresource "terraform_data" "kept" {}\n'
THEN = """
resource "terraform_data" "new" {}
resource "terraform_data" "kept" {}
resource "terraform_data" "adopted" {}

moved {
  from = terraform_data.old
  to   = terraform_data.new
}

import {
  id = "0a1b2c3d"
  to = terraform_data.adopted
}
"""


def test_what_is_adopted_counts_as_created_and_what_is_moved_says_from_where(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    def terraform(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [toolchain.binary, *arguments],
            cwd=tmp_path, env=toolchain.child_environment(os.environ), capture_output=True,
            text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    (tmp_path / "main.tf").write_text(FIRST)
    terraform("init", "-input=false")
    terraform("apply", "-auto-approve", "-input=false")
    (tmp_path / "main.tf").write_text(THEN)
    # exit code 2 although every resource is a no-op: an alarm for drift must look at the plan
    terraform("plan", "-input=false", "-out=x.plan", "-detailed-exitcode", code=2)
    plan = json.loads(terraform("show", "-json", "x.plan"))
    assert {tuple(c["change"]["actions"]) for c in plan["resource_changes"]} == {("no-op",)}
    found = {resource.name: resource for resource in resources_from_terraform(plan)}
    assert {name: (one.operation, one.moved_from) for name, one in found.items()} == {
        "new": (Operation.SAME, "terraform_data.old"),
        "kept": (Operation.SAME, None),
        "adopted": (Operation.CREATE, None),
    }
