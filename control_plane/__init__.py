"""The control plane: knows tenants and runs; knows neither HTTP nor Pulumi."""
