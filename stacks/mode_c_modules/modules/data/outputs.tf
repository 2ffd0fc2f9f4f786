output "app_log_group" {
  description = "Log group of the application."
  value       = aws_cloudwatch_log_group.this["app"].name
}

output "audit_log_group" {
  description = "Log group of the audit log."
  value       = aws_cloudwatch_log_group.this["audit"].name
}

output "data_bucket" {
  description = "Bucket of the Hub's objects."
  value       = aws_s3_bucket.data.bucket
}

output "database_endpoint" {
  description = "Host and port of the database."
  value       = aws_db_instance.this.endpoint
}

output "database_id" {
  description = "Identifier of the database instance."
  value       = aws_db_instance.this.identifier
}

output "database_master_secret_arn" {
  description = "ARN of the secret in which AWS keeps and rotates the master password; not its value."
  value       = one(aws_db_instance.this.master_user_secret[*].secret_arn)
}

output "log_bucket" {
  description = "Bucket of the access logs."
  value       = aws_s3_bucket.logs.bucket
}

output "secret_arns" {
  description = "ARNs of the secret shells that you fill: app, idp, llm."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.arn }
}

output "secret_names" {
  description = "Names of the secret shells: app, idp, llm."
  value       = { for name, secret in aws_secretsmanager_secret.this : name => secret.name }
}

output "table_name" {
  description = "Name of the table."
  value       = aws_dynamodb_table.this.name
}
