# What holds data is encrypted, kept and protected; a removal takes two steps.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  database = {
    instance_class = "db.m7g.large"
    storage_gb     = 50
    engine_version = "16.4"
    multi_az       = true
    backup_days    = 14
  }
  database_security_group_id = "sg-0123456789abcdef0"
  installation               = { account_id = "210987654321", region = "eu-west-1" }
  key_arns = {
    data    = "arn:aws:kms:eu-west-1:210987654321:key/00000000-0000-4000-8000-00000000000a"
    logs    = "arn:aws:kms:eu-west-1:210987654321:key/00000000-0000-4000-8000-00000000000b"
    secrets = "arn:aws:kms:eu-west-1:210987654321:key/00000000-0000-4000-8000-00000000000c"
  }
  names = {
    access_log_prefix = "s3-access/"
    app_log_group     = "/tenantplane/acme-k3v9qa/app"
    audit_log_group   = "/tenantplane/acme-k3v9qa/audit"
    data_bucket       = "acme-k3v9qa-data-210987654321"
    database          = "acme-k3v9qa-db"
    final_snapshot    = "acme-k3v9qa-db-final-a1b2c3"
    log_bucket        = "acme-k3v9qa-logs-210987654321"
    secret_prefix     = "acme-k3v9qa/a1b2c3"
    table             = "acme-k3v9qa-hub"
  }
  private_subnet_ids = ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
  retention          = { log_days = 365, noncurrent_days = 90 }
  uninstall          = false
}

run "data_is_encrypted_protected_and_without_a_password_in_terraform" {
  command = plan

  module {
    source = "./modules/data"
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.kms_key_id == var.key_arns.data
    error_message = "The database is encrypted with the key for data."
  }

  assert {
    condition     = one(aws_dynamodb_table.this.server_side_encryption).kms_key_arn == var.key_arns.data
    error_message = "The table is encrypted with the key for data."
  }

  assert {
    condition     = one(one(aws_s3_bucket_server_side_encryption_configuration.data.rule).apply_server_side_encryption_by_default).kms_master_key_id == var.key_arns.data
    error_message = "The data bucket is encrypted with the key for data."
  }

  assert {
    condition = alltrue(concat(
      [for secret in values(aws_secretsmanager_secret.this) : secret.kms_key_id == var.key_arns.secrets],
      [for group in values(aws_cloudwatch_log_group.this) : group.kms_key_id == var.key_arns.logs],
    ))
    error_message = "Secrets and log groups are encrypted with their own keys."
  }

  assert {
    condition     = aws_db_instance.this.manage_master_user_password && aws_db_instance.this.password == null
    error_message = "AWS makes and keeps the master password."
  }

  assert {
    condition = contains(
      [for parameter in aws_db_parameter_group.this.parameter : "${parameter.name}=${parameter.value}"],
      "rds.force_ssl=1"
    )
    error_message = "rds.force_ssl is set."
  }

  assert {
    condition = (
      aws_db_instance.this.deletion_protection
      && aws_dynamodb_table.this.deletion_protection_enabled
      && !aws_s3_bucket.data.force_destroy
      && !aws_s3_bucket.logs.force_destroy
    )
    error_message = "Nothing that holds data can be destroyed in one step."
  }
}

run "uninstall_lifts_protection_but_never_empties_the_data_bucket" {
  command = plan

  module {
    source = "./modules/data"
  }

  variables {
    uninstall = true
  }

  assert {
    condition = (
      !aws_db_instance.this.deletion_protection
      && !aws_dynamodb_table.this.deletion_protection_enabled
      && aws_s3_bucket.logs.force_destroy
      && !aws_s3_bucket.data.force_destroy
    )
    error_message = "The first step of a removal lifts protection; the data bucket is emptied by a person."
  }

  assert {
    condition     = !aws_db_instance.this.skip_final_snapshot && aws_db_instance.this.final_snapshot_identifier == "acme-k3v9qa-db-final-a1b2c3"
    error_message = "A last snapshot of the database is kept."
  }
}

run "parameters_belong_to_the_major_version_and_are_not_changed_by_a_later_plan" {
  command = plan

  module {
    source = "./modules/data"
  }

  variables {
    database = {
      instance_class = "db.m7g.large"
      storage_gb     = 50
      engine_version = "17"
      multi_az       = true
      backup_days    = 14
    }
  }

  assert {
    condition = aws_db_parameter_group.this.family == "postgres17" && (
      aws_db_parameter_group.this.name == "acme-k3v9qa-db-postgres17"
      && one(aws_db_parameter_group.this.parameter).apply_method == "pending-reboot"
    )
    error_message = "The parameters are those of PostgreSQL 17, applied as AWS answers them."
  }

  assert {
    condition     = aws_db_instance.this.auto_minor_version_upgrade && aws_db_instance.this.engine_version == "17"
    error_message = "AWS chooses and patches the minor version."
  }
}
