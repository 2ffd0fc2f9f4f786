"""The emulated cloud of the embedded mode and the provider that speaks to it."""
