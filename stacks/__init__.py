"""The Pulumi programs and the runner that applies them; driven by path, never imported."""
