locals {
  # Composed, not referenced: a reviewer sees at plan time which ceiling each role has.
  boundary_arn = (
    var.permissions_boundary.mode == "create"
    ? "arn:aws:iam::${local.account}:policy/${var.names.boundary}"
    : var.permissions_boundary.arn
  )
}

resource "aws_iam_policy" "boundary" {
  count = var.permissions_boundary.mode == "create" ? 1 : 0

  name        = var.names.boundary
  description = "Ceiling of every role of this Hub: its own data, keys, secrets and logs, in its own region."
  policy      = jsonencode({ Version = "2012-10-17", Statement = local.boundary_statements })

  tags = { Name = var.names.boundary, "tenantplane:data-class" = "none" }
}

resource "aws_iam_role" "app" {
  name                 = var.names.app_role
  description          = "The application's tasks."
  assume_role_policy   = jsonencode({ Version = "2012-10-17", Statement = [local.app_trust] })
  permissions_boundary = local.boundary_arn

  tags = { Name = var.names.app_role, "tenantplane:data-class" = "none" }

  # The ARN is composed, so Terraform does not see by itself that the policy comes first.
  depends_on = [aws_iam_policy.boundary]
}

resource "aws_iam_role_policy" "app" {
  name   = "hub"
  role   = aws_iam_role.app.name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.app_statements })
}

resource "aws_iam_role" "flow_logs" {
  count = var.flow_logs ? 1 : 0

  name                 = var.names.flow_log_role
  description          = "Delivers the VPC's flow logs to their log group."
  assume_role_policy   = jsonencode({ Version = "2012-10-17", Statement = [local.flow_log_trust] })
  permissions_boundary = local.boundary_arn

  tags = { Name = var.names.flow_log_role, "tenantplane:data-class" = "none" }

  depends_on = [aws_iam_policy.boundary]
}

resource "aws_iam_role_policy" "flow_logs" {
  count = var.flow_logs ? 1 : 0

  name   = "hub"
  role   = aws_iam_role.flow_logs[0].name
  policy = jsonencode({ Version = "2012-10-17", Statement = local.flow_log_statements })
}
