#!/bin/sh
# rfc8785 0.1.4 (Python), JSON Canonicalization Scheme.
#
# Surprise: what the library has written cannot always be canonicalised again after a round trip
# through `json`. JCS writes a float from 2**53 to below 1e21 as plain digits, as JavaScript does;
# Python's `json` reads those digits as an int; and the library refuses an int beyond 2**53 - 1. A
# float of 1e21 has an exponent and works. So a signed document with a large measured value (bytes,
# nanoseconds) can be made and signed, but whoever stored it as JSON cannot compute its digest.
#
# What follows: numbers of that size go into signed documents as text, or are refused earlier.
#
# Seen: 2**53 - 1, 1e21 and 1e300 survive the round trip; 2**53, 1.5e16 and 1e20 are refused.

set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
if ! { python3 -m venv "$work/venv" &&
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check rfc8785==0.1.4; }; then
    echo "missing: Python 3.11 with venv, or the package rfc8785 0.1.4 cannot be installed." >&2
    exit 2
fi

"$work/venv/bin/python" - <<'PY'
import json
import sys

import rfc8785


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: expected {expected}")


def written(value):
    return rfc8785.dumps({"bytes": value}).decode()


def again(value):
    """Canonicalise, read as JSON, canonicalise."""
    try:
        return rfc8785.dumps(json.loads(written(value))).decode()
    except rfc8785.IntegerDomainError:
        return "refused"


for value in (2.0**53 - 1, 1e21, 1e300):
    check(f"{value!r} twice", again(value), written(value))
for value, text in (
    (2.0**53, "9007199254740992"),
    (1.5e16, "15000000000000000"),
    (1e20, "100000000000000000000"),
):
    check(f"{value!r} once", written(value), f'{{"bytes":{text}}}')
    check(f"{value!r} twice", again(value), "refused")
print("as described")
PY
