"""Where bytes are kept under keys."""

from pathlib import Path

from control_plane.adapters.objects.files import FileObjectStore
from control_plane.adapters.objects.s3 import S3ObjectStore

__all__ = ["FileObjectStore", "S3ObjectStore", "open_store"]


def open_store(url: str | None, *, folder: Path) -> FileObjectStore | S3ObjectStore:
    """Return the store of ``file:///folder`` or ``s3://bucket/prefix``, or ``folder`` without.

    Raises ``SettingInvalid``.
    """
    if url is not None and url.startswith("s3://"):
        return S3ObjectStore.at(url)
    return FileObjectStore(folder if url is None else Path(url.removeprefix("file://")))
