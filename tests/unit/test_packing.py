"""Archives of bundles: the same bytes for the same files, and nothing is unpacked elsewhere."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from control_plane.adapters.terraform.packing import pack, unpack

FILES = {"main.tf": b"# main\n", "modules/data/outputs.tf": b"# outputs\n"}


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    root = unpack(pack(FILES, "bundle-1"), tmp_path)
    assert root == tmp_path / "bundle-1"
    found = {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    assert found == FILES


def test_the_same_files_are_the_same_bytes() -> None:
    assert pack(FILES, "bundle-1") == pack(dict(reversed(FILES.items())), "bundle-1")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bundle-1/../../outside", tarfile.REGTYPE),
        ("/outside", tarfile.REGTYPE),
        ("bundle-1/link", tarfile.SYMTYPE),
        ("bundle-1/folder", tarfile.DIRTYPE),
    ],
)
def test_an_entry_that_is_no_file_below_the_folder_is_refused(
    tmp_path: Path, name: str, kind: bytes
) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "main.tf"
        archive.addfile(entry, io.BytesIO(b""))
    inside = tmp_path / "inside"
    inside.mkdir()
    with pytest.raises(ValueError, match="not a file of a bundle"):
        unpack(raw.getvalue(), inside)
    assert list(inside.iterdir()) == []
    assert not (tmp_path / "outside").exists()
