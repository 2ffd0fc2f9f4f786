"""SAML 2.0 metadata of an identity provider: whose it is, where it signs in, its keys.

Read are OASIS saml-metadata-2.0-os and, of a certificate, the validity alone (RFC 5280, 4.1.2.5).
A document type is refused, so that no entity is ever expanded. Nothing here verifies a signature.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from xml.parsers import expat

_METADATA: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
_SIGNATURE: Final = "http://www.w3.org/2000/09/xmldsig#"
_DEEPEST: Final = 40
_MOST_NODES: Final = 20_000
_IDP: Final = f"{_METADATA} IDPSSODescriptor"
_SEQUENCE, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0x17, 0x18
_VERSION: Final = 0xA0


@dataclass(frozen=True, kw_only=True)
class SamlMetadata:
    """What metadata says of an identity provider.

    ``ends`` are the ends of the certificates for signatures, one for each that can be read;
    ``keys`` counts all of them.
    """

    entity_id: str
    sign_in_urls: tuple[str, ...]
    keys: int
    ends: tuple[datetime, ...]


def read_metadata(text: str) -> SamlMetadata:
    """Return what the metadata of one identity provider says. Raises ``ValueError``."""
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reader.begin
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    try:
        parser.Parse(text.encode("utf-8", "strict"), True)
    except (expat.ExpatError, UnicodeError) as error:
        raise ValueError("it is not XML") from error
    if len(reader.entities) != 1 or not reader.sign_in_urls:
        raise ValueError("it does not describe one identity provider")
    ends = []
    for each in reader.certificates:
        try:
            ends.append(end_of_certificate(base64.b64decode("".join(each.split()), validate=True)))
        except (ValueError, binascii.Error):
            continue
    return SamlMetadata(
        entity_id=reader.entities[0],
        sign_in_urls=tuple(reader.sign_in_urls),
        keys=len(reader.certificates),
        ends=tuple(ends),
    )


class _Reader:
    """Collects, from the events of a parser, what is under the description of a provider."""

    def __init__(self) -> None:
        self.entities: list[str] = []
        self.sign_in_urls: list[str] = []
        self.certificates: list[str] = []
        self._open: list[str] = []
        self._use: str | None = None
        self._nodes = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self._nodes += 1
        if self._nodes > _MOST_NODES or len(self._open) >= _DEEPEST:
            raise ValueError("it is too deep or has too many parts")
        self._open.append(name)
        if name == f"{_METADATA} EntityDescriptor":
            self.entities.append(attributes.get("entityID", "").strip())
        if _IDP not in self._open:
            return
        if name == f"{_METADATA} SingleSignOnService":
            self.sign_in_urls.append(attributes.get("Location", "").strip())
        elif name == f"{_METADATA} KeyDescriptor":
            self._use = attributes.get("use", "signing")
        elif name == f"{_SIGNATURE} X509Certificate" and self._use == "signing":
            self.certificates.append("")

    def end(self, name: str) -> None:
        self._open.pop()
        if name == f"{_METADATA} KeyDescriptor":
            self._use = None

    def text(self, data: str) -> None:
        is_inside = self._open[-1:] == [f"{_SIGNATURE} X509Certificate"] and _IDP in self._open
        if is_inside and self._use == "signing":
            self.certificates[-1] += data

    def refuse(self, *_: object) -> None:
        raise ValueError("it has a document type")


# --- the validity of a certificate ----------------------------------------------------------------
def end_of_certificate(content: bytes) -> datetime:
    """Return until when a certificate in DER is valid. Raises ``ValueError``."""
    outer, _ = _part(content, 0, _SEQUENCE)
    inner, _ = _part(outer, 0, _SEQUENCE)
    at = 0
    if inner[:1] == bytes([_VERSION]):
        _, at = _part(inner, at, _VERSION)
    for _ in range(3):  # serial number, algorithm, issuer
        at = _part(inner, at)[1]
    validity, _ = _part(inner, at, _SEQUENCE)
    _, at = _part(validity, 0)
    tag = validity[at] if at < len(validity) else 0
    value, _ = _part(validity, at)
    return _instant(tag, value.decode("ascii", "strict"))


def _part(content: bytes, at: int, tag: int | None = None) -> tuple[bytes, int]:
    """Return the value that begins at a place, and where the next one begins."""
    if at + 2 > len(content) or (tag is not None and content[at] != tag):
        raise ValueError("not a certificate")
    length, at = content[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or at + count > len(content):
            raise ValueError("not a certificate")
        length, at = int.from_bytes(content[at : at + count], "big"), at + count
    if at + length > len(content):
        raise ValueError("not a certificate")
    return content[at : at + length], at + length


def _instant(tag: int, text: str) -> datetime:
    if tag == _UTC_TIME:  # years from 50 on are of the last century (RFC 5280, 4.1.2.5.1)
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError("not a certificate")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
