"""Gets a Chromium without root: from the npm registry, once, into the cache outside of the tree.

The package ``@sparticuz/chromium`` ships the program itself, with the libraries that a bare machine
lacks. npm checks its digest (``INTEGRITY``); nothing of the package is run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from control_plane.adapters.cache import cache_folder

PACKAGE: Final = "@sparticuz/chromium"
VERSION: Final = "153.0.0"
INTEGRITY: Final = (
    "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQ"
    "wA=="
)
AXE: Final = "axe-core"  # MPL 2.0
AXE_VERSION: Final = "4.14.1"
AXE_INTEGRITY: Final = (
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVG"
    "tQ=="
)
SECONDS: Final = 300
# Brotli is in Node's standard library, and in none of Python's
_UNPACK: Final = (
    "const z=require('zlib'),f=require('fs'),[a,b]=process.argv.slice(1);"
    "f.writeFileSync(b,z.brotliDecompressSync(f.readFileSync(a)))"
)
_ARCHIVES: Final = ("al2023", "fonts", "swiftshader")


class BrowserUnavailable(Exception):
    """There is no browser for this machine; the sentence says why."""


@dataclass(frozen=True)
class Browser:
    """A Chromium, and what its process needs in its environment."""

    program: Path
    environment: Mapping[str, str]


def ensure_browser() -> Browser:
    """Return the browser, fetched at the first use. Raises ``BrowserUnavailable``."""
    folder = cache_folder() / f"chromium-{VERSION}"
    if not (folder / "chromium").exists():
        _fetch(folder)
    return Browser(
        program=folder / "chromium",
        environment={
            **os.environ,
            "LD_LIBRARY_PATH": f"{folder / 'lib'}:{folder}",
            "FONTCONFIG_FILE": str(_fonts(folder)),
            "VK_DRIVER_FILES": str(folder / "vk_swiftshader_icd.json"),
        },
    )


def _fonts(folder: Path) -> Path:
    """Write where the package's fonts lie; its own document names another folder."""
    file = folder / "ours.conf"
    file.write_text(
        '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>'
        f"<dir>{folder / 'fonts'}</dir><dir>/usr/share/fonts</dir>"
        f"<cachedir>{folder / 'font-cache'}</cachedir></fontconfig>",
        encoding="utf-8",
    )
    return file


def _fetch(folder: Path) -> None:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise BrowserUnavailable(f"{PACKAGE} has no build for {sys.platform} here")
    for needed in ("npm", "node"):
        if shutil.which(needed) is None:
            raise BrowserUnavailable(f"{needed} is not installed, so no browser can be fetched")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        work = Path(name)
        _unpack(_packed(work, PACKAGE, VERSION, INTEGRITY), work / "made")
        try:
            (work / "made").rename(folder)
        except OSError:
            if not (folder / "chromium").exists():  # nobody else was faster
                raise


def ensure_axe() -> str:
    """Return the program that looks for what keeps people from using a page.

    Fetched at the first use, for tests alone. Raises ``BrowserUnavailable``.
    """
    file = cache_folder() / f"axe-core-{AXE_VERSION}.js"
    if not file.exists():
        if shutil.which("npm") is None:
            raise BrowserUnavailable("npm is not installed, so axe-core cannot be fetched")
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as name:
            archive = _packed(Path(name), AXE, AXE_VERSION, AXE_INTEGRITY)
            with tarfile.open(archive) as packed:
                member = packed.extractfile("package/axe.min.js")
                if member is None:
                    raise BrowserUnavailable(f"{AXE}@{AXE_VERSION} has no axe.min.js")
                draft = Path(name) / "axe.js"
                draft.write_bytes(member.read())
            draft.replace(file)
    return file.read_text(encoding="utf-8")


def _packed(work: Path, package: str, version: str, integrity: str) -> Path:
    """Return a package's archive, as the registry has it."""
    command = ["npm", "pack", f"{package}@{version}", "--json", "--pack-destination", str(work)]
    try:
        done = subprocess.run(
            command, capture_output=True, check=True, timeout=SECONDS, text=True, cwd=work
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BrowserUnavailable(f"npm could not fetch {package}@{version}") from error
    archive = work / str(json.loads(done.stdout)[0]["filename"]).replace("@", "").replace("/", "-")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if f"sha512-{digest}" != integrity:
        raise BrowserUnavailable(f"{package}@{version} is not what it was: its digest differs")
    return archive


def _unpack(archive: Path, made: Path) -> None:
    made.mkdir()
    with tarfile.open(archive) as packed:
        for name in ("chromium", *(f"{each}.tar" for each in _ARCHIVES)):
            member = packed.extractfile(f"package/bin/{name}.br")
            if member is None:
                raise BrowserUnavailable(f"{PACKAGE}@{VERSION} has no {name}")
            (made / f"{name}.br").write_bytes(member.read())
    for name in ("chromium", *(f"{each}.tar" for each in _ARCHIVES)):
        source = made / f"{name}.br"
        subprocess.run(
            ["node", "-e", _UNPACK, str(source), str(made / name)], check=True, timeout=SECONDS
        )
        source.unlink()
    for each in _ARCHIVES:
        with tarfile.open(made / f"{each}.tar") as inner:
            _extract(inner, made)
        (made / f"{each}.tar").unlink()
    (made / "chromium").chmod(0o755)


def _extract(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the plain files of an archive; Python 3.11.2 has no filters of its own."""
    for member in archive:
        source = archive.extractfile(member) if member.isfile() else None
        target = (folder / member.name).resolve()
        if source is None or not target.is_relative_to(folder.resolve()):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read())


if __name__ == "__main__":
    try:
        print(ensure_browser().program)  # noqa: T201 - a tool
    except BrowserUnavailable as reason:
        sys.exit(str(reason))
