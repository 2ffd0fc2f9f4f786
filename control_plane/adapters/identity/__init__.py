"""The embedded issuer of access tokens, for installations without an identity provider."""
