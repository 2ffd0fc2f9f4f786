# Ways to AWS services that do not leave the network. Brought endpoints replace all of them.

locals {
  creates_endpoints = var.network.endpoints == null
  gateways          = local.creates_endpoints ? toset(["dynamodb", "s3"]) : toset([])
  interfaces        = local.creates_endpoints ? toset(["ecr.api", "ecr.dkr", "kms", "logs", "secretsmanager", "ssm", "sts"]) : toset([])

  endpoint_security_group_id = local.creates_endpoints ? aws_security_group.endpoints[0].id : var.network.endpoints.security_group_id
  prefix_list_ids = local.creates_endpoints ? {
    for service, endpoint in aws_vpc_endpoint.gateway : service => endpoint.prefix_list_id
  } : { for service, id in var.network.endpoints.prefix_list_ids : service => id }

  own_principals = {
    Sid       = "PrincipalsOfThisAccount"
    Effect    = "Allow"
    Principal = "*"
    Action    = ["*"]
    Resource  = ["*"]
    Condition = { StringEquals = { "aws:PrincipalAccount" = var.installation.account_id } }
  }
  # Nothing is carried to anybody else's bucket, for any caller.
  own_buckets = {
    Sid       = "BucketsOfThisAccount"
    Effect    = "Allow"
    Principal = "*"
    Action    = ["*"]
    Resource  = ["*"]
    Condition = {
      StringEquals = {
        "aws:PrincipalAccount" = var.installation.account_id
        "aws:ResourceAccount"  = var.installation.account_id
      }
    }
  }
  # The layers of container images lie in a bucket of AWS; the reads are signed by ECR.
  image_layers = {
    Sid       = "ImageLayers"
    Effect    = "Allow"
    Principal = "*"
    Action    = ["s3:GetObject"]
    Resource  = ["arn:aws:s3:::prod-${var.installation.region}-starport-layer-bucket/*"]
  }
  gateway_policies = {
    dynamodb = jsonencode({ Version = "2012-10-17", Statement = [local.own_principals] })
    s3       = jsonencode({ Version = "2012-10-17", Statement = [local.own_buckets, local.image_layers] })
  }
  interface_policy = jsonencode({ Version = "2012-10-17", Statement = [local.own_principals] })
}

resource "aws_vpc_endpoint" "gateway" {
  for_each = local.gateways

  vpc_id            = local.vpc_id
  vpc_endpoint_type = "Gateway"
  service_name      = "com.amazonaws.${var.installation.region}.${each.key}"
  route_table_ids   = local.route_table_ids
  policy            = local.gateway_policies[each.key]

  tags = merge(local.no_data, { Name = "${var.names.prefix}-${replace(each.key, ".", "-")}" })
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interfaces

  vpc_id              = local.vpc_id
  vpc_endpoint_type   = "Interface"
  service_name        = "com.amazonaws.${var.installation.region}.${each.key}"
  private_dns_enabled = true
  security_group_ids  = [local.endpoint_security_group_id]
  subnet_ids          = local.private_subnet_ids
  policy              = local.interface_policy

  tags = merge(local.no_data, { Name = "${var.names.prefix}-${replace(each.key, ".", "-")}" })
}
