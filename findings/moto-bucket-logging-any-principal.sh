#!/bin/sh
# moto 5.2.5, boto3 1.44.8.
#
# Surprise: `s3.put_bucket_logging` looks in the policy of the target bucket for a statement that lets
# the logging service write there. It reads the statements in their order and takes every principal
# for an object: a statement for everybody, "Principal": "*", before the one that it looks for ends in
# an AttributeError, and after it does no harm. So the same policy is accepted or not by the order of
# its statements, which to Amazon says nothing.
#
# What follows: where a policy is to be tried on moto as well, a principal for everybody is written
# as {"AWS": "*"}, or its statement comes last.
#
# Seen: "*" first: AttributeError. "*" last, and {"AWS": "*"} first: accepted.

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
import json

import boto3
from moto import mock_aws


def outcome(everybody, *, comes_first):
    """Let one bucket log into another one that denies plain HTTP to everybody."""
    where = ["arn:aws:s3:::the-logs", "arn:aws:s3:::the-logs/*"]
    allows, denies = (
        {"Effect": "Allow", "Principal": {"Service": "logging.s3.amazonaws.com"},
         "Action": "s3:PutObject", "Resource": "arn:aws:s3:::the-logs/*"},
        {"Effect": "Deny", "Principal": everybody, "Action": "s3:*", "Resource": where,
         "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
    )
    statements = [denies, allows] if comes_first else [allows, denies]
    with mock_aws():
        s3 = boto3.client("s3", region_name="us-east-1")
        for name in ("the-data", "the-logs"):
            s3.create_bucket(Bucket=name)
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        s3.put_bucket_policy(Bucket="the-logs", Policy=policy)
        target = {"LoggingEnabled": {"TargetBucket": "the-logs", "TargetPrefix": "x/"}}
        try:
            s3.put_bucket_logging(Bucket="the-data", BucketLoggingStatus=target)
        except Exception as error:
            return type(error).__name__
        return "accepted"


seen = {
    '"*" first': outcome("*", comes_first=True),
    '"*" last': outcome("*", comes_first=False),
    '{"AWS": "*"} first': outcome({"AWS": "*"}, comes_first=True),
}
for what, became in seen.items():
    print(f"{what}: {became}")
if list(seen.values()) != ["AttributeError", "accepted", "accepted"]:
    raise SystemExit("changed: expected an error with a principal of \"*\" first, and no other")
PYTHON
