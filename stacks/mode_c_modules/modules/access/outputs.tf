output "app_role_arn" {
  description = "ARN of the role that the application's tasks run as."
  value       = aws_iam_role.app.arn
}

output "boundary_arn" {
  description = "ARN of the ceiling that every role of the bundle has."
  value       = local.boundary_arn
}

output "flow_log_role_arn" {
  description = "ARN of the role that delivers flow logs; null when an existing VPC is used."
  value       = one(aws_iam_role.flow_logs[*].arn)

  # AWS checks at once whether the role may deliver.
  depends_on = [aws_iam_role_policy.flow_logs]
}
