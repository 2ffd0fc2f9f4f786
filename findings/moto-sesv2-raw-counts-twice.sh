#!/bin/sh
# moto 5.2.5, boto3 1.44.8.
#
# Surprise: `sesv2.send_email` with Content.Raw and a Destination is recorded by moto with the
# recipients of the Destination and, once more, with those of the message's own To header. A test
# that counts the recipients of one mail finds two. Amazon's documentation of Destination says that
# it says who gets the mail.
#
# What follows: tests of a mailer over moto look at the set of recipients, or leave Destination out
# and let the header decide.
#
# Seen: with Destination: two recipients, both the same. Without it: one.

set -eu

python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'moto[ses]==5.2.5' boto3==1.44.8
# no setting of the user's reaches the SDK
unset AWS_PROFILE AWS_ENDPOINT_URL AWS_CA_BUNDLE AWS_CONFIG_FILE
AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x "$work/venv/bin/python" - <<'PYTHON'
from email.message import EmailMessage

import boto3
from moto import mock_aws
from moto.ses.models import ses_backends


def recipients(**given):
    """Send one raw mail to one person; return whom moto recorded."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "from@example.com", "to@example.com", "x"
    message.set_content("text")
    with mock_aws():
        client = boto3.client("sesv2", region_name="eu-west-1")
        client.create_email_identity(EmailIdentity="from@example.com")
        client.send_email(
            FromEmailAddress="from@example.com",
            Content={"Raw": {"Data": message.as_bytes()}}, **given,
        )
        backend = next(iter(ses_backends.values()))["eu-west-1"]
        (sent,) = backend.sent_messages
        return list(sent.destinations)


both = recipients(Destination={"ToAddresses": ["to@example.com"]})
header = recipients()
print("with Destination:", both)
print("by the header alone:", header)
if (both, header) != (["to@example.com"] * 2, ["to@example.com"]):
    raise SystemExit("changed: expected the recipient twice with Destination, and once without")
PYTHON
