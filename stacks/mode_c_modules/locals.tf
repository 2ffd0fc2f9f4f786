locals {
  # What the modules need to compose ARNs from inputs, so that every policy is known at plan time.
  installation = {
    account_id = var.account_id
    region     = var.region
  }

  # Every physical name, in one place. The same scheme names the dedicated Hub that the vendor runs.
  names = {
    access_log_prefix       = "s3-access/"
    app_log_group           = "/tenantplane/${var.owner.short}/app"
    app_role                = "${var.owner.short}-app"
    app_security_group      = "${var.owner.short}-app"
    audit_log_group         = "/tenantplane/${var.owner.short}/audit"
    boundary                = "${var.owner.short}-boundary"
    data_bucket             = "${var.owner.short}-data-${var.account_id}"
    database                = "${var.owner.short}-db"
    database_security_group = "${var.owner.short}-db"
    endpoint_security_group = "${var.owner.short}-endpoints"
    final_snapshot          = "${var.owner.short}-db-final-${var.owner.install_id}"
    flow_log_group          = "/tenantplane/${var.owner.short}/flow"
    flow_log_role           = "${var.owner.short}-flow-logs"
    key_alias_prefix        = "alias/${var.owner.short}"
    log_bucket              = "${var.owner.short}-logs-${var.account_id}"
    log_group_prefix        = "/tenantplane/${var.owner.short}"
    parameter_prefix        = "/tenantplane/${var.owner.short}"
    prefix                  = var.owner.short
    route_table             = "${var.owner.short}-private"
    secret_prefix           = "${var.owner.short}/${var.owner.install_id}"
    subnet_prefix           = "${var.owner.short}-private"
    table                   = "${var.owner.short}-hub"
    vpc                     = "${var.owner.short}-vpc"
  }

  # No id that changes from release to release: a tag like that would change every resource each time.
  tags = merge(var.extra_tags, {
    "tenantplane:deployment"  = var.owner.deployment
    "tenantplane:environment" = var.owner.environment
    "tenantplane:managed-by"  = "terraform"
    "tenantplane:mode"        = "C"
    "tenantplane:tenant"      = var.owner.tenant
  })
}
