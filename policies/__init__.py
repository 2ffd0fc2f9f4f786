"""Policy rules over a plan or a resulting state, the same for Pulumi and Terraform."""
