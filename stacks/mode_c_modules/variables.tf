variable "account_id" {
  description = "The AWS account that the Hub is built in, 12 digits. Credentials of any other account are refused."
  type        = string
  nullable    = false

  validation {
    condition     = can(regex("^[0-9]{12}$", var.account_id))
    error_message = "account_id must be exactly 12 digits."
  }
}

variable "database" {
  description = "The PostgreSQL instance. storage_gb in GiB; backup_days: days that automatic backups are kept, 7 to 35; engine_version 16 or 17 lets AWS choose and patch the minor version, 16.9 names it."
  type = object({
    instance_class = string
    storage_gb     = number
    engine_version = string
    multi_az       = bool
    backup_days    = number
  })
  nullable = false

  validation {
    condition     = can(regex("^db\\.[a-z0-9-]+\\.[a-z0-9]+$", var.database.instance_class))
    error_message = "database.instance_class must be an RDS instance class, such as db.m7g.large."
  }

  validation {
    condition     = var.database.storage_gb >= 20 && var.database.storage_gb <= 16384 && floor(var.database.storage_gb) == var.database.storage_gb
    error_message = "database.storage_gb must be a whole number of GiB from 20 to 16384."
  }

  validation {
    condition     = can(regex("^1[67](\\.[0-9]{1,2})?$", var.database.engine_version))
    error_message = "database.engine_version must be 16 or 17, or a minor version of them, such as 16.9."
  }

  validation {
    condition     = var.database.backup_days >= 7 && var.database.backup_days <= 35 && floor(var.database.backup_days) == var.database.backup_days
    error_message = "database.backup_days must be a whole number of days from 7 to 35."
  }
}

variable "extra_tags" {
  description = "Tags of your own on everything that takes tags, such as a cost centre. They cannot replace a tag of the bundle."
  type        = map(string)
  default     = {}
  nullable    = false

  validation {
    # AWS allows 50 tags; the bundle has seven.
    condition     = length(var.extra_tags) <= 40
    error_message = "extra_tags may hold at most 40 tags."
  }

  validation {
    condition = alltrue([
      for key in keys(var.extra_tags) :
      can(regex("^[A-Za-z0-9 _.:/=+@-]{1,128}$", key))
      && !startswith(lower(key), "aws:") && !startswith(lower(key), "tenantplane:") && lower(key) != "name"
    ])
    error_message = "A key of extra_tags has 1 to 128 letters, digits, spaces and _ . : / = + - @, does not begin with aws: or tenantplane: and is not Name."
  }

  validation {
    # IAM takes two keys that differ only in case for one.
    condition     = length(distinct([for key in keys(var.extra_tags) : lower(key)])) == length(var.extra_tags)
    error_message = "Two keys of extra_tags differ only in case."
  }

  validation {
    condition     = alltrue([for value in values(var.extra_tags) : can(regex("^[A-Za-z0-9 _.:/=+@-]{0,256}$", value))])
    error_message = "A value of extra_tags has at most 256 letters, digits, spaces and _ . : / = + - @."
  }
}

variable "keys" {
  description = "Encryption keys. mode create: three customer managed keys are made. mode existing: the ARNs of three keys of your own in the region of the Hub; they may live in another account of yours."
  type = object({
    mode            = string
    data_key_arn    = optional(string)
    logs_key_arn    = optional(string)
    secrets_key_arn = optional(string)
  })
  default  = { mode = "create" }
  nullable = false

  validation {
    condition     = contains(["create", "existing"], var.keys.mode)
    error_message = "keys.mode must be create or existing."
  }

  validation {
    condition = alltrue([
      for arn in [var.keys.data_key_arn, var.keys.logs_key_arn, var.keys.secrets_key_arn] :
      var.keys.mode == "existing"
      ? can(regex("^arn:aws:kms:${var.region}:[0-9]{12}:key/[A-Za-z0-9-]+$", arn))
      : arn == null
    ])
    error_message = "With keys.mode existing, data_key_arn, logs_key_arn and secrets_key_arn must be ARNs of KMS keys in the region of the Hub; with create, leave all three out."
  }
}

