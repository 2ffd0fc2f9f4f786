# A dedicated Hub in an AWS account of the customer. Every module source lies in this folder, no data
# source calls an API, and nothing runs on the machine that applies it.

module "keys" {
  source = "./modules/keys"

  installation  = local.installation
  deletion_days = var.retention.key_deletion_days
  keys          = var.keys
  names         = local.names
}

module "access" {
  source = "./modules/access"

  flow_logs            = var.network.mode == "create"
  installation         = local.installation
  keys                 = var.keys
  names                = local.names
  permissions_boundary = var.permissions_boundary
}

module "network" {
  source = "./modules/network"

  flow_log_days     = var.retention.log_days
  flow_log_role_arn = module.access.flow_log_role_arn
  installation      = local.installation
  logs_key_arn      = module.keys.arns.logs
  names             = local.names
  network           = var.network
}

module "data" {
  source = "./modules/data"

  database                   = var.database
  database_security_group_id = module.network.database_security_group_id
  installation               = local.installation
  key_arns                   = module.keys.arns
  names                      = local.names
  private_subnet_ids         = module.network.private_subnet_ids
  retention                  = var.retention
  uninstall                  = var.uninstall

  # With it, the table in this module is destroyed before anything else: see there.
  depends_on = [module.access, module.keys, module.network]
}
