"""Where keys come from."""

from control_plane.adapters.secrets.files import FileSecretStore, create_secret, read_secret

__all__ = ["FileSecretStore", "create_secret", "read_secret"]
