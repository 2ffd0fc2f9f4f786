"""The rules documents of an installation: YAML in a folder, checked, parsed, with digests."""
