#!/bin/sh
# Pulumi CLI and Python SDK 3.259.0, state in files.
#
# Surprise: `stack rename` takes the state and the history with it but leaves the stack's tags under
# the old name. The renamed stack has none, and the next stack that is made under the old name
# inherits them, although it has nothing to do with the first.
#
# What follows: tags of stacks in a self-managed backend are no place for facts such as an owner.
#
# Seen: dev {"owner": "team-blue"}; renamed to prod {}; a new, empty dev {"owner": "team-blue"}.

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


def program():
    pulumi.export("address", "a")


def tags(name):
    return {key: value for key, value in stack.workspace.list_tags(name).items() if key == "owner"}


stack = automation.create_stack("dev", "demo", program=program)
stack.up()
stack.workspace.set_tag("dev", "owner", "team-blue")
check("tags of dev", tags("dev"), {"owner": "team-blue"})
stack.rename("prod")
check("tags of prod, which was dev", tags("prod"), {})
new = automation.create_stack("dev", "demo", program=program)
check("resources of a new dev", new.export_stack().deployment.get("resources", []), [])
check("tags of the new dev", tags("dev"), {"owner": "team-blue"})
print("as described")
PY