variable "network" {
  description = "Network in two or three zones. mode create: a VPC of the given cidr (/16 to /22) with one private subnet per zone. mode existing: vpc_id and one private subnet of yours per zone; route_table_ids are where the gateway endpoints are added; endpoints names your own endpoints, without it the bundle creates them. client_cidrs: who may reach the application on port 443; empty: nobody yet."
  type = object({
    mode               = string
    zones              = list(string)
    client_cidrs       = optional(list(string), [])
    cidr               = optional(string)
    vpc_id             = optional(string)
    private_subnet_ids = optional(list(string), [])
    route_table_ids    = optional(list(string), [])
    endpoints = optional(object({
      security_group_id = string
      prefix_list_ids = object({
        s3       = string
        dynamodb = string
      })
    }))
  })
  nullable = false

  validation {
    condition     = contains(["create", "existing"], var.network.mode)
    error_message = "network.mode must be create or existing."
  }

  validation {
    condition = (
      contains([2, 3], length(var.network.zones))
      && length(distinct(var.network.zones)) == length(var.network.zones)
      && alltrue([for zone in var.network.zones : can(regex("^${var.region}[a-z]$", zone))])
    )
    error_message = "network.zones must name two or three different availability zones of the region, such as eu-west-1a and eu-west-1b."
  }

  validation {
    # cidrnetmask takes IPv4 alone; the comparison finds an address that is not the first of its network.
    condition     = alltrue([for cidr in var.network.client_cidrs : can(cidrnetmask(cidr)) && try(cidrsubnet(cidr, 0, 0) == cidr, false)])
    error_message = "Every entry of network.client_cidrs must be an IPv4 network in CIDR notation, such as 10.20.0.0/16."
  }

  validation {
    # /8 is the widest private network; without a floor the internet could be let in as two halves.
    condition     = alltrue([for cidr in var.network.client_cidrs : try(tonumber(split("/", cidr)[1]) >= 8, false)])
    error_message = "No inbound from the internet: every entry of network.client_cidrs must be /8 or narrower, so 0.0.0.0/0 is refused. Name the networks your clients come from."
  }

  validation {
    condition = var.network.mode != "create" || (
      can(cidrnetmask(var.network.cidr)) && try(cidrsubnet(var.network.cidr, 0, 0) == var.network.cidr, false)
      && try(tonumber(split("/", var.network.cidr)[1]) >= 16 && tonumber(split("/", var.network.cidr)[1]) <= 22, false)
    )
    error_message = "With network.mode create, network.cidr must be an IPv4 network from /16 to /22, such as 10.40.0.0/16."
  }

  validation {
    condition = var.network.mode != "create" || (
      var.network.vpc_id == null && var.network.endpoints == null
      && length(var.network.private_subnet_ids) == 0 && length(var.network.route_table_ids) == 0
    )
    error_message = "With network.mode create, vpc_id, private_subnet_ids, route_table_ids and endpoints are left out: they belong to mode existing."
  }

  validation {
    condition = var.network.mode != "existing" || (
      can(regex("^vpc-[0-9a-f]{8,17}$", var.network.vpc_id)) && var.network.cidr == null
    )
    error_message = "With network.mode existing, network.vpc_id must be the id of your VPC (vpc-…), and network.cidr is left out."
  }

  validation {
    condition = var.network.mode != "existing" || (
      length(distinct(var.network.private_subnet_ids)) == length(var.network.zones)
      && length(var.network.private_subnet_ids) == length(var.network.zones)
      && alltrue([for id in var.network.private_subnet_ids : can(regex("^subnet-[0-9a-f]{8,17}$", id))])
    )
    error_message = "With network.mode existing, network.private_subnet_ids must name one private subnet (subnet-…) for each of network.zones."
  }

  validation {
    condition = var.network.mode != "existing" || (
      alltrue([for id in var.network.route_table_ids : can(regex("^rtb-[0-9a-f]{8,17}$", id))])
      && (var.network.endpoints == null) == (length(var.network.route_table_ids) > 0)
    )
    error_message = "With network.mode existing, give either network.route_table_ids (rtb-…, where the bundle adds its gateway endpoints) or network.endpoints (your own endpoints)."
  }

  validation {
    condition = var.network.endpoints == null || try(
      can(regex("^([0-9]{12}/)?sg-[0-9a-f]{8,17}$", var.network.endpoints.security_group_id))
      && can(regex("^pl-[0-9a-f]{8,17}$", var.network.endpoints.prefix_list_ids.s3))
      && can(regex("^pl-[0-9a-f]{8,17}$", var.network.endpoints.prefix_list_ids.dynamodb)),
      false
    )
    error_message = "network.endpoints must name the security group of your interface endpoints (sg-…, or <account>/sg-… when it belongs to another account) and the prefix lists of S3 and DynamoDB in your region (pl-…)."
  }
}

