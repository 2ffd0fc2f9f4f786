# A private network: no internet gateway, no NAT, no public address. What leaves, leaves by an endpoint.

locals {
  creates_vpc = var.network.mode == "create"
  zones       = local.creates_vpc ? { for index, zone in var.network.zones : zone => index } : {}

  # /20 per zone; a network too small for that is cut into quarters, and one stays free.
  prefix      = local.creates_vpc ? tonumber(split("/", var.network.cidr)[1]) : 0
  subnet_bits = max(20 - local.prefix, 2)

  vpc_id             = local.creates_vpc ? aws_vpc.this[0].id : var.network.vpc_id
  route_table_ids    = local.creates_vpc ? [aws_route_table.private[0].id] : var.network.route_table_ids
  private_subnet_ids = local.creates_vpc ? [for zone in var.network.zones : aws_subnet.private[zone].id] : var.network.private_subnet_ids

  no_data = { "tenantplane:data-class" = "none" }
}

resource "aws_vpc" "this" {
  count = local.creates_vpc ? 1 : 0

  cidr_block           = var.network.cidr
  enable_dns_hostnames = true
  enable_dns_support   = true

  tags = merge(local.no_data, { Name = var.names.vpc })
}

# AWS makes this group with every new VPC, open between its members; it stays empty here.
resource "aws_default_security_group" "this" {
  count = local.creates_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id

  tags = merge(local.no_data, { Name = "${var.names.vpc}-default-unused" })
}

resource "aws_subnet" "private" {
  for_each = local.zones

  vpc_id                  = aws_vpc.this[0].id
  availability_zone       = each.key
  cidr_block              = cidrsubnet(var.network.cidr, local.subnet_bits, each.value)
  map_public_ip_on_launch = false

  tags = merge(local.no_data, { Name = "${var.names.subnet_prefix}-${each.key}" })
}

resource "aws_route_table" "private" {
  count = local.creates_vpc ? 1 : 0

  vpc_id = aws_vpc.this[0].id

  tags = merge(local.no_data, { Name = var.names.route_table })
}

resource "aws_route_table_association" "private" {
  for_each = local.zones

  route_table_id = aws_route_table.private[0].id
  subnet_id      = aws_subnet.private[each.key].id
}
