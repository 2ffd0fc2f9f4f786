# The root as a whole, planned without AWS: what its inputs lead to, and which inputs it refuses.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  schema_version = 1
  account_id     = "210987654321"
  region         = "eu-west-1"
  owner = {
    tenant      = "acme"
    environment = "production"
    deployment  = "dep_01JD3ZK4Q0V8X2M6N7P9R5T1WY"
    short       = "acme-k3v9qa"
    install_id  = "a1b2c3"
  }
  network = {
    mode         = "create"
    cidr         = "10.40.0.0/16"
    zones        = ["eu-west-1a", "eu-west-1b"]
    client_cidrs = ["10.20.0.0/16"]
  }
  database = {
    instance_class = "db.m7g.large"
    storage_gb     = 50
    engine_version = "16"
    multi_az       = true
    backup_days    = 14
  }
  retention = {
    log_days          = 365
    noncurrent_days   = 90
    key_deletion_days = 30
  }
  # Named here too, so that a terraform.tfvars.json beside these tests does not change what they ask.
  keys                 = { mode = "create" }
  permissions_boundary = { mode = "create" }
  extra_tags           = {}
  uninstall            = false
  release = {
    module_set_version = "1.0.0"
    content_digest     = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
  }
}

run "the_defaults_create_network_keys_and_boundary" {
  command = plan

  assert {
    condition     = output.hub.vpc_id == "vpc-0a1b2c3d4e5f60718" && length(output.hub.private_subnet_ids) == 2
    error_message = "A VPC with one private subnet per zone is created."
  }

  assert {
    condition     = output.hub.data_bucket == "acme-k3v9qa-data-210987654321"
    error_message = "The data bucket is named after installation and account."
  }

  assert {
    condition     = output.hub.boundary_arn == "arn:aws:iam::210987654321:policy/acme-k3v9qa-boundary"
    error_message = "The boundary of the bundle is used."
  }

  assert {
    condition = output.receipt.content_digest == var.release.content_digest && output.receipt.module_set_version == "1.0.0" && (
      output.receipt.account_id == "210987654321" && output.receipt.region == "eu-west-1" && output.receipt.tenant == "acme"
    )
    error_message = "The receipt names the release and where it was applied."
  }

  assert {
    condition     = alltrue([for id in values(output.receipt.resources) : id != null && id != ""])
    error_message = "Every resource of the receipt has an id."
  }

  assert {
    condition = local.tags == {
      "tenantplane:deployment"  = "dep_01JD3ZK4Q0V8X2M6N7P9R5T1WY"
      "tenantplane:environment" = "production"
      "tenantplane:managed-by"  = "terraform"
      "tenantplane:mode"        = "C"
      "tenantplane:tenant"      = "acme"
    }
    error_message = "The default tags say whose the resources are, and nothing that changes with a release."
  }
}

run "an_existing_network_keys_and_boundary_are_used_as_they_are" {
  command = plan

  variables {
    network = {
      mode               = "existing"
      zones              = ["eu-west-1a", "eu-west-1b"]
      vpc_id             = "vpc-0123456789abcdef0"
      private_subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
      route_table_ids    = ["rtb-0123456789abcdef0"]
    }
    keys = {
      mode            = "existing"
      data_key_arn    = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-00000000000a"
      logs_key_arn    = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-00000000000b"
      secrets_key_arn = "arn:aws:kms:eu-west-1:111122223333:key/00000000-0000-4000-8000-00000000000c"
    }
    permissions_boundary = {
      mode = "existing"
      arn  = "arn:aws:iam::210987654321:policy/security/ceiling"
    }
  }

  assert {
    condition     = output.hub.vpc_id == "vpc-0123456789abcdef0"
    error_message = "The given VPC is used."
  }

  assert {
    condition     = output.hub.private_subnet_ids == tolist(["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"])
    error_message = "The given subnets are used."
  }

  assert {
    condition     = output.hub.data_key_arn == var.keys.data_key_arn && output.receipt.resources.secrets_key_arn == var.keys.secrets_key_arn
    error_message = "The given keys are used."
  }

  assert {
    condition     = output.hub.boundary_arn == "arn:aws:iam::210987654321:policy/security/ceiling"
    error_message = "The given boundary is used."
  }
}

run "clients_from_the_whole_internet_are_refused" {
  command = plan

  variables {
    network = {
      mode         = "create"
      cidr         = "10.40.0.0/16"
      zones        = ["eu-west-1a", "eu-west-1b"]
      client_cidrs = ["0.0.0.0/0"]
    }
  }

  expect_failures = [var.network]
}

run "an_account_of_eleven_digits_is_refused" {
  command = plan

  variables {
    account_id = "21098765432"
  }

  expect_failures = [var.account_id]
}

