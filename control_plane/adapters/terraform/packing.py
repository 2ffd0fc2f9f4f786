"""Packing: the same files give the same bytes."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from control_plane.domain.canonical import digest

# In an archive, but no part of its content: what is derived from modules and inputs, or says so.
_DERIVED: Final = frozenset(
    {
        ".terraform.lock.hcl",
        "MANIFEST.json",
        "MODE-C.md",
        "README.md",
        "SHA256SUMS",
        "release.auto.tfvars.json",
    }
)
_DERIVED_FOLDER: Final = "review/"
_MODE: Final = 0o644


def _left_by_terraform(part: str) -> bool:
    # the lock file, .terraform.lock.hcl, is one of ours
    return part == ".terraform" or part.startswith("terraform.tfstate")


def read_tree(folder: Path) -> dict[str, bytes]:
    """Return relative path -> content of every file of a folder, without what Terraform leaves."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not any(map(_left_by_terraform, relative.parts)):
            found[relative.as_posix()] = path.read_bytes()
    return found


def write_tree(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder; a path that leaves it is refused with ``ValueError``."""
    root = folder.resolve()
    for name, content in files.items():
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise ValueError(f"not a path inside the bundle: {name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def sums(files: Mapping[str, bytes]) -> str:
    """Return the text of SHA256SUMS, as ``sha256sum -c`` reads it."""
    lines = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    return "".join(lines)


def content_digest(files: Mapping[str, bytes]) -> str:
    """Return the digest of an archive's content: module files and ``terraform.tfvars.json``.

    SHA-256 over the canonical JSON (RFC 8785) of an object that maps each path to the SHA-256 of
    its file in hexadecimal digits. Files that are derived from the content do not count.
    """
    return digest(
        {
            name: hashlib.sha256(content).hexdigest()
            for name, content in files.items()
            if name not in _DERIVED and not name.startswith(_DERIVED_FOLDER)
        }
    )


def pack(files: Mapping[str, bytes], root: str) -> bytes:
    """Return a tar.gz whose bytes depend on nothing but names and contents.

    Sorted names, no owners, time 0, one mode; every file lies under ``root``.
    """
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files):
            entry = tarfile.TarInfo(f"{root}/{name}")
            entry.size = len(files[name])
            entry.mode = _MODE
            entry.mtime = 0
            archive.addfile(entry, io.BytesIO(files[name]))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=packed, mode="wb", mtime=0, compresslevel=9) as stream:
        stream.write(raw.getvalue())
    return packed.getvalue()


def unpack(archive: bytes, folder: Path) -> Path:
    """Extract an archive of ``pack`` and return the folder of its files.

    Raises ``ValueError`` for an entry that is not a file below ``folder``. The filters of
    ``tarfile`` came with Python 3.11.4, and Debian 12 has an earlier one.
    """
    inside, names = folder.resolve(), []
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as opened:
        for entry in opened:
            target = (inside / entry.name).resolve()
            if not entry.isreg() or not target.is_relative_to(inside):
                raise ValueError(f"the archive has {entry.name!r}, which is not a file of a bundle")
            content = opened.extractfile(entry)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.read() if content is not None else b"")
            names.append(entry.name)
    return folder / names[0].split("/", 1)[0]
