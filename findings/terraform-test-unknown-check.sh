#!/bin/sh
# Terraform 1.11, no provider.
#
# Surprise: in `terraform test` a run with `command = plan` and `expect_failures = [check.x]` passes
# whenever the check's values are not known before the apply. "Not evaluated" counts as the expected
# failure, so the test passes with a condition and with its contrary: a check whose failure was
# never seen looks tested. With `command = apply` the same test tells the two apart.
#
# What follows: tests that expect a check to fail need `command = apply` (or mocked values that are
# known at plan time), and each one needs a twin that must not fail.
#
# Seen: plan: a failing and a holding condition both pass. apply: the holding one is reported as
# "Missing expected failure".

set -eu

if ! terraform version 2>/dev/null | grep -q '^Terraform v1\.11\.'; then
    echo "missing: Terraform 1.11 on PATH." >&2
    exit 2
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
# No setting of the user's reaches Terraform. The provider of terraform_data is built in.
: >"$work/terraformrc"
export TF_CLI_CONFIG_FILE="$work/terraformrc" CHECKPOINT_DISABLE=1
unset TF_CLI_ARGS TF_CLI_ARGS_plan TF_CLI_ARGS_test TF_WORKSPACE TF_DATA_DIR
cd "$work"

check() { # what, seen, expected
    echo "$1: $2"
    [ "$2" = "$3" ] || { echo "changed: expected $3" >&2; exit 1; }
}

configuration() { # comparison of the generated id with a text that it never is
    cat <<TF
resource "terraform_data" "record" {}

check "id" {
  assert {
    condition     = terraform_data.record.id $1 "never this"
    error_message = "The id is wrong."
  }
}
TF
}

run_test() { # command of the run; writes test.txt and says the exit code
    cat >tests/check.tftest.hcl <<TF
run "check_fails" {
  command         = $1
  expect_failures = [check.id]
}
TF
    code=0
    terraform test -no-color >test.txt 2>&1 || code=$?
    echo "$code"
}

mkdir tests
configuration '==' >main.tf
terraform init -input=false >/dev/null
check "plan, condition fails" "$(run_test plan)" 0
check "apply, condition fails" "$(run_test apply)" 0

configuration '!=' >main.tf
check "plan, condition holds" "$(run_test plan)" 0
check "what it says" "$(tail -n 1 test.txt)" "Success! 1 passed, 0 failed."
check "apply, condition holds" "$(run_test apply)" 1
check "what it says" "$(grep -o 'Missing expected failure' test.txt)" "Missing expected failure"
echo "as described"
