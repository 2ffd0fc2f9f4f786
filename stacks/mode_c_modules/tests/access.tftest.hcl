# Every role has the ceiling, and no policy reaches past this Hub.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  flow_logs    = true
  installation = { account_id = "210987654321", region = "eu-west-1" }
  keys         = { mode = "create" }
  names = {
    app_log_group    = "/tenantplane/acme-k3v9qa/app"
    app_role         = "acme-k3v9qa-app"
    audit_log_group  = "/tenantplane/acme-k3v9qa/audit"
    boundary         = "acme-k3v9qa-boundary"
    data_bucket      = "acme-k3v9qa-data-210987654321"
    flow_log_group   = "/tenantplane/acme-k3v9qa/flow"
    flow_log_role    = "acme-k3v9qa-flow-logs"
    key_alias_prefix = "alias/acme-k3v9qa"
    log_group_prefix = "/tenantplane/acme-k3v9qa"
    parameter_prefix = "/tenantplane/acme-k3v9qa"
    secret_prefix    = "acme-k3v9qa/a1b2c3"
    table            = "acme-k3v9qa-hub"
  }
  permissions_boundary = { mode = "create" }
}

run "every_role_has_the_boundary_and_stays_in_this_hub" {
  command = plan

  module {
    source = "./modules/access"
  }

  assert {
    condition = alltrue([
      for role in concat([aws_iam_role.app], aws_iam_role.flow_logs) :
      role.permissions_boundary == "arn:aws:iam::210987654321:policy/acme-k3v9qa-boundary"
    ])
    error_message = "A role without the boundary could be given any right later."
  }

  assert {
    condition = alltrue(flatten([
      for statement in jsondecode(aws_iam_role_policy.app.policy).Statement :
      [for resource in statement.Resource : strcontains(resource, "acme-k3v9qa") || statement.Sid == "Keys"]
    ]))
    error_message = "Every resource that the application may touch is one of this Hub."
  }

  assert {
    condition = one([
      for statement in jsondecode(aws_iam_role_policy.app.policy).Statement :
      statement.Condition["ForAnyValue:StringEquals"]["kms:ResourceAliases"]
      if statement.Sid == "Keys"
    ]) == ["alias/acme-k3v9qa-data", "alias/acme-k3v9qa-secrets"]
    error_message = "Keys are told by the alias of this Hub."
  }
}

run "a_brought_boundary_and_brought_keys_are_the_ones_named" {
  command = plan

  module {
    source = "./modules/access"
  }

  variables {
    permissions_boundary = { mode = "existing", arn = "arn:aws:iam::210987654321:policy/ceiling" }
    keys = {
      mode            = "existing"
      data_key_arn    = "arn:aws:kms:eu-west-1:111122223333:key/a"
      logs_key_arn    = "arn:aws:kms:eu-west-1:111122223333:key/b"
      secrets_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/c"
    }
  }

  assert {
    condition     = length(aws_iam_policy.boundary) == 0
    error_message = "The boundary is brought, so none is made."
  }

  assert {
    condition = alltrue([
      for role in concat([aws_iam_role.app], aws_iam_role.flow_logs) :
      role.permissions_boundary == "arn:aws:iam::210987654321:policy/ceiling"
    ])
    error_message = "The brought boundary is on every role."
  }

  assert {
    condition = one([
      for statement in jsondecode(aws_iam_role_policy.app.policy).Statement :
      statement.Resource
      if statement.Sid == "Keys"
    ]) == ["arn:aws:kms:eu-west-1:111122223333:key/a", "arn:aws:kms:eu-west-1:111122223333:key/c"]
    error_message = "The application may use the two keys it needs, not the one for logs."
  }
}
