# Who may do what, as data. Every ARN is composed from inputs, so that a plan shows every policy whole.

locals {
  account = var.installation.account_id
  region  = var.installation.region

  bucket_arn     = "arn:aws:s3:::${var.names.data_bucket}"
  log_groups_arn = "arn:aws:logs:${local.region}:${local.account}:log-group"
  parameters_arn = "arn:aws:ssm:${local.region}:${local.account}:parameter${var.names.parameter_prefix}/*"
  secrets_arn    = "arn:aws:secretsmanager:${local.region}:${local.account}:secret:${var.names.secret_prefix}/*"
  table_arn      = "arn:aws:dynamodb:${local.region}:${local.account}:table/${var.names.table}"

  key_actions = ["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"]
  keys_allowed = {
    # The id of a key that is still to be created is unknown; its alias is not, and IAM can ask for it.
    create = {
      Sid      = "Keys"
      Effect   = "Allow"
      Action   = local.key_actions
      Resource = ["arn:aws:kms:${local.region}:${local.account}:key/*"]
      Condition = {
        "ForAnyValue:StringEquals" = {
          "kms:ResourceAliases" = ["${var.names.key_alias_prefix}-data", "${var.names.key_alias_prefix}-secrets"]
        }
      }
    }
    existing = {
      Sid      = "Keys"
      Effect   = "Allow"
      Action   = local.key_actions
      Resource = [var.keys.data_key_arn, var.keys.secrets_key_arn]
    }
  }

  objects_allowed = {
    Sid    = "Objects"
    Effect = "Allow"
    Action = [
      "s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:GetObjectVersion",
      "s3:ListBucket", "s3:ListMultipartUploadParts", "s3:PutObject",
    ]
    Resource = [local.bucket_arn, "${local.bucket_arn}/*"]
  }
  items_allowed = {
    Sid    = "Items"
    Effect = "Allow"
    Action = [
      "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem",
      "dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem",
    ]
    Resource = [local.table_arn, "${local.table_arn}/index/*"]
  }
  secrets_allowed = {
    Sid      = "Secrets"
    Effect   = "Allow"
    Action   = ["secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"]
    Resource = [local.secrets_arn]
  }
  parameters_allowed = {
    Sid      = "Parameters"
    Effect   = "Allow"
    Action   = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"]
    Resource = [local.parameters_arn]
  }

  app_statements = [
    local.objects_allowed,
    local.items_allowed,
    local.secrets_allowed,
    local.parameters_allowed,
    local.keys_allowed[var.keys.mode],
    {
      Sid    = "Logs"
      Effect = "Allow"
      Action = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = [
        "${local.log_groups_arn}:${var.names.app_log_group}:*",
        "${local.log_groups_arn}:${var.names.audit_log_group}:*",
      ]
    },
  ]

  flow_log_statements = [
    {
      Sid      = "Deliver"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = ["${local.log_groups_arn}:${var.names.flow_log_group}:*"]
    },
    {
      # AWS offers no narrower resource for a listing.
      Sid      = "Find"
      Effect   = "Allow"
      Action   = ["logs:DescribeLogGroups"]
      Resource = ["${local.log_groups_arn}:*"]
    },
  ]

  boundary_statements = [
    local.objects_allowed,
    local.items_allowed,
    local.secrets_allowed,
    local.parameters_allowed,
    local.keys_allowed[var.keys.mode],
    {
      Sid      = "Logs"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
      Resource = ["${local.log_groups_arn}:${var.names.log_group_prefix}/*"]
    },
    {
      Sid      = "FindLogGroups"
      Effect   = "Allow"
      Action   = ["logs:DescribeLogGroups"]
      Resource = ["${local.log_groups_arn}:*"]
    },
    {
      Sid      = "NeverRights"
      Effect   = "Deny"
      Action   = ["account:*", "iam:*", "organizations:*", "sts:AssumeRole*"]
      Resource = ["*"]
    },
    {
      Sid       = "StayInRegion"
      Effect    = "Deny"
      Action    = ["*"]
      Resource  = ["*"]
      Condition = { StringNotEquals = { "aws:RequestedRegion" = [local.region] } }
    },
  ]

  # SourceAccount and SourceArn: the service acts for this account's resources only.
  app_trust = {
    Sid       = "OwnResourcesOnly"
    Effect    = "Allow"
    Principal = { Service = "ecs-tasks.amazonaws.com" }
    Action    = ["sts:AssumeRole"]
    Condition = {
      StringEquals = { "aws:SourceAccount" = local.account }
      ArnLike      = { "aws:SourceArn" = "arn:aws:ecs:${local.region}:${local.account}:*" }
    }
  }
  flow_log_trust = {
    Sid       = "OwnResourcesOnly"
    Effect    = "Allow"
    Principal = { Service = "vpc-flow-logs.amazonaws.com" }
    Action    = ["sts:AssumeRole"]
    Condition = {
      StringEquals = { "aws:SourceAccount" = local.account }
      ArnLike      = { "aws:SourceArn" = "arn:aws:ec2:${local.region}:${local.account}:vpc-flow-log/*" }
    }
  }
}
