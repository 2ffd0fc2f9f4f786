#!/bin/sh
# pulumi-aws 7.51.1 with pulumi 3.259.0, Python 3.11.
#
# Surprise: `import pulumi_aws` loads its services lazily, and looks as if it loaded what one uses.
# It does so once only, for the whole service: the first touch of `pulumi_aws.ec2` (a `hasattr` is
# enough) imports every resource type, data source and nested type of that service. A program that
# makes one VPC and one key loads hundreds of modules, in each process that runs it.
#
# A second one: `from pulumi_aws.ec2.vpc import Vpc` imports a single module. Elsewhere in Python the
# package of a module is imported before it; here the lazy loader leaves the package unloaded.
#
# What follows: the start of a Python program on this SDK costs by services that it touches, not by
# resources that it makes, unless it names the modules themselves, which no guide shows.
#
# Seen: 0 modules of ec2 after the import, 182 after `ec2.Vpc`, 1 with the module named.

set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
if ! { python3 -m venv "$work/venv" &&
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check \
        pulumi==3.259.0 pulumi-aws==7.51.1; }; then
    echo "missing: Python 3.11 with venv, or the packages cannot be installed." >&2
    exit 2
fi

env -i HOME="$work" TMPDIR="$work" PATH="$PATH" "$work/venv/bin/python" - <<'PY'
import subprocess
import sys

COUNT = "print(sum(name.startswith('pulumi_aws.ec2.') for name in sys.modules))"


def modules_after(*lines):
    program = "\n".join(("import sys", *lines, COUNT))
    return int(subprocess.run([sys.executable, "-c", program], check=True,
                              capture_output=True, text=True).stdout)


def check(what, seen, expected):
    print(f"{what}: {seen} modules of ec2")
    if seen != expected:
        sys.exit(f"changed: expected {expected}")


check("import pulumi_aws", modules_after("import pulumi_aws"), 0)
check("pulumi_aws.ec2.Vpc", modules_after("import pulumi_aws", "pulumi_aws.ec2.Vpc"), 182)
check("from pulumi_aws.ec2.vpc import Vpc",
      modules_after("from pulumi_aws.ec2.vpc import Vpc"), 1)
check("hasattr of what is not there",
      modules_after("import pulumi_aws", "hasattr(pulumi_aws.ec2, 'Nothing')"), 182)
print("as described")
PY
