provider "aws" {
  region = var.region

  # A hard stop, not a warning: with credentials of any other account nothing is read or changed.
  allowed_account_ids = [var.account_id]

  default_tags {
    tags = local.tags
  }
}
