#!/bin/sh
# Pulumi CLI 3.259.0, state in files.
#
# Surprise: JSON is YAML, so a tool may write the settings of a stack, `Pulumi.dev.yaml`, as JSON,
# and the CLI reads them. When the CLI writes there itself, with `config set`, or a salt at the first
# `stack init`, `preview` or `up`, it keeps the style of what it finds: what it adds are entries of a
# flow mapping, with keys in single quotes or in none. The file is YAML still, and JSON no more: the
# tool that wrote it cannot read it back with its JSON parser, and a look for a line that begins with
# `encryptionsalt:` finds nothing.
#
# What follows: read the settings of a stack with a YAML parser, whoever wrote them.
#
# Seen: {"config": {"demo:a": "b", 'demo:c': d}, encryptionsalt: 'v1:...'}

set -eu

for pulumi in "${PULUMI:-}" "$(command -v pulumi || true)" \
    "${XDG_CACHE_HOME:-$HOME/.cache}/tenantplane/pulumi/3.259.0/pulumi" ""; do
    if [ -x "$pulumi" ] && [ "$("$pulumi" version 2>/dev/null)" = v3.259.0 ]; then break; fi
done
if [ -z "$pulumi" ]; then
    echo "missing: the Pulumi CLI 3.259.0. Put it on PATH or name it in PULUMI." >&2
    exit 2
fi
command -v python3 >/dev/null || { echo "missing: Python 3." >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir "$work/state" "$work/project"
cd "$work/project"
echo '{"name": "demo", "runtime": "python"}' >Pulumi.yaml
echo '{"config": {"demo:a": "b"}}' >Pulumi.dev.yaml

run() {
    env -i HOME="$work" TMPDIR="$work" PATH="$PATH" PULUMI_BACKEND_URL="file://$work/state" \
        PULUMI_CONFIG_PASSPHRASE=demo PULUMI_SKIP_UPDATE_CHECK=true \
        "$pulumi" --non-interactive "$@"
}
is_json() { python3 -m json.tool Pulumi.dev.yaml >/dev/null 2>&1; }

is_json || { echo "missing: a JSON file to begin with" >&2; exit 2; }
run stack init dev --no-select >/dev/null
run config set c d --stack dev
cat Pulumi.dev.yaml
if is_json; then
    echo "changed: expected settings that are JSON no more"
    exit 1
fi
if ! grep -q "^{\"config\": {\"demo:a\": \"b\", 'demo:c': d}, encryptionsalt: 'v1:" Pulumi.dev.yaml; then
    echo "changed: expected entries of a flow mapping with other quotes"
    exit 1
fi
if grep -q '^encryptionsalt:' Pulumi.dev.yaml; then
    echo "changed: expected no line of its own for the salt"
    exit 1
fi
[ "$(run config get a --stack dev)$(run config get c --stack dev)" = bd ] ||
    { echo "changed: expected that the CLI reads both"; exit 1; }
echo "as described"
