# What AWS would answer, where an answer is used again: ids and ARNs of the right form, because the
# provider checks the form of what it is given.

mock_resource "aws_vpc" {
  defaults = { id = "vpc-0a1b2c3d4e5f60718" }
}

mock_resource "aws_route_table" {
  defaults = { id = "rtb-0a1b2c3d4e5f60718" }
}

mock_resource "aws_vpc_endpoint" {
  defaults = {
    id             = "vpce-0a1b2c3d4e5f60718"
    prefix_list_id = "pl-0a1b2c3d"
  }
}

mock_resource "aws_security_group" {
  defaults = { id = "sg-0a1b2c3d4e5f60718" }
}

mock_resource "aws_kms_key" {
  defaults = {
    arn    = "arn:aws:kms:eu-west-1:210987654321:key/00000000-0000-4000-8000-000000000001"
    key_id = "00000000-0000-4000-8000-000000000001"
  }
}

mock_resource "aws_cloudwatch_log_group" {
  defaults = { arn = "arn:aws:logs:eu-west-1:210987654321:log-group:/mock" }
}

mock_resource "aws_iam_policy" {
  defaults = { arn = "arn:aws:iam::210987654321:policy/mock" }
}

mock_resource "aws_iam_role" {
  defaults = { arn = "arn:aws:iam::210987654321:role/mock" }
}

mock_resource "aws_secretsmanager_secret" {
  defaults = { arn = "arn:aws:secretsmanager:eu-west-1:210987654321:secret:mock-AbCdEf" }
}
