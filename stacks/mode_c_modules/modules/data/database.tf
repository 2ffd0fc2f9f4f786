# PostgreSQL. AWS makes, keeps and rotates the master password; Terraform never sees it.

resource "aws_db_subnet_group" "this" {
  name        = var.names.database
  description = "Private subnets of the Hub's database."
  subnet_ids  = var.private_subnet_ids

  tags = merge(local.customer_data, { Name = var.names.database })
}

locals {
  # 16 or 17: parameters belong to a major version.
  postgres_family  = "postgres${split(".", var.database.engine_version)[0]}"
  parameters_group = "${var.names.database}-${local.postgres_family}"
}

resource "aws_db_parameter_group" "this" {
  name        = local.parameters_group
  description = "Refuses connections without TLS."
  family      = local.postgres_family

  parameter {
    name  = "rds.force_ssl"
    value = "1"
    # What AWS answers for a value that is its default; with "immediate" every later plan would want to change it.
    apply_method = "pending-reboot"
  }

  tags = merge(local.customer_data, { Name = local.parameters_group })

  # At an upgrade the group of the next major version is there before this one goes.
  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  identifier     = var.names.database
  engine         = "postgres"
  engine_version = var.database.engine_version
  instance_class = var.database.instance_class
  db_name        = "hub"
  port           = 5432

  allocated_storage = var.database.storage_gb
  storage_type      = "gp3"
  storage_encrypted = true
  kms_key_id        = var.key_arns.data

  username                      = "hub_admin"
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.key_arns.secrets

  db_subnet_group_name   = aws_db_subnet_group.this.name
  multi_az               = var.database.multi_az
  parameter_group_name   = aws_db_parameter_group.this.name
  publicly_accessible    = false
  vpc_security_group_ids = [var.database_security_group_id]

  # Another major version is a reviewed change of these inputs, never one of AWS's own.
  allow_major_version_upgrade = true

  # AWS patches only what is left to it; with a named minor version the next plan would want to go back.
  auto_minor_version_upgrade = !strcontains(var.database.engine_version, ".")
  backup_retention_period    = var.database.backup_days
  backup_window              = "01:00-02:00"
  copy_tags_to_snapshot      = true
  maintenance_window         = "sun:03:00-sun:04:00"

  # A reviewed change happens when it is applied, not in some later night.
  apply_immediately = true

  deletion_protection       = !var.uninstall
  final_snapshot_identifier = var.names.final_snapshot
  skip_final_snapshot       = false

  tags = merge(local.customer_data, { Name = var.names.database })
}
