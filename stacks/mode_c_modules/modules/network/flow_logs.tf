# Flow logs of a VPC that the bundle creates. An existing VPC has those of its own team.

resource "aws_cloudwatch_log_group" "flow" {
  count = local.creates_vpc ? 1 : 0

  name              = var.names.flow_log_group
  kms_key_id        = var.logs_key_arn
  retention_in_days = var.flow_log_days

  tags = { Name = var.names.flow_log_group, "tenantplane:data-class" = "operational" }
}

resource "aws_flow_log" "this" {
  count = local.creates_vpc ? 1 : 0

  vpc_id                   = aws_vpc.this[0].id
  iam_role_arn             = var.flow_log_role_arn
  log_destination          = aws_cloudwatch_log_group.flow[0].arn
  log_destination_type     = "cloud-watch-logs"
  max_aggregation_interval = 60
  traffic_type             = "ALL"

  tags = merge(local.no_data, { Name = "${var.names.prefix}-flow" })
}
