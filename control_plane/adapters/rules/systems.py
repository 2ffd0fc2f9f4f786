"""From the document of systems to what the domain knows of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from control_plane.adapters.rules.documents import Document, nearest
from control_plane.domain.networks import is_loopback
from control_plane.domain.systems import (
    KNOWN,
    NONE,
    RECORD,
    ChannelRules,
    SystemEntry,
    SystemPort,
    SystemRules,
)

_CHATS: Final = frozenset({SystemPort.SLACK, SystemPort.TEAMS})
_URLS: Final = ("url", "login_url")


def parse_systems(document: Document) -> SystemRules:
    """Return the systems. Raises ``SettingInvalid`` naming the place of what cannot be used."""
    content = document.content
    entries = {}
    for port in SystemPort:
        chat = port in _CHATS
        given = content["chat"][port] if chat else content[port]
        entries[port] = _entry(document, f"chat.{port}" if chat else str(port), port, given)
    return SystemRules(
        digest=document.digest, channels=_channels(content["channels"]), entries=entries
    )


def _channels(given: Mapping[str, Any]) -> ChannelRules:
    return ChannelRules(
        brand=given["brand"], invites=tuple(given["invites"]), chat=dict(given["chat"])
    )


def _entry(
    document: Document, where: str, port: SystemPort, given: Mapping[str, Any]
) -> SystemEntry:
    system = given["system"]
    known = (NONE, RECORD, *KNOWN[port])
    if system not in known:
        reason = f"{system} is not a system of {port}: use {', '.join(known)}"
        raise document.refused(f"{where}.system", f"{reason}{nearest(system, known)}")
    options = {name: value for name, value in given.items() if name != "system"}
    for name in _URLS:
        if name in options:
            _require_url(document, f"{where}.{name}", options[name])
    if system == "smtp":
        _require_smtp(document, where, options)
    if system == "salesforce" and options["grant"] == "jwt" and "username" not in options:
        raise document.refused(where, "the grant jwt needs `username`: the user it acts as")
    return SystemEntry(port=port, system=system, options=options)


def _require_url(document: Document, where: str, url: str) -> None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))
    if not host or not is_safe:
        raise document.refused(where, "must be an https:// URL; http:// is for loopback alone")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise document.refused(where, "must have no user, password, query or fragment")


def _require_smtp(document: Document, where: str, options: Mapping[str, Any]) -> None:
    if options["security"] == "plain" and not is_loopback(options["host"]):
        reason = "plain is for a server on loopback alone: use starttls or tls"
        raise document.refused(f"{where}.security", reason)
    if ("username" in options) != ("credential" in options):
        reason = "`username` and `credential` belong together: name both or none"
        raise document.refused(where, reason)
