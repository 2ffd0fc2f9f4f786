"""The bare Automation API script that Mode A is measured against.

What an engineer would write in an afternoon: create the stack, preview, up, with the same program,
spec, provider plugin, backend and cloud, and none of our gate, policies, checks, queue or audit.
Run again with the same folder, it selects the stack instead.
It imports the SDK as every program does, which is what it has been measured with from the start.
The order comes on stdin: stack, program, spec, backend_url, folder, cli, passphrase, and `act`,
which may be `refresh`, preview only.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pulumi_aws  # noqa: F401 - as the SDK's guide shows, so that stacks/names.py does nothing
from pulumi import automation as auto

from stacks import program
from stacks.sandbox.provider import sdk_version, write_plugin


def main() -> None:
    """Create the stack, preview and apply it; print what changed."""
    order = json.load(sys.stdin)
    folder = Path(order["folder"])
    make_stack = auto.select_stack if folder.exists() else auto.create_stack
    for name in ("plugin", "work", "home"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    write_plugin(folder / "plugin")
    os.environ |= {
        "PATH": f"{Path(order['cli']).parent}:{os.environ['PATH']}",
        "PULUMI_HOME": str(folder / "home"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "GOGC": "400",  # the product's settings of the CLI, or the comparison would not be fair
        "GOMEMLIMIT": "64MiB",
        "PULUMI_CONFIG_PASSPHRASE": order["passphrase"],
        "PULUMI_BACKEND_URL": order["backend_url"],
    }
    plugin = {"name": "aws", "path": str(folder / "plugin"), "version": sdk_version()}
    project = {
        "name": "tenantplane",
        "runtime": "python",
        "plugins": {"providers": [plugin]},
    }
    (folder / "work" / "Pulumi.yaml").write_text(json.dumps(project))
    stack = make_stack(
        stack_name=order["stack"],
        project_name="tenantplane",
        program=_program,
        opts=auto.LocalWorkspaceOptions(work_dir=str(folder / "work")),
    )
    # one write instead of one CLI start per value: the fastest way the API has
    stack.workspace.save_stack_settings(
        order["stack"],
        auto.StackSettings(
            encryption_salt=stack.workspace.stack_settings(order["stack"]).encryption_salt,
            config={
                "tenantplane:program": order["program"],
                "tenantplane:spec": json.dumps(order["spec"]),
                "pulumi:disable-default-providers": '["*"]',
            },
        ),
    )
    if order.get("act") == "refresh":
        json.dump(stack.preview_refresh().change_summary, sys.stdout)
        return
    stack.preview()
    result = stack.up()
    json.dump(result.summary.resource_changes, sys.stdout)


def _program() -> None:
    program.main()


if __name__ == "__main__":
    main()
