# The data bucket and the bucket that logs who read it.

locals {
  data_bucket_arn = "arn:aws:s3:::${var.names.data_bucket}"
  log_bucket_arn  = "arn:aws:s3:::${var.names.log_bucket}"

  # AWS = "*" is everybody, as "*" alone would be.
  without_tls = {
    Sid       = "TlsOnly"
    Effect    = "Deny"
    Principal = { AWS = "*" }
    Action    = ["s3:*"]
    Condition = { Bool = { "aws:SecureTransport" = "false" } }
  }
  tls_only = {
    data = merge(local.without_tls, { Resource = [local.data_bucket_arn, "${local.data_bucket_arn}/*"] })
    logs = merge(local.without_tls, { Resource = [local.log_bucket_arn, "${local.log_bucket_arn}/*"] })
  }
  access_log_delivery = {
    Sid       = "AccessLogsOfTheDataBucket"
    Effect    = "Allow"
    Principal = { Service = "logging.s3.amazonaws.com" }
    Action    = "s3:PutObject"
    Resource  = "${local.log_bucket_arn}/${var.names.access_log_prefix}*"
    Condition = {
      ArnLike      = { "aws:SourceArn" = local.data_bucket_arn }
      StringEquals = { "aws:SourceAccount" = var.installation.account_id }
    }
  }
}

resource "aws_s3_bucket" "data" {
  bucket = var.names.data_bucket

  # Never emptied by Terraform, not even when it is uninstalled: what lies in it is yours.
  force_destroy = false

  tags = merge(local.customer_data, { Name = var.names.data_bucket })
}

resource "aws_s3_bucket_ownership_controls" "data" {
  bucket = aws_s3_bucket.data.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "data" {
  bucket = aws_s3_bucket.data.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "data" {
  bucket = aws_s3_bucket.data.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [local.tls_only["data"]] })

  # S3 refuses two changes of a bucket's access at once.
  depends_on = [aws_s3_bucket_public_access_block.data]
}

resource "aws_s3_bucket_versioning" "data" {
  bucket = aws_s3_bucket.data.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "data" {
  bucket = aws_s3_bucket.data.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      kms_master_key_id = var.key_arns.data
      sse_algorithm     = "aws:kms"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "data" {
  bucket = aws_s3_bucket.data.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {
      prefix = ""
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    noncurrent_version_expiration {
      noncurrent_days = var.retention.noncurrent_days
    }
  }

  # A rule on old versions means nothing before there are versions.
  depends_on = [aws_s3_bucket_versioning.data]
}

resource "aws_s3_bucket_logging" "data" {
  bucket        = aws_s3_bucket.data.id
  target_bucket = aws_s3_bucket.logs.id
  target_prefix = var.names.access_log_prefix

  # S3 checks at once whether it may write there.
  depends_on = [aws_s3_bucket_policy.logs]
}

resource "aws_s3_bucket" "logs" {
  bucket        = var.names.log_bucket
  force_destroy = var.uninstall

  tags = merge(local.operational, { Name = var.names.log_bucket })
}

resource "aws_s3_bucket_ownership_controls" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "logs" {
  bucket = aws_s3_bucket.logs.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_policy" "logs" {
  bucket = aws_s3_bucket.logs.id
  policy = jsonencode({ Version = "2012-10-17", Statement = [local.tls_only["logs"], local.access_log_delivery] })

  depends_on = [aws_s3_bucket_public_access_block.logs]
}

resource "aws_s3_bucket_versioning" "logs" {
  bucket = aws_s3_bucket.logs.id

  versioning_configuration {
    status = "Enabled"
  }
}

# S3 delivers access logs only to a bucket whose default encryption is its own (SSE-S3), never to SSE-KMS.
resource "aws_s3_bucket_server_side_encryption_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "logs" {
  bucket = aws_s3_bucket.logs.id

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {
      prefix = ""
    }

    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }

    expiration {
      days = var.retention.log_days
    }

    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }

  depends_on = [aws_s3_bucket_versioning.logs]
}
