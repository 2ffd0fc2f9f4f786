#!/bin/sh
# Pulumi CLI and Python SDK 3.259.0 with a provider of a few lines, state in files.
#
# Surprise: `preview --refresh --save-plan` sees drift and plans the update that repairs it, but
# `up --plan` with that file succeeds, says "same" for every resource and repairs nothing. The
# refresh is no part of the plan: without a `--refresh` of its own, `up` compares the program with
# the old state, and doing less than the plan allows is no violation.
#
# What follows: `up --plan` needs the same `--refresh` as the preview, and the operations done have
# to be compared with those planned; exit code 0 does not say that the plan was carried out.
#
# Seen: preview update 1; up same 2, the disk has 99; up with refresh update 1, the disk has 10.

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
import os
import sys
import tempfile
from concurrent import futures

import grpc
import pulumi
from google.protobuf import empty_pb2
from pulumi import automation
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as pb

disk = {}  # what really exists: the one disk's size


class Cloud(provider_pb2_grpc.ResourceProviderServicer):
    """A cloud with one disk, which can get another size in place."""

    def GetPluginInfo(self, request, context):
        return plugin_pb2.PluginInfo(version="1.0.0")

    def Attach(self, request, context):
        return empty_pb2.Empty()

    def Configure(self, request, context):
        return pb.ConfigureResponse(supportsPreview=True)

    def Check(self, request, context):
        return pb.CheckResponse(inputs=request.news)

    CheckConfig = Check

    def Diff(self, request, context):
        same = request.olds["size"] == request.news["size"]
        return pb.DiffResponse(changes=1 if same else 2)  # DIFF_NONE, DIFF_SOME

    def Create(self, request, context):
        if not request.preview:
            disk["size"] = request.properties["size"]
        return pb.CreateResponse(id="disk-1", properties=request.properties)

    def Read(self, request, context):
        found = pb.ReadResponse(id=request.id, inputs=request.inputs, properties=request.properties)
        found.properties["size"] = disk["size"]
        return found

    def Update(self, request, context):
        if not request.preview:
            disk["size"] = request.news["size"]
        return pb.UpdateResponse(properties=request.news)


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: expected {expected}")


server = grpc.server(futures.ThreadPoolExecutor(4))
provider_pb2_grpc.add_ResourceProviderServicer_to_server(Cloud(), server)
os.environ["PULUMI_DEBUG_PROVIDERS"] = f"toy:{server.add_insecure_port('127.0.0.1:0')}"
server.start()


def program():
    pulumi.CustomResource("toy:index:Disk", "disk", {"size": 10})


plan = os.path.join(tempfile.gettempdir(), "plan.json")
stack = automation.create_stack("dev", "demo", program=program)
stack.up()
disk["size"] = 99  # somebody changes it by hand

preview = stack.preview(refresh=True, plan=plan)
check("preview with refresh", preview.change_summary, {"same": 1, "update": 1})
check("up with that plan", stack.up(plan=plan).summary.resource_changes, {"same": 2})
check("the disk", disk, {"size": 99})

again = stack.up(plan=plan, refresh=True)
check("up with plan and refresh", again.summary.resource_changes, {"same": 1, "update": 1})
check("the disk", disk, {"size": 10})
print("as described")
PY