run "half_the_internet_and_other_values_out_of_range_are_refused" {
  command = plan

  variables {
    network = {
      mode         = "create"
      cidr         = "10.40.0.0/16"
      zones        = ["eu-west-1a", "eu-west-1b"]
      client_cidrs = ["0.0.0.0/1", "128.0.0.0/1"]
    }
    database = {
      instance_class = "db.m7g.large"
      storage_gb     = 50
      engine_version = "16"
      multi_az       = true
      backup_days    = 6
    }
    release = {
      module_set_version = "1.0.0"
      content_digest     = "latest"
    }
    schema_version = 2
  }

  expect_failures = [var.database, var.network, var.release, var.schema_version]
}

run "zones_and_keys_of_another_region_are_refused" {
  command = plan

  variables {
    network = {
      mode  = "create"
      cidr  = "10.40.0.0/16"
      zones = ["eu-west-1a", "eu-central-1b"]
    }
    keys = {
      mode            = "existing"
      data_key_arn    = "arn:aws:kms:us-east-1:210987654321:key/00000000-0000-4000-8000-00000000000a"
      logs_key_arn    = "arn:aws:kms:us-east-1:210987654321:key/00000000-0000-4000-8000-00000000000b"
      secrets_key_arn = "arn:aws:kms:us-east-1:210987654321:key/00000000-0000-4000-8000-00000000000c"
    }
  }

  expect_failures = [var.keys, var.network]
}

run "a_network_half_created_half_brought_is_refused" {
  command = plan

  variables {
    network = {
      mode   = "create"
      cidr   = "10.40.0.0/16"
      zones  = ["eu-west-1a", "eu-west-1b"]
      vpc_id = "vpc-0123456789abcdef0"
    }
  }

  expect_failures = [var.network]
}

run "tags_of_the_customer_come_beside_those_of_the_bundle" {
  command = plan

  variables {
    extra_tags = { CostCenter = "4711", "team:owner" = "ops@example.com" }
  }

  assert {
    condition = local.tags["CostCenter"] == "4711" && local.tags["team:owner"] == "ops@example.com" && (
      local.tags["tenantplane:tenant"] == "acme" && length(local.tags) == 7
    )
    error_message = "Tags of the customer are added and replace none of the bundle."
  }
}

run "tags_that_would_replace_those_of_the_bundle_are_refused" {
  command = plan

  variables {
    extra_tags = { "TenantPlane:tenant" = "other" }
  }

  expect_failures = [var.extra_tags]
}

run "tags_that_differ_in_case_alone_are_refused" {
  command = plan

  variables {
    extra_tags = { costcenter = "1", CostCenter = "2" }
  }

  expect_failures = [var.extra_tags]
}

run "endpoints_behind_a_group_of_another_account_are_used" {
  command = plan

  variables {
    network = {
      mode               = "existing"
      zones              = ["eu-west-1a", "eu-west-1b"]
      vpc_id             = "vpc-0123456789abcdef0"
      private_subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
      endpoints = {
        security_group_id = "111122223333/sg-0123456789abcdef0"
        prefix_list_ids   = { s3 = "pl-01234567", dynamodb = "pl-01234568" }
      }
    }
  }

  assert {
    condition     = output.hub.vpc_id == "vpc-0123456789abcdef0"
    error_message = "A group of another account, as in a shared VPC, is taken."
  }
}

run "another_major_version_than_16_and_17_is_refused" {
  command = plan

  variables {
    database = {
      instance_class = "db.m7g.large"
      storage_gb     = 50
      engine_version = "18"
      multi_az       = true
      backup_days    = 14
    }
  }

  expect_failures = [var.database]
}

run "a_region_of_another_partition_is_refused" {
  command = plan

  variables {
    region = "cn-north-1"
    network = {
      mode  = "create"
      cidr  = "10.40.0.0/16"
      zones = ["cn-north-1a", "cn-north-1b"]
    }
  }

  expect_failures = [var.region]
}

run "an_odd_owner_retention_and_boundary_are_refused" {
  command = plan

  variables {
    owner = {
      tenant      = "acme"
      environment = "production"
      deployment  = "dep_01JD3ZK4Q0V8X2M6N7P9R5T1WY"
      short       = "acme--k3v9qa"
      install_id  = "a1b2c3"
    }
    permissions_boundary = {
      mode = "existing"
      arn  = "arn:aws:iam::111122223333:policy/ceiling"
    }
    retention = {
      log_days          = 8
      noncurrent_days   = 90
      key_deletion_days = 30
    }
  }

  expect_failures = [var.owner, var.permissions_boundary, var.retention]
}
