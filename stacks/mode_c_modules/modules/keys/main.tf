locals {
  short = trimprefix(var.names.key_alias_prefix, "alias/")

  # What each key protects; a key of one purpose never opens what another one protects.
  purposes = {
    data    = "customer"
    logs    = "operational"
    secrets = "secret"
  }
  created = var.keys.mode == "create" ? local.purposes : {}

  # The account decides by IAM who uses a key; no principal of another account is named anywhere.
  account_statement = {
    Sid       = "AccountDecidesByIam"
    Effect    = "Allow"
    Principal = { AWS = "arn:aws:iam::${var.installation.account_id}:root" }
    Action    = ["kms:*"]
    Resource  = ["*"]
  }

  # CloudWatch Logs encrypts with the key directly, not as the caller, and only for these log groups.
  log_service_statement = {
    Sid       = "LogGroupsOfThisHub"
    Effect    = "Allow"
    Principal = { Service = "logs.${var.installation.region}.amazonaws.com" }
    Action    = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"]
    Resource  = ["*"]
    Condition = {
      ArnLike = {
        "kms:EncryptionContext:aws:logs:arn" = "arn:aws:logs:${var.installation.region}:${var.installation.account_id}:log-group:${var.names.log_group_prefix}/*"
      }
    }
  }

  policies = {
    data    = jsonencode({ Version = "2012-10-17", Statement = [local.account_statement] })
    logs    = jsonencode({ Version = "2012-10-17", Statement = [local.account_statement, local.log_service_statement] })
    secrets = jsonencode({ Version = "2012-10-17", Statement = [local.account_statement] })
  }
}

resource "aws_kms_key" "this" {
  for_each = local.created

  description             = "tenantplane: ${each.key} of ${local.short}"
  deletion_window_in_days = var.deletion_days
  enable_key_rotation     = true
  policy                  = local.policies[each.key]

  tags = {
    Name                     = "${local.short}-${each.key}"
    "tenantplane:data-class" = each.value
  }
}

resource "aws_kms_alias" "this" {
  for_each = local.created

  name          = "${var.names.key_alias_prefix}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}
