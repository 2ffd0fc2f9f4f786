output "hub" {
  description = "What the application and your own Terraform need to find the Hub: names, ids and ARNs, no secret."
  value = {
    app_log_group              = module.data.app_log_group
    app_role_arn               = module.access.app_role_arn
    app_security_group_id      = module.network.app_security_group_id
    audit_log_group            = module.data.audit_log_group
    boundary_arn               = module.access.boundary_arn
    data_bucket                = module.data.data_bucket
    data_key_arn               = module.keys.arns.data
    database_endpoint          = module.data.database_endpoint
    database_id                = module.data.database_id
    database_master_secret_arn = module.data.database_master_secret_arn
    log_bucket                 = module.data.log_bucket
    logs_key_arn               = module.keys.arns.logs
    private_subnet_ids         = module.network.private_subnet_ids
    secret_arns                = module.data.secret_arns
    secret_names               = module.data.secret_names
    secrets_key_arn            = module.keys.arns.secrets
    table_name                 = module.data.table_name
    vpc_id                     = module.network.vpc_id
  }
}

output "receipt" {
  description = "What you may send back to the vendor after an apply, by hand: terraform output -json receipt. Ids and digests, no secret."
  value = {
    schema_version     = 1
    tenant             = var.owner.tenant
    environment        = var.owner.environment
    deployment         = var.owner.deployment
    account_id         = var.account_id
    region             = var.region
    module_set_version = var.release.module_set_version
    content_digest     = var.release.content_digest
    resources = {
      app_role_arn    = module.access.app_role_arn
      data_bucket     = module.data.data_bucket
      data_key_arn    = module.keys.arns.data
      database_id     = module.data.database_id
      log_bucket      = module.data.log_bucket
      logs_key_arn    = module.keys.arns.logs
      secrets_key_arn = module.keys.arns.secrets
      table_name      = module.data.table_name
      vpc_id          = module.network.vpc_id
    }
  }
}
