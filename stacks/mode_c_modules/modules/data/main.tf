# The table, the secret shells and the log groups. Buckets and database have files of their own.

locals {
  customer_data = { "tenantplane:data-class" = "customer" }
  operational   = { "tenantplane:data-class" = "operational" }
  secret        = { "tenantplane:data-class" = "secret" }

  secrets = {
    app = "Settings of the application that are secret."
    idp = "Client secret of the tenant's identity provider."
    llm = "Credential of the tenant's language model platform."
  }
  log_groups = {
    app   = var.names.app_log_group
    audit = var.names.audit_log_group
  }
}

resource "aws_dynamodb_table" "this" {
  name                        = var.names.table
  billing_mode                = "PAY_PER_REQUEST"
  hash_key                    = "pk"
  range_key                   = "sk"
  deletion_protection_enabled = !var.uninstall

  attribute {
    name = "pk"
    type = "S"
  }

  attribute {
    name = "sk"
    type = "S"
  }

  point_in_time_recovery {
    enabled = true
  }

  server_side_encryption {
    enabled     = true
    kms_key_arn = var.key_arns.data
  }

  tags = merge(local.customer_data, { Name = var.names.table })

  # Made last, so destroyed first: while it is protected, a destroy stops here and has removed nothing.
  # Without this, a destroy without the first step would take what is not protected and leave a ruin.
  depends_on = [
    aws_cloudwatch_log_group.this,
    aws_db_instance.this,
    aws_s3_bucket_lifecycle_configuration.data,
    aws_s3_bucket_lifecycle_configuration.logs,
    aws_s3_bucket_logging.data,
    aws_s3_bucket_ownership_controls.data,
    aws_s3_bucket_ownership_controls.logs,
    aws_s3_bucket_policy.data,
    aws_s3_bucket_server_side_encryption_configuration.data,
    aws_s3_bucket_server_side_encryption_configuration.logs,
    aws_secretsmanager_secret.this,
  ]
}

# Shells: no value passes through Terraform, its state or the vendor. You put the values in.
resource "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  name                    = "${var.names.secret_prefix}/${each.key}"
  description             = each.value
  kms_key_id              = var.key_arns.secrets
  recovery_window_in_days = 30

  tags = merge(local.secret, { Name = "${var.names.secret_prefix}/${each.key}" })
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.log_groups

  name              = each.value
  kms_key_id        = var.key_arns.logs
  retention_in_days = var.retention.log_days

  tags = merge(local.operational, { Name = each.value })
}
