#!/bin/sh
# standardwebhooks 1.1.0 (Python).
#
# Surprise: `Webhook.sign` takes an aware datetime and relabels it as UTC instead of converting it.
# The same instant written with +02:00 gets another signature than with +00:00: it is signed as if
# it were two hours later. With the instant's seconds in the `webhook-timestamp` header, as the
# specification wants, this library's own `verify` refuses the message, and so does every other
# receiver. Where all times are in UTC, as in most tests, nobody notices.
#
# What follows: `sign(..., instant.astimezone(UTC), ...)`.
#
# Seen: signed in UTC and verified: accepted. The same instant in +02:00: no matching signature.

set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
if ! { python3 -m venv "$work/venv" &&
    "$work/venv/bin/pip" install --quiet --disable-pip-version-check \
        standardwebhooks==1.1.0; }; then
    echo "missing: Python 3.11 with venv, or standardwebhooks 1.1.0 cannot be installed." >&2
    exit 2
fi

"$work/venv/bin/python" - <<'PY'
import base64
import sys
from datetime import UTC, datetime, timedelta, timezone

from standardwebhooks import Webhook, WebhookVerificationError


def check(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        sys.exit(f"changed: expected {expected}")


def send(signed_as):
    """Sign with the given writing of the instant, and receive."""
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(instant.timestamp())),
        "webhook-signature": hook.sign("msg_1", signed_as, body),
    }
    try:
        return hook.verify(body, headers)
    except WebhookVerificationError as error:
        return str(error)


hook = Webhook(base64.b64encode(b"a key of 24 bytes length").decode())
body = '{"type": "run.applied"}'
instant = datetime.now(UTC)
summer = instant.astimezone(timezone(timedelta(hours=2)))
check("both are one instant", summer == instant, True)
check("signed in UTC", send(instant), {"type": "run.applied"})
check("signed with +02:00", send(summer), "No matching signature found")
shifted = hook.sign("msg_1", instant + timedelta(hours=2), body)
check("it is signed as two hours later", hook.sign("msg_1", summer, body) == shifted, True)
print("as described")
PY
