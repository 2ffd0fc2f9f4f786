"""Verifying a downloaded bundle without anybody: signature, checksums, content, attestation.

Everything is read from the folder; nothing is unpacked to disk.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from control_plane.adapters.terraform import minisign
from control_plane.adapters.terraform.attestation import PAYLOAD_TYPE, pre_authentication
from control_plane.adapters.terraform.packing import content_digest, sums
from control_plane.domain.engine import Check

PUBLIC_KEY: Final = "tenantplane-bundle.pub"
SUMS: Final = "SHA256SUMS"
MANIFEST: Final = "MANIFEST.json"
RELEASE: Final = "release.auto.tfvars.json"
_MAX_UNPACKED: Final = 64 * 1024 * 1024


class BundleUnreadable(ValueError):
    """The folder does not hold one downloaded bundle; the sentence says what is missing."""


@dataclass(frozen=True, kw_only=True)
class BundleReport:
    """What a verification found, and by which key."""

    archive: str
    sha256: str
    key_id: str
    key_from: str
    checks: tuple[Check, ...]

    @property
    def is_ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON."""
        return {"ok": self.is_ok, **asdict(self)}


class _Fault(Exception):
    """Why a check failed."""


def verify_folder(folder: Path, public_key: Path | None = None) -> BundleReport:
    """Verify the one archive in ``folder`` and return what was found.

    ``public_key`` is a minisign public key file from elsewhere. Raises ``BundleUnreadable`` when
    there is nothing to verify or no key to verify it with.
    """
    archives = sorted(folder.glob("*.tar.gz"))
    if len(archives) != 1:
        found = f"{len(archives)} archives" if archives else "no archive"
        raise BundleUnreadable(
            f"{folder} contains {found} (*.tar.gz), but must contain exactly one"
        )
    (archive,) = archives
    content = archive.read_bytes()
    key_file = public_key or folder / PUBLIC_KEY
    key, key_id = _key(key_file)
    sha256 = hashlib.sha256(content).hexdigest()

    def beside(suffix: str) -> bytes:
        file = archive.with_name(archive.name + suffix)
        if not file.is_file():
            raise _Fault(f"{file.name} is missing")
        return file.read_bytes()

    signature = _checked(
        "signature", lambda: _signature(key, beside(".minisig"), archive.name, content)
    )

    def signed() -> bytes:
        if not signature.ok:  # nobody answers for these bytes
            raise _Fault("not checked, because the signature is invalid")
        return content

    content_check = _checked("content", lambda: _content(signed()))
    checks = (
        signature,
        _checked("checksums", lambda: _checksums(signed())),
        content_check,
        _checked(
            "attestation",
            lambda: _attestation(key, beside(".attestation.json"), sha256, content_check),
        ),
    )
    return BundleReport(
        archive=archive.name,
        sha256=sha256,
        key_id=key_id,
        key_from=str(key_file),
        checks=checks,
    )


def _checked(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name=name, ok=True, detail=look())
    except _Fault as fault:
        return Check(name=name, ok=False, detail=str(fault))


def _key(file: Path) -> tuple[str, str]:
    """Return a minisign public key file's text and the id of the key."""
    try:
        text = file.read_text(encoding="utf-8")
        raw = base64.b64decode(text.splitlines()[1], validate=True)
    except (OSError, ValueError, IndexError):
        raw, text = b"", ""
    if len(raw) != 42:
        raise BundleUnreadable(
            f"{file} is not a minisign public key; use the one that came with the bundle, or "
            f"--public-key"
        )
    return text, raw[2:10][::-1].hex().upper()


def _signature(key: str, signature: bytes, name: str, content: bytes) -> str:
    try:
        trusted = minisign.verify(key, signature.decode("utf-8", "replace"), content)
    except minisign.SignatureInvalid as error:
        raise _Fault(str(error)) from None
    wanted = f"file:{name} sha256:{hashlib.sha256(content).hexdigest()}"
    if trusted != wanted:
        raise _Fault(f"the signature belongs to another file: {trusted}")
    return trusted


