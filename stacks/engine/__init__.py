"""The runner's parts: processes, the private parts of the SDK, plans, states, operations."""
