# Groups and their rules are separate resources: rules written inside a group and beside it undo each other.

resource "aws_security_group" "app" {
  name        = var.names.app_security_group
  description = "The application: in from named clients, out to the database and to AWS endpoints."
  vpc_id      = local.vpc_id

  tags = merge(local.no_data, { Name = var.names.app_security_group })
}

resource "aws_security_group" "database" {
  name        = var.names.database_security_group
  description = "The database: in from the application, out to nothing."
  vpc_id      = local.vpc_id

  tags = merge(local.no_data, { Name = var.names.database_security_group })
}

resource "aws_security_group" "endpoints" {
  count = local.creates_endpoints ? 1 : 0

  name        = var.names.endpoint_security_group
  description = "Interface endpoints: in from the application, out to nothing."
  vpc_id      = local.vpc_id

  tags = merge(local.no_data, { Name = var.names.endpoint_security_group })
}

resource "aws_vpc_security_group_ingress_rule" "app_from_clients" {
  for_each = toset(var.network.client_cidrs)

  security_group_id = aws_security_group.app.id
  description       = "HTTPS from clients"
  cidr_ipv4         = each.key
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443

  tags = merge(local.no_data, { Name = "${var.names.prefix}-app-from-clients" })
}

resource "aws_vpc_security_group_egress_rule" "app_to_database" {
  security_group_id            = aws_security_group.app.id
  description                  = "PostgreSQL"
  referenced_security_group_id = aws_security_group.database.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432

  tags = merge(local.no_data, { Name = "${var.names.prefix}-app-to-db" })
}

resource "aws_vpc_security_group_egress_rule" "app_to_endpoints" {
  security_group_id            = aws_security_group.app.id
  description                  = "AWS services by interface endpoint"
  referenced_security_group_id = local.endpoint_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443

  tags = merge(local.no_data, { Name = "${var.names.prefix}-app-to-endpoints" })
}

resource "aws_vpc_security_group_egress_rule" "app_to_gateways" {
  for_each = toset(["dynamodb", "s3"])

  security_group_id = aws_security_group.app.id
  description       = "AWS services by gateway endpoint: ${each.key}"
  prefix_list_id    = local.prefix_list_ids[each.key]
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443

  tags = merge(local.no_data, { Name = "${var.names.prefix}-app-to-${each.key}" })
}

resource "aws_vpc_security_group_ingress_rule" "database_from_app" {
  security_group_id            = aws_security_group.database.id
  description                  = "PostgreSQL from the application"
  referenced_security_group_id = aws_security_group.app.id
  ip_protocol                  = "tcp"
  from_port                    = 5432
  to_port                      = 5432

  tags = merge(local.no_data, { Name = "${var.names.prefix}-db-from-app" })
}

resource "aws_vpc_security_group_ingress_rule" "endpoints_from_app" {
  count = local.creates_endpoints ? 1 : 0

  security_group_id            = aws_security_group.endpoints[0].id
  description                  = "HTTPS from the application"
  referenced_security_group_id = aws_security_group.app.id
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443

  tags = merge(local.no_data, { Name = "${var.names.prefix}-endpoints-from-app" })
}