variable "owner" {
  description = "Whom the Hub belongs to; becomes tags and names. tenant: slug. environment: promotion stage. deployment: the vendor's id. short: prefix of every physical name. install_id: part of the names that AWS keeps reserved after a removal; another one allows a new installation."
  type = object({
    tenant      = string
    environment = string
    deployment  = string
    short       = string
    install_id  = string
  })
  nullable = false

  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.owner.tenant)) && length(var.owner.tenant) >= 3 && length(var.owner.tenant) <= 32
    error_message = "owner.tenant must be 3 to 32 lower-case letters, digits and single hyphens, beginning with a letter."
  }

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,19}$", var.owner.environment))
    error_message = "owner.environment must be a promotion stage of 2 to 20 characters in lower case, such as production."
  }

  validation {
    condition     = can(regex("^dep_[0-9A-HJKMNP-TV-Z]{26}$", var.owner.deployment))
    error_message = "owner.deployment must be dep_ and 26 characters, as in the file that came with the bundle."
  }

  validation {
    # No double hyphen: a database identifier may not hold one.
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.owner.short)) && length(var.owner.short) >= 3 && length(var.owner.short) <= 32
    error_message = "owner.short must be 3 to 32 lower-case letters, digits and single hyphens, beginning with a letter."
  }

  validation {
    condition     = can(regex("^[a-z0-9]{4,12}$", var.owner.install_id))
    error_message = "owner.install_id must be 4 to 12 lower-case letters and digits."
  }
}

variable "permissions_boundary" {
  description = "Ceiling of every role of the bundle. mode create: the bundle makes the policy. mode existing: arn of a managed policy of your own in this account."
  type = object({
    mode = string
    arn  = optional(string)
  })
  default  = { mode = "create" }
  nullable = false

  validation {
    condition     = contains(["create", "existing"], var.permissions_boundary.mode)
    error_message = "permissions_boundary.mode must be create or existing."
  }

  validation {
    condition = (
      var.permissions_boundary.mode == "existing"
      ? can(regex("^arn:aws:iam::${var.account_id}:policy/[A-Za-z0-9+=,.@_/-]+$", var.permissions_boundary.arn))
      : var.permissions_boundary.arn == null
    )
    error_message = "With permissions_boundary.mode existing, permissions_boundary.arn must be a managed policy of account_id; with create, leave it out."
  }
}

variable "region" {
  description = "The AWS region that everything is built in."
  type        = string
  nullable    = false

  validation {
    # Other partitions name their services and ARNs differently; nothing here was built for them.
    condition     = can(regex("^(af|ap|ca|eu|il|me|mx|sa|us)-[a-z]+-[0-9]$", var.region))
    error_message = "region must be a region of the standard AWS partition, such as eu-west-1."
  }
}

variable "release" {
  description = "Which release of the bundle this is: version of the module set, and SHA-256 over modules and inputs. Both go to the receipt only, never into a resource."
  type = object({
    module_set_version = string
    content_digest     = string
  })
  nullable = false

  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9A-Za-z.-]+)?$", var.release.module_set_version))
    error_message = "release.module_set_version must be a semantic version, such as 1.4.0."
  }

  validation {
    condition     = can(regex("^sha256:[0-9a-f]{64}$", var.release.content_digest))
    error_message = "release.content_digest must be sha256: and 64 lower-case hexadecimal digits, as in the file that came with the bundle."
  }
}

variable "retention" {
  description = "How long things are kept, in days. log_days: log groups and S3 access logs. noncurrent_days: replaced or deleted object versions of the data bucket. key_deletion_days: waiting time of a key after its removal."
  type = object({
    log_days          = number
    noncurrent_days   = number
    key_deletion_days = number
  })
  nullable = false

  validation {
    condition = contains(
      [7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653],
      var.retention.log_days
    )
    error_message = "retention.log_days must be a period that CloudWatch Logs offers: 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653."
  }

  validation {
    condition     = var.retention.noncurrent_days >= 7 && var.retention.noncurrent_days <= 3650 && floor(var.retention.noncurrent_days) == var.retention.noncurrent_days
    error_message = "retention.noncurrent_days must be a whole number of days from 7 to 3650."
  }

  validation {
    condition     = var.retention.key_deletion_days >= 7 && var.retention.key_deletion_days <= 30 && floor(var.retention.key_deletion_days) == var.retention.key_deletion_days
    error_message = "retention.key_deletion_days must be a whole number of days from 7 to 30."
  }
}

variable "schema_version" {
  description = "Version of the shape of these variables. This module set reads version 1."
  type        = number
  nullable    = false

  validation {
    condition     = var.schema_version == 1
    error_message = "These modules read variables of schema_version 1. Use the terraform.tfvars.json that came with this bundle."
  }
}

variable "uninstall" {
  description = "First step of a removal: true lifts the deletion protection of database and table and lets the log bucket be emptied. Apply with true, then destroy. The data bucket is never emptied by Terraform."
  type        = bool
  default     = false
  nullable    = false
}
