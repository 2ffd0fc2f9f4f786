#!/bin/sh
# Terraform 1.11 with the AWS provider 5.100.0, offline.
#
# Surprise: under `mock_provider "aws"` in `terraform test`, the `tags_all` of a resource is empty.
# The tags of `default_tags` are missing, and so are those that the resource has itself in `tags`;
# even with `command = apply`. An attribute with a documented value of the provider's own
# (`visibility_timeout_seconds`, 30) is null, while unset optional texts such as `policy` get a
# random value. The mock knows the schema's types and none of the provider's logic; an offline plan
# with the real provider has all of them.
#
# What follows: a test under mocks can say nothing about tags; check them in the JSON of a plan.
#
# Seen: mock: tags {"kind": "work"}, tags_all {}, timeout null. Plan: tags_all with both tags, 30.

set -eu

if ! terraform version 2>/dev/null | grep -q '^Terraform v1\.11\.'; then
    echo "missing: Terraform 1.11 on PATH." >&2
    exit 2
fi
# The usual places of a provider mirror; without one, Terraform asks the registry.
mirror=
for folder in "${TENANTPLANE_TERRAFORM_MIRROR:-}" "${TF_PLUGIN_MIRROR:-}" \
    "$HOME/.terraform.d/plugins" "$HOME/.local/share/terraform/plugins" \
    /usr/local/share/terraform/plugins /usr/share/terraform/plugins \
    /opt/* /opt/*/*; do
    if [ -d "$folder/registry.terraform.io/hashicorp/aws" ]; then mirror=$folder && break; fi
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
cd "$work"
: >terraformrc
if [ -n "$mirror" ]; then
    printf 'provider_installation {\n  filesystem_mirror {\n    path = "%s"\n  }\n}\n' "$mirror" \
        >terraformrc
fi
export TF_CLI_CONFIG_FILE="$work/terraformrc" CHECKPOINT_DISABLE=1
export AWS_ACCESS_KEY_ID=nobody AWS_SECRET_ACCESS_KEY=nothing
unset TF_CLI_ARGS TF_CLI_ARGS_init TF_CLI_ARGS_plan TF_CLI_ARGS_test TF_WORKSPACE TF_DATA_DIR

check() { # what, seen, expected
    echo "$1: $2"
    [ "$2" = "$3" ] || { echo "changed: expected $3" >&2; exit 1; }
}

cat >main.tf <<'TF'
terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}

provider "aws" {
  region                      = "eu-central-1"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  default_tags {
    tags = { tenant = "acme" }
  }
}

resource "aws_sqs_queue" "queue" {
  name = "work"
  tags = { kind = "work" }
}
TF
mkdir tests
cat >tests/mock.tftest.hcl <<'TF'
mock_provider "aws" {}

run "mocked" {
  command = apply
  assert {
    condition = (
      jsonencode(aws_sqs_queue.queue.tags) == jsonencode({ kind = "work" })
      && jsonencode(aws_sqs_queue.queue.tags_all) == "{}"
      && aws_sqs_queue.queue.visibility_timeout_seconds == null
      && try(length(aws_sqs_queue.queue.policy), 0) > 0
    )
    error_message = jsonencode(aws_sqs_queue.queue)
  }
}
TF
if ! terraform init -input=false >init.txt 2>&1; then
    echo "missing: the AWS provider 5.100.0, in a mirror (name it in TF_PLUGIN_MIRROR) or from" \
        "the registry." >&2
    exit 2
fi
code=0
terraform test -no-color >test.txt 2>&1 || code=$?
[ "$code" = 0 ] || cat test.txt >&2
check "the mocked queue is as described" "$(tail -n 1 test.txt)" "Success! 1 passed, 0 failed."

terraform plan -input=false -out=plan >/dev/null
terraform show -json plan >plan.json
check "plan" "$(python3 - <<'PY'
import json

(queue,) = json.load(open("plan.json"))["resource_changes"]
after = queue["change"]["after"]
print(json.dumps(after["tags_all"], sort_keys=True), after["visibility_timeout_seconds"])
PY
)" '{"kind": "work", "tenant": "acme"} 30'
echo "as described"
