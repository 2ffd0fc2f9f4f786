output "arns" {
  description = "ARNs of the keys for data, logs and secrets, whether they were created or existing."

  # Written out, without a local in between, so that a plan shows which key is used where.
  value = {
    data    = var.keys.mode == "create" ? aws_kms_key.this["data"].arn : var.keys.data_key_arn
    logs    = var.keys.mode == "create" ? aws_kms_key.this["logs"].arn : var.keys.logs_key_arn
    secrets = var.keys.mode == "create" ? aws_kms_key.this["secrets"].arn : var.keys.secrets_key_arn
  }
}
