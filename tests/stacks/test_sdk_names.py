"""Names of the SDK for AWS that are loaded one by one are the names that its packages export."""

from __future__ import annotations

import json
import subprocess
import sys

# of every service that a program uses: names that are not what the package would have imported
COMPARED = """
import ast, importlib, json
from pathlib import Path
from stacks.names import load_when_asked_for
load_when_asked_for()
import pulumi_aws
services = ("cloudwatch", "dynamodb", "ec2", "iam", "kms", "rds", "s3", "secretsmanager", "ssm",
            "vpc")
told = {"checked": 0, "other": []}
for service in services:
    package = getattr(pulumi_aws, service)
    folder = Path(package.__path__[0])
    for line in ast.parse((folder / "__init__.py").read_text()).body:
        if not isinstance(line, ast.ImportFrom) or line.level != 1 or not line.module:
            continue
        whole = ast.parse((folder / f"{line.module}.py").read_text()).body
        exported = next(
            ast.literal_eval(each.value) for each in whole
            if isinstance(each, ast.Assign) and each.targets[0].id == "__all__"
        )
        for name in exported:
            told["checked"] += 1
            found = getattr(package, name)
            module = importlib.import_module(f"{package.__name__}.{line.module}")
            if found is not getattr(module, name):
                told["other"].append(f"{service}.{name}")
print(json.dumps(told))
"""
FALLEN_BACK = """
import sys
from stacks.names import load_when_asked_for
load_when_asked_for()
import pulumi_aws
import pulumi_aws.kms as kms
assert hasattr(kms, "Key") and "pulumi_aws.kms.grant" not in sys.modules
assert not hasattr(kms, "NoSuchThing") and "pulumi_aws.kms.grant" in sys.modules
from pulumi_aws.ssm import *
assert Parameter is pulumi_aws.ssm.Parameter and "Document" in globals()
"""


def ran(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_name_is_the_one_that_its_package_exports() -> None:
    told = json.loads(ran(COMPARED))
    assert told["checked"] > 1000
    assert told["other"] == []


def test_what_is_in_no_module_of_its_own_is_looked_for_everywhere() -> None:
    ran(FALLEN_BACK)
