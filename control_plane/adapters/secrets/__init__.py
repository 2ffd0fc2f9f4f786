"""Where keys come from."""

from control_plane.adapters.secrets.files import FileSecretStore

__all__ = ["FileSecretStore"]
