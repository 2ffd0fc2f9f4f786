variable "deletion_days" {
  description = "Days that a removed key waits before AWS deletes it, 7 to 30."
  type        = number
}

variable "installation" {
  description = "Account and region, to compose ARNs at plan time."
  type = object({
    account_id = string
    region     = string
  })
}

variable "keys" {
  description = "mode create makes three keys; mode existing passes the three given ARNs through."
  type = object({
    mode            = string
    data_key_arn    = optional(string)
    logs_key_arn    = optional(string)
    secrets_key_arn = optional(string)
  })
}

variable "names" {
  description = "Physical names: prefix of the key aliases and of the log groups that the logs key may encrypt."
  type = object({
    key_alias_prefix = string
    log_group_prefix = string
  })
}
