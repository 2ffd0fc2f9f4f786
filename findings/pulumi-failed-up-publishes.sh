#!/bin/sh
# Pulumi CLI and Python SDK 3.259.0, state in files.
#
# Surprise: an `up` that fails still publishes stack outputs. What the program exported before it
# failed is merged into the old ones: values are replaced although the update is recorded as failed,
# and an output that the program no longer exports stays. A reader of the outputs sees a mixture
# that no successful update has produced. Only a successful `up` removes what is not exported now.
#
# What follows: outputs are worth something only together with the result of the last update.
#
# Seen: after the failure {"address": "b", "old": 1}, result failed; after success {"address": "b"}.

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
import sys

import pulumi
from pulumi import automation


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: expected {expected}")


def outputs():
    return {name: output.value for name, output in sorted(stack.outputs().items())}


want = {"address": "a", "old": True, "fail": False}


def program():
    pulumi.export("address", want["address"])
    if want["old"]:
        pulumi.export("old", 1)
    if want["fail"]:
        raise RuntimeError("the rest of the program fails")


stack = automation.create_stack("dev", "demo", program=program)
stack.up()
check("outputs after the first up", outputs(), {"address": "a", "old": 1})

want |= {"address": "b", "old": False, "fail": True}
try:
    stack.up()
    sys.exit("changed: the program's exception did not fail the update")
except automation.errors.CommandError:
    check("result of the second up", stack.history()[0].result, "failed")
check("outputs after it", outputs(), {"address": "b", "old": 1})

want["fail"] = False
stack.up()
check("outputs after the third up", outputs(), {"address": "b"})
print("as described")
PY
