#!/bin/sh
# Pulumi CLI and Python SDK 3.259.0, state in files.
#
# Surprise: a plan file of `preview --save-plan` is not used up by `up --plan`. When the plan was
# applied, the same file passes as "nothing to do"; when the stack was destroyed after that, it
# makes everything anew. The file has a time, but neither serial nor digest of the state it was made
# for: what is compared is each resource's operation and inputs. Terraform refuses such a plan as
# stale.
#
# What follows: whoever lets people approve a plan has to keep beside the file which state it was
# made for, and whether it was used.
#
# Seen: create 2, same 2, delete 2, create 2, with one file.

set -eu

for pulumi in "${PULUMI:-}" "$(command -v pulumi || true)" \
    "${XDG_CACHE_HOME:-$HOME/.cache}/tenantplane/pulumi/3.259.0/pulumi" ""; do
    if [ -x "$pulumi" ] && [ "$("$pulumi" version 2>/dev/null)" = v3.259.0 ]; then break; fi
done
if [ -z "$pulumi" ]; then
    echo "missing: the Pulumi CLI 3.259.0. Put it on PATH or name it in PULUMI." >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/bin" "$work/state"
ln -s "$(realpath "$pulumi")" "$work/bin/pulumi"
if ! { python3 -m venv "$work/venv" &&
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check pulumi==3.259.0; }; then
    echo "missing: Python 3.11 with venv, or the package pulumi 3.259.0 cannot be installed." >&2
    exit 2
fi

# Nothing of the caller's environment reaches the engine.
env -i HOME="$work" TMPDIR="$work" PATH="$work/bin:$PATH" \
    PULUMI_BACKEND_URL="file://$work/state" PULUMI_CONFIG_PASSPHRASE=demo \
    PULUMI_SKIP_UPDATE_CHECK=true PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true \
    "$work/venv/bin/python" - <<'PY'
import json
import sys
import tempfile
from pathlib import Path

import pulumi
from pulumi import automation


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: expected {expected}")


def program():
    pulumi.Stash("record", input="v1")


plan = Path(tempfile.gettempdir(), "plan.json")
stack = automation.create_stack("dev", "demo", program=program)
stack.preview(plan=str(plan))
saved = plan.read_bytes()
parts = json.loads(saved)
check("parts of a plan file", sorted(parts), ["manifest", "resourcePlans"])
check("facts in its manifest", sorted(parts["manifest"]), ["magic", "time", "version"])

check("first up", stack.up(plan=str(plan)).summary.resource_changes, {"create": 2})
check("second up", stack.up(plan=str(plan)).summary.resource_changes, {"same": 2})
check("destroy", stack.destroy().summary.resource_changes, {"delete": 2})
check("third up", stack.up(plan=str(plan)).summary.resource_changes, {"create": 2})
check("the file is as it was", plan.read_bytes() == saved, True)
print("as described")
PY
