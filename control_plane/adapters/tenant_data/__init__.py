"""Data of tenants in S3, DynamoDB, Secrets Manager and Parameter Store: listed, copied, removed."""
