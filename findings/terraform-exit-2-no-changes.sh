#!/bin/sh
# Terraform 1.11, no provider.
#
# Surprise: `plan -detailed-exitcode` is 2 ("there are changes") while the text of the same plan
# says "No changes. Your infrastructure matches the configuration." It happens when only the
# `sensitive` mark of an output is set: the JSON has an output that is updated from "x" to "x", with
# equal marks before and after, and every resource is a no-op.
#
# What follows: a drift watch on the exit code reports until somebody applies, one that looks at the
# text or the resources sees nothing. Read the JSON and decide what counts.
#
# Seen: exit code 2, "No changes.", one output update x -> x, actions of resources: no-op.

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

configuration() { # whether the output is sensitive
    cat <<TF
resource "terraform_data" "record" {
  input = "x"
}

output "value" {
  value     = "x"
  sensitive = $1
}
TF
}

configuration false >main.tf
terraform init -input=false >/dev/null
terraform apply -auto-approve -input=false >/dev/null
code=0
terraform plan -detailed-exitcode -input=false >plan.txt || code=$?
check "exit code before the edit" "$code" 0

configuration true >main.tf
code=0
terraform plan -detailed-exitcode -input=false -no-color -out=plan >plan.txt || code=$?
check "exit code" "$code" 2
check "text" "$(grep -o '^No changes[^.]*\. .*' plan.txt)" \
    "No changes. Your infrastructure matches the configuration."
terraform show -json plan >plan.json
check "JSON" "$(python3 - <<'PY'
import json

plan = json.load(open("plan.json"))
output = plan["output_changes"]["value"]
print(*output["actions"], output["before"], output["after"], end=" ")
print(output["before_sensitive"], output["after_sensitive"], end=" ")
print(*[action for one in plan["resource_changes"] for action in one["change"]["actions"]])
PY
)" "update x x True True no-op"

terraform apply -auto-approve -input=false >/dev/null
code=0
terraform plan -detailed-exitcode -input=false >plan.txt || code=$?
check "exit code after an apply" "$code" 0
echo "as described"
