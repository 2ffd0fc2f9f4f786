#!/bin/sh
# Pulumi CLI and Python SDK 3.259.0 with a provider of a few lines, state in files.
#
# Surprise: `--expect-no-changes` passes, and the summary counts only "same", in two cases in which
# `up` does change something:
# 1. A stack output has another value, and a resource's protect option is another one.
#    (Terraform's exit code for "there are changes" counts outputs.)
# 2. The old object of a replacement could not be deleted and still waits for it. The next `up`
#    deletes it in the cloud, and counts nothing.
#
# What follows: "no changes" has to be read from the single operations of the event log (there is a
# `delete-replaced`) and from outputs and options compared with the state, not from counts or the
# exit code.
#
# Seen: case 1 same 2 and the output goes from blue to green; case 2 same 2 and disk-1 is gone.

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
from concurrent import futures

import grpc
import pulumi
from google.protobuf import empty_pb2
from pulumi import automation
from pulumi.runtime.proto import plugin_pb2, provider_pb2_grpc
from pulumi.runtime.proto import provider_pb2 as pb

disks = []  # what really exists
in_use = {"disk-1"}  # what cannot be deleted for the moment


class Cloud(provider_pb2_grpc.ResourceProviderServicer):
    """A cloud of disks. One that shall have another size is replaced."""

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
        if request.olds["size"] == request.news["size"]:
            return pb.DiffResponse(changes=pb.DiffResponse.DIFF_NONE)
        return pb.DiffResponse(changes=pb.DiffResponse.DIFF_SOME, replaces=["size"])

    def Create(self, request, context):
        if not request.preview:
            disks.append(f"disk-{len(disks) + 1}")
        return pb.CreateResponse(id=disks[-1] if disks else "", properties=request.properties)

    def Delete(self, request, context):
        if request.id in in_use:
            context.abort(grpc.StatusCode.UNKNOWN, "the disk is in use")
        disks.remove(request.id)
        return empty_pb2.Empty()


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: expected {expected}")


server = grpc.server(futures.ThreadPoolExecutor(4))
provider_pb2_grpc.add_ResourceProviderServicer_to_server(Cloud(), server)
os.environ["PULUMI_DEBUG_PROVIDERS"] = f"toy:{server.add_insecure_port('127.0.0.1:0')}"
server.start()
want = {"size": 10, "colour": "blue", "protect": True}


def program():
    options = pulumi.ResourceOptions(protect=want["protect"])
    pulumi.CustomResource("toy:index:Disk", "disk", {"size": want["size"]}, options)
    pulumi.export("colour", want["colour"])


stack = automation.create_stack("dev", "demo", program=program)
stack.up()
resources = stack.export_stack().deployment["resources"]
check("1: protected resources", sum(one.get("protect", False) for one in resources), 1)
want |= {"colour": "green", "protect": False}
preview = stack.preview(expect_no_changes=True)  # would raise if it saw changes
check("1: preview", preview.change_summary, {"same": 2})
check("1: up", stack.up(expect_no_changes=True).summary.resource_changes, {"same": 2})
check("1: the output", stack.outputs()["colour"].value, "green")
resources = stack.export_stack().deployment["resources"]
check("1: protected resources", sum(one.get("protect", False) for one in resources), 0)

want["size"] = 20
try:
    stack.up()
    sys.exit("changed: the deletion of a disk in use did not fail")
except automation.CommandError:
    check("2: after the failed replacement", disks, ["disk-1", "disk-2"])
in_use.clear()
steps = []
preview = stack.preview(
    expect_no_changes=True,
    on_event=lambda e: e.resource_pre_event and steps.append(e.resource_pre_event.metadata.op),
)
check("2: preview", preview.change_summary, {"same": 2})
check("2: its single steps", sorted({step.value for step in steps}), ["delete-replaced", "same"])
check("2: up", stack.up(expect_no_changes=True).summary.resource_changes, {"same": 2})
check("2: afterwards", disks, ["disk-2"])
print("as described")
PY
