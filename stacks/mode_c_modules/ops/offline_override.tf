# For a review without AWS: copy into the root folder, then `terraform plan` needs neither credentials
# nor a network. Take it out again before an apply.
provider "aws" {
  access_key                  = "offline"
  secret_key                  = "offline"
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_requesting_account_id  = true

  # Nobody is asked which account this is, so there is nothing to compare with.
  allowed_account_ids = null
}
