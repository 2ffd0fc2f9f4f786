# A small stack for the policies to read; with sound = false it has a fault for every rule.

terraform {
  required_version = ">= 1.11.0"

  required_providers {
    aws = {
      source = "hashicorp/aws"
    }
  }
}

variable "placement" {
  type    = object({ region = string })
  default = { region = "eu-west-1" }
}

variable "secret" {
  type      = string
  default   = "correct-horse"
  sensitive = true
}

variable "sound" {
  type = bool
}

provider "aws" {
  region                      = var.placement.region
  access_key                  = "offline"
  secret_key                  = "offline"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true

  default_tags {
    tags = {
      "tenantplane:deployment"  = "dep_1"
      "tenantplane:environment" = "production"
      "tenantplane:managed-by"  = "terraform"
      "tenantplane:mode"        = "C"
      "tenantplane:tenant"      = "acme"
      "tenantplane:data-class"  = "operational"
    }
  }
}

resource "aws_kms_key" "data" {
  description = "Data."
}

module "store" {
  source   = "./store"
  for_each = toset(["a"])

  key_arn = aws_kms_key.data.arn
  name    = "acme-${each.key}"
  sound   = var.sound
}

resource "aws_vpc" "this" {
  cidr_block = "10.40.0.0/16"
}

resource "aws_subnet" "private" {
  vpc_id            = aws_vpc.this.id
  cidr_block        = "10.40.0.0/20"
  availability_zone = var.sound ? "eu-west-1a" : "eu-west-2a"
}

resource "aws_security_group" "app" {
  name        = "acme-app"
  description = "The application."
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "clients" {
  security_group_id = aws_security_group.app.id
  cidr_ipv4         = var.sound ? "10.20.0.0/16" : "0.0.0.0/1"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_cloudwatch_log_group" "app" {
  name              = var.sound ? "/acme/app" : null
  name_prefix       = var.sound ? null : "/acme/"
  kms_key_id        = var.sound ? aws_kms_key.data.arn : null
  retention_in_days = var.sound ? 365 : 7
}

resource "aws_iam_role" "app" {
  name                 = "acme-app"
  permissions_boundary = var.sound ? "arn:aws:iam::123456789012:policy/acme-boundary" : null
  tags                 = var.sound ? {} : { "tenantplane:run" = "run_1" }

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_ssm_parameter" "setting" {
  name   = "/acme/setting"
  type   = "SecureString"
  key_id = aws_kms_key.data.arn
  value  = var.secret
}

resource "terraform_data" "surprise" {
  count = var.sound ? 0 : 1
}
