output "app_security_group_id" {
  description = "Security group of the application."
  value       = aws_security_group.app.id
}

output "database_security_group_id" {
  description = "Security group of the database."
  value       = aws_security_group.database.id
}

output "private_subnet_ids" {
  description = "Private subnets, one per zone in the order of the zones, created or existing."
  value       = local.private_subnet_ids
}

output "vpc_id" {
  description = "The VPC, created or existing."
  value       = local.vpc_id
}
