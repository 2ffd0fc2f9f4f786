# A created network has no way out; a brought one is left as it is.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  flow_log_days     = 365
  flow_log_role_arn = "arn:aws:iam::210987654321:role/acme-k3v9qa-flow-logs"
  installation      = { account_id = "210987654321", region = "eu-west-1" }
  logs_key_arn      = "arn:aws:kms:eu-west-1:210987654321:key/00000000-0000-4000-8000-00000000000b"
  names = {
    app_security_group      = "acme-k3v9qa-app"
    database_security_group = "acme-k3v9qa-db"
    endpoint_security_group = "acme-k3v9qa-endpoints"
    flow_log_group          = "/tenantplane/acme-k3v9qa/flow"
    prefix                  = "acme-k3v9qa"
    route_table             = "acme-k3v9qa-private"
    subnet_prefix           = "acme-k3v9qa-private"
    vpc                     = "acme-k3v9qa-vpc"
  }
  network = {
    mode         = "create"
    cidr         = "10.40.0.0/16"
    zones        = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]
    client_cidrs = ["10.20.0.0/16", "10.21.0.0/16"]
  }
}

run "a_created_network_has_endpoints_and_named_clients_only" {
  command = plan

  module {
    source = "./modules/network"
  }

  assert {
    condition     = [for subnet in values(aws_subnet.private) : subnet.cidr_block] == ["10.40.0.0/20", "10.40.16.0/20", "10.40.32.0/20"]
    error_message = "One /20 per zone, in the order of the zones."
  }

  assert {
    condition     = alltrue([for subnet in values(aws_subnet.private) : subnet.map_public_ip_on_launch == false])
    error_message = "No subnet gives out public addresses."
  }

  assert {
    condition     = length(aws_default_security_group.this) == 1 && length(aws_flow_log.this) == 1
    error_message = "The default group is emptied and the network is logged."
  }

  assert {
    condition     = keys(aws_vpc_security_group_ingress_rule.app_from_clients) == ["10.20.0.0/16", "10.21.0.0/16"]
    error_message = "One rule for each client network, and no other."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.database_from_app.cidr_ipv4 == null
    error_message = "The database is reached by the application's group, not by address."
  }

  assert {
    condition = keys(aws_vpc_endpoint.gateway) == ["dynamodb", "s3"] && keys(aws_vpc_endpoint.interface) == [
      "ecr.api", "ecr.dkr", "kms", "logs", "secretsmanager", "ssm", "sts",
    ]
    error_message = "The services that the application needs are reached without leaving the network."
  }
}

run "a_small_network_is_cut_into_quarters" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    network = {
      mode         = "create"
      cidr         = "10.40.4.0/22"
      zones        = ["eu-west-1a", "eu-west-1b"]
      client_cidrs = []
    }
  }

  assert {
    condition     = [for subnet in values(aws_subnet.private) : subnet.cidr_block] == ["10.40.4.0/24", "10.40.5.0/24"]
    error_message = "Quarters of the network, in the order of the zones."
  }
}

run "a_brought_network_keeps_its_own_settings" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    flow_log_role_arn = null
    network = {
      mode               = "existing"
      zones              = ["eu-west-1a", "eu-west-1b"]
      client_cidrs       = []
      vpc_id             = "vpc-0123456789abcdef0"
      private_subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
      route_table_ids    = ["rtb-0123456789abcdef0"]
    }
  }

  assert {
    condition = (
      length(aws_vpc.this) + length(aws_subnet.private) + length(aws_route_table.private) == 0
      && length(aws_default_security_group.this) + length(aws_flow_log.this) + length(aws_cloudwatch_log_group.flow) == 0
    )
    error_message = "Nothing of a brought network is created or changed."
  }

  assert {
    condition     = length(aws_vpc_endpoint.gateway) == 2 && length(aws_vpc_endpoint.interface) == 7
    error_message = "Endpoints are added to it."
  }
}

run "brought_endpoints_are_used" {
  command = plan

  module {
    source = "./modules/network"
  }

  variables {
    flow_log_role_arn = null
    network = {
      mode               = "existing"
      zones              = ["eu-west-1a", "eu-west-1b"]
      client_cidrs       = []
      vpc_id             = "vpc-0123456789abcdef0"
      private_subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
      endpoints = {
        security_group_id = "sg-0123456789abcdef0"
        prefix_list_ids   = { s3 = "pl-6da54004", dynamodb = "pl-6fa54006" }
      }
    }
  }

  assert {
    condition     = length(aws_vpc_endpoint.gateway) + length(aws_vpc_endpoint.interface) + length(aws_security_group.endpoints) == 0
    error_message = "No endpoint is created beside the brought ones."
  }

  assert {
    condition = (
      aws_vpc_security_group_egress_rule.app_to_endpoints.referenced_security_group_id == "sg-0123456789abcdef0"
      && aws_vpc_security_group_egress_rule.app_to_gateways["s3"].prefix_list_id == "pl-6da54004"
    )
    error_message = "The application may reach the brought endpoints."
  }
}
