#!/bin/sh
# Pulumi CLI and Python SDK 3.259.0, state in files.
#
# Surprise: `refresh --preview-only --clear-pending-creates` writes. The help says that it shows a
# preview without performing the refresh, and its output says "Previewing refresh" and counts only
# unchanged resources, but afterwards the pending create is gone from the state: the only trace of
# an object that may exist because an update was killed while it was made. Nothing names what was
# dropped. And `destroy` leaves the pending create, after which `stack rm` without --force removes
# the stack, although it refuses a stack that has resources.
#
# The pending create is written into the state's file here, as the engine leaves it when it dies
# inside a create.
#
# What follows: read the pending operations from the state before any of these commands, and settle
# each with the cloud.
#
# Seen: 1 pending create; 1 after --preview-only; 0 with --clear-pending-creates; 1 after destroy.

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
import subprocess
import sys
from pathlib import Path

import pulumi
from pulumi import automation


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: expected {expected}")


def cli(*arguments):
    line = ["pulumi", *arguments, "--stack", "dev", "--non-interactive"]
    folder = stack.workspace.work_dir
    return subprocess.run(line, cwd=folder, check=True, capture_output=True, text=True).stdout


def program():
    pulumi.Stash("record", input="v1")


stack = automation.create_stack("dev", "demo", program=program)
stack.up()
backend = Path(stack.workspace.who_am_i().url.removeprefix("file://"))
file = backend / ".pulumi/stacks/demo/dev.json"


def interrupt():
    state = json.loads(file.read_text())
    latest = state["checkpoint"]["latest"]
    resource = dict(latest["resources"][-1])
    resource["urn"] += "-2"
    del resource["id"], resource["outputs"]
    latest["pending_operations"] = [{"resource": resource, "type": "creating"}]
    file.write_text(json.dumps(state))


def pending():
    latest = json.loads(file.read_text())["checkpoint"]["latest"]
    return [one["type"] for one in latest.get("pending_operations", [])]


interrupt()
preview = ["refresh", "--preview-only", "--run-program=false"]
cli(*preview)
check("pending after the preview of a refresh", pending(), ["creating"])
text = cli(*preview, "--clear-pending-creates")
check("it says that it is a preview", text.startswith("Previewing refresh"), True)
check("it names the object", "record-2" in text, False)
check("pending after the preview that clears", pending(), [])

interrupt()
try:
    cli("stack", "rm", "--yes")
    sys.exit("changed: a stack that has resources is removed")
except subprocess.CalledProcessError as error:
    check("stack rm while there are resources", "still has resources" in error.stderr, True)
stack.destroy()
check("pending after destroy", pending(), ["creating"])
cli("stack", "rm", "--yes")
check("the state exists after stack rm", file.exists(), False)
print("as described")
PY
