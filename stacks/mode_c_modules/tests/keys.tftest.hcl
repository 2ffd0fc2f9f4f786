# One key per purpose, rotating, in this account's hands only.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  deletion_days = 30
  installation  = { account_id = "210987654321", region = "eu-west-1" }
  keys          = { mode = "create" }
  names = {
    key_alias_prefix = "alias/acme-k3v9qa"
    log_group_prefix = "/tenantplane/acme-k3v9qa"
  }
}

run "three_keys_rotate_in_this_accounts_hands_only" {
  command = plan

  module {
    source = "./modules/keys"
  }

  assert {
    condition     = keys(aws_kms_key.this) == ["data", "logs", "secrets"] && alltrue([for key in values(aws_kms_key.this) : key.enable_key_rotation])
    error_message = "Three keys rotate."
  }

  assert {
    condition     = [for alias in values(aws_kms_alias.this) : alias.name] == ["alias/acme-k3v9qa-data", "alias/acme-k3v9qa-logs", "alias/acme-k3v9qa-secrets"]
    error_message = "Each has an alias, by which policies tell it."
  }

  assert {
    condition = alltrue(flatten([
      for key in values(aws_kms_key.this) : [
        for statement in jsondecode(key.policy).Statement :
        contains(
          [
            jsonencode({ AWS = "arn:aws:iam::210987654321:root" }),
            jsonencode({ Service = "logs.eu-west-1.amazonaws.com" }),
          ],
          jsonencode(statement.Principal)
        )
      ]
    ]))
    error_message = "Nobody is let in but this account, and CloudWatch Logs."
  }
}

run "brought_keys_make_none" {
  command = plan

  module {
    source = "./modules/keys"
  }

  variables {
    keys = {
      mode            = "existing"
      data_key_arn    = "arn:aws:kms:eu-west-1:111122223333:key/a"
      logs_key_arn    = "arn:aws:kms:eu-west-1:111122223333:key/b"
      secrets_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/c"
    }
  }

  assert {
    condition     = length(aws_kms_key.this) + length(aws_kms_alias.this) == 0
    error_message = "Brought keys are used as they are, without alias."
  }

  assert {
    condition     = output.arns.logs == "arn:aws:kms:eu-west-1:111122223333:key/b"
    error_message = "They are passed through."
  }
}
