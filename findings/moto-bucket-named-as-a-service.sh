#!/bin/sh
# moto 5.2.5, boto3 1.44.8.
#
# Surprise: a bucket cannot be called `logs`, `events` or `iot`. The names are valid, and boto3 asks
# `https://logs.s3.amazonaws.com/`; what moto takes for the hosts of CloudWatch Logs has that one, too,
# so another service than S3 answers 404 to CreateBucket. `log` and `my-logs` are made.
#
# What follows: buckets of tests have names that no service has. Who calls one `logs` looks for the
# fault in credentials or region.
#
# Seen: logs, events, iot: status 404. log, my-logs: created.

set -eu

python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'moto[s3]==5.2.5' boto3==1.44.8
# no setting of the user's reaches the SDK
unset AWS_PROFILE AWS_ENDPOINT_URL AWS_CA_BUNDLE AWS_CONFIG_FILE
AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x "$work/venv/bin/python" - <<'PYTHON'
import boto3
from botocore.exceptions import ClientError
from moto import mock_aws


def status(name):
    """Create a bucket; return the status of the answer."""
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        try:
            answer = s3.create_bucket(Bucket=name)
        except ClientError as error:
            answer = error.response
    return answer["ResponseMetadata"]["HTTPStatusCode"]


seen = {name: status(name) for name in ("logs", "events", "iot", "log", "my-logs")}
for name, code in seen.items():
    print(f"{name}: {code}")
if list(seen.values()) != [404, 404, 404, 200, 200]:
    raise SystemExit("changed: expected 404 for the names of services alone")
PYTHON
