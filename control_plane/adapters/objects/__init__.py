"""Where bytes are kept under keys."""

from control_plane.adapters.objects.files import FileObjectStore

__all__ = ["FileObjectStore"]
