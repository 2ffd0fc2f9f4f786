variable "database" {
  description = "The PostgreSQL instance: class, GiB, engine version, whether it has a standby in another zone, days of backups."
  type = object({
    instance_class = string
    storage_gb     = number
    engine_version = string
    multi_az       = bool
    backup_days    = number
  })
}

variable "database_security_group_id" {
  description = "Security group of the database."
  type        = string
}

variable "installation" {
  description = "Account and region, to compose ARNs at plan time."
  type = object({
    account_id = string
    region     = string
  })
}

variable "key_arns" {
  description = "ARNs of the keys for data, logs and secrets."
  type = object({
    data    = string
    logs    = string
    secrets = string
  })
}

variable "names" {
  description = "Physical names."
  type = object({
    access_log_prefix = string
    app_log_group     = string
    audit_log_group   = string
    data_bucket       = string
    database          = string
    final_snapshot    = string
    log_bucket        = string
    secret_prefix     = string
    table             = string
  })
}

variable "private_subnet_ids" {
  description = "Private subnets of the database, in at least two zones."
  type        = list(string)
}

variable "retention" {
  description = "Days that logs and replaced object versions are kept."
  type = object({
    log_days        = number
    noncurrent_days = number
  })
}

variable "uninstall" {
  description = "true lifts deletion protection of database and table and lets the log bucket be emptied."
  type        = bool
}
