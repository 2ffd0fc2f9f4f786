variable "flow_log_days" {
  description = "Days that flow logs are kept."
  type        = number
}

variable "flow_log_role_arn" {
  description = "Role that delivers the flow logs of a created VPC; null when an existing VPC is used."
  type        = string
}

variable "installation" {
  description = "Account and region, to compose ARNs and service names at plan time."
  type = object({
    account_id = string
    region     = string
  })
}

variable "logs_key_arn" {
  description = "Key that encrypts the flow logs."
  type        = string
}

variable "names" {
  description = "Physical names."
  type = object({
    app_security_group      = string
    database_security_group = string
    endpoint_security_group = string
    flow_log_group          = string
    prefix                  = string
    route_table             = string
    subnet_prefix           = string
    vpc                     = string
  })
}

variable "network" {
  description = "mode create: a VPC of cidr with one private subnet per zone. mode existing: your VPC and subnets, with or without your own endpoints. client_cidrs: who may reach the application."
  type = object({
    mode               = string
    zones              = list(string)
    client_cidrs       = list(string)
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
}
