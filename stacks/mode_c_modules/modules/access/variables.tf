variable "flow_logs" {
  description = "Whether the bundle creates the VPC, and with it the role that delivers its flow logs."
  type        = bool
}

variable "installation" {
  description = "Account and region, to compose ARNs at plan time."
  type = object({
    account_id = string
    region     = string
  })
}

variable "keys" {
  description = "mode create: the roles may use keys by their alias; mode existing: exactly the given ARNs."
  type = object({
    mode            = string
    data_key_arn    = optional(string)
    logs_key_arn    = optional(string)
    secrets_key_arn = optional(string)
  })
}

variable "names" {
  description = "Physical names of the roles, and of everything that they may touch."
  type = object({
    app_log_group    = string
    app_role         = string
    audit_log_group  = string
    boundary         = string
    data_bucket      = string
    flow_log_group   = string
    flow_log_role    = string
    key_alias_prefix = string
    log_group_prefix = string
    parameter_prefix = string
    secret_prefix    = string
    table            = string
  })
}

variable "permissions_boundary" {
  description = "mode create makes the boundary policy; mode existing takes arn."
  type = object({
    mode = string
    arn  = optional(string)
  })
}
