"""Fetch the official archive of the CLI, check its digest, take the one program out of it."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

_PROGRESS_SECONDS = 2.0
_DEADLINE_SECONDS = 1800.0
_LARGEST_ARCHIVE = 1 << 30
_LARGEST_PROGRAM = 1 << 30


class ArchiveRefused(Exception):
    """The archive is unavailable, or is not the pinned one; the message is a clause."""


def fetch_program(url: str, *, sha256: str, folder: Path, report: Callable[[str], None]) -> Path:
    """Download, verify and unpack; return the path of the program inside ``folder``.

    Nothing is unpacked before the digest of the whole file is right; the file is deleted in any
    case.

    Raises:
        ArchiveRefused: with the reason.
    """
    archive = folder / "archive.tar.gz"
    try:
        found = _download(url, archive, report)
        if found != sha256.lower():
            raise ArchiveRefused(f"its SHA-256 should be {sha256}, but is {found}")
        return _unpack(archive, folder / "pulumi")
    finally:
        archive.unlink(missing_ok=True)


def _download(url: str, archive: Path, report: Callable[[str], None]) -> str:
    """Stream the file to the disk; return its SHA-256."""
    import httpx  # noqa: PLC0415 - every process of the product imports this, hardly any downloads

    digest = hashlib.sha256()
    done, started, last = 0, time.monotonic(), time.monotonic()
    try:
        with (
            httpx.stream(
                "GET", url, timeout=httpx.Timeout(60.0, connect=10.0), follow_redirects=True
            ) as answer,
            archive.open("wb") as file,
        ):
            if answer.status_code != httpx.codes.OK:
                raise ArchiveRefused(f"the server answered {answer.status_code}")
            size = answer.headers.get("content-length", "")
            of = f" of {int(size) >> 20}" if size.isdecimal() else ""
            for block in answer.iter_raw():
                digest.update(block)
                file.write(block)
                done += len(block)
                now = time.monotonic()
                if done > _LARGEST_ARCHIVE or now - started > _DEADLINE_SECONDS:
                    raise ArchiveRefused("it is too large, or the download timed out")
                if now - last >= _PROGRESS_SECONDS:
                    last = now
                    report(f"downloading the Pulumi CLI: {done >> 20}{of} MB")
    except httpx.RemoteProtocolError as error:
        raise ArchiveRefused(f"the download was interrupted after {done} bytes") from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise ArchiveRefused(f"the download failed ({type(error).__name__})") from error
    return digest.hexdigest()


def _unpack(archive: Path, program: Path) -> Path:
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if member.isfile() and path.name == "pulumi" and path.parent.name in {"", "pulumi"}:
                    if member.size > _LARGEST_PROGRAM:
                        break
                    source = tar.extractfile(member)
                    if source is None:
                        break
                    with source, program.open("wb") as file:
                        shutil.copyfileobj(source, file)
                    program.chmod(0o755)
                    return program
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ArchiveRefused("it is not a valid tar.gz") from error
    raise ArchiveRefused("it contains no pulumi program")