def _checksums(content: bytes) -> str:
    """Compare SHA256SUMS with every file of the archive: none missing, none unlisted."""
    files = _files(content)
    listed = files.pop(SUMS, b"").decode("utf-8", "replace")
    if not listed:
        raise _Fault(f"the archive does not contain {SUMS}")
    actual = sums(files)
    if listed != actual:
        differing = sorted(set(listed.splitlines()) ^ set(actual.splitlines()))
        name = differing[0].partition("  ")[2] if differing else SUMS
        raise _Fault(f"{name} does not match {SUMS}")
    return f"{len(files)} files match {SUMS}"


def _content(content: bytes) -> str:
    """Compute the content digest and compare it with what receipt and manifest will quote."""
    files = _files(content)
    computed = content_digest(files)
    try:
        manifest = json.loads(files[MANIFEST])["content_digest"]
        release = json.loads(files[RELEASE])["release"]["content_digest"]
    except (LookupError, TypeError, ValueError, RecursionError):
        raise _Fault(f"{MANIFEST} or {RELEASE} cannot be read") from None
    for name, stated in ((MANIFEST, manifest), (RELEASE, release)):
        if stated != computed:
            raise _Fault(f"the content digest is {computed}, and {name} says {stated}")
    return computed


def _files(content: bytes) -> dict[str, bytes]:
    """Return path below the root -> bytes of every file of the archive."""
    try:
        with tarfile.open(fileobj=io.BytesIO(_unzipped(content)), mode="r:") as archive:
            found = [
                # a link is looked at, never followed
                (entry.name, archive.extractfile(entry) if entry.isreg() else None)
                for entry in archive
            ]
            read = [(name, None if file is None else file.read()) for name, file in found]
    except (OSError, EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise _Fault("the archive cannot be read") from error
    files: dict[str, bytes] = {}
    for path, plain in read:
        name = path.partition("/")[2]
        if plain is None or not name or name in files:
            raise _Fault(f"{path} is not a regular file, or is duplicated")
        files[name] = plain
    return files


def _unzipped(content: bytes) -> bytes:
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
        raw = stream.read(_MAX_UNPACKED + 1)
    if len(raw) > _MAX_UNPACKED:
        raise _Fault("the archive unpacks to more than 64 MiB, too large for a bundle")
    return raw


def _decoded(text: str) -> bytes:
    """Return the bytes of the one spelling that base64 has for them. Raises ``ValueError``."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("bits after the end")
    return raw


def _attestation(key: str, envelope: bytes, sha256: str, content: Check) -> str:
    """Check the DSSE signature and that the statement is about this archive."""
    try:
        document: Mapping[str, Any] = json.loads(envelope)
        kind = document["payloadType"]
        payload = _decoded(document["payload"])
        signature = _decoded(document["signatures"][0]["sig"])
        public = base64.b64decode(key.splitlines()[1])[10:]
        Ed25519PublicKey.from_public_bytes(public).verify(
            signature, pre_authentication(PAYLOAD_TYPE, payload)
        )
        stated = json.loads(payload)
        subject = stated["subject"][0]["digest"]["sha256"]
        rehearsal, checks = stated["predicate"]["rehearsal"], stated["predicate"]["checks"]
        attested = stated["predicate"]["content_digest"]
        passed = sum(bool(check["ok"]) for check in checks)
    except InvalidSignature:
        raise _Fault("the attestation was not signed with this key") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        raise _Fault("the attestation cannot be read") from None
    if kind != PAYLOAD_TYPE:
        raise _Fault("the attestation has another type")
    if subject != sha256:
        raise _Fault("the attestation is about another archive")
    if content.ok and attested != content.detail:
        raise _Fault("the attestation is about another content digest")
    return f"rehearsal {rehearsal}: {passed} of {len(checks)} checks passed"
