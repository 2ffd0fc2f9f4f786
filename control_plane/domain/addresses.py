"""URLs that somebody else names, and the addresses that they may lead to.

What is refused are the special purpose registries of IANA (RFC 6890 and its updates), so that
nobody makes this process call what only it can reach.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from control_plane.domain.event_errors import UrlRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
PORTS: Final = frozenset({443, 8443})
LONGEST_URL: Final = 2000
_REFUSED_4: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # "this network"
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # private, RFC 1918
        "100.64.0.0/10",  # shared by carriers, RFC 6598; metadata of some clouds
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link local; metadata of most clouds
        "192.0.0.0/24", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",  # protocols, examples
        "192.88.99.0/24",  # relays of 6to4
        "198.18.0.0/15",  # benchmarks
        "224.0.0.0/4", "240.0.0.0/4",  # multicast, reserved, broadcast
        "168.63.129.16/32",  # the host of a virtual machine in Azure: public, and only inside
    )
)  # fmt: skip
# everything outside of it is refused: loopback, mapped and translated IPv4, private, link local,
# site local, multicast
_GLOBAL_6: Final = ipaddress.IPv6Network("2000::/3")
_REFUSED_6: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocols, among them Teredo, which holds an IPv4 address
        "2001:db8::/32", "3fff::/20",  # examples
        "2002::/16",  # 6to4, which holds an IPv4 address
    )
)  # fmt: skip
_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


@dataclass(frozen=True)
class Target:
    """A URL in its parts; ``host`` is a name or an address, without brackets."""

    url: str
    scheme: str
    host: str
    port: int
    is_address: bool


def parse_target(url: str, *, loopback: bool = False) -> Target:
    """Return what a URL names, before anything is resolved.

    ``loopback`` allows any port, and HTTP without TLS, for what turns out to be this machine.
    Raises ``UrlRefused`` with a sentence that does not repeat the URL.
    """
    if len(url) > LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise UrlRefused(f"must be at most {LONGEST_URL} printable ASCII characters, a name of "
                         "another script as its A-label (xn--…)")  # fmt: skip
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise UrlRefused("is not a URL") from None
    if parts.scheme != "https" and not (loopback and parts.scheme == "http"):
        raise UrlRefused("must begin with https://")
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        raise UrlRefused("must not have credentials: a subscription is authenticated by its secret")
    if "\\" in url or parts.fragment or url.endswith("#"):
        raise UrlRefused("must have no backslash and no fragment")
    host, is_address = _host(parts.hostname or "")
    port = port if port is not None else {"https": 443, "http": 80}[parts.scheme]
    if port not in PORTS and not loopback:
        raise UrlRefused("must have one of the ports " + ", ".join(map(str, sorted(PORTS))))
    return Target(url=url, scheme=parts.scheme, host=host, port=port, is_address=is_address)


def _host(host: str) -> tuple[str, bool]:
    name = host.removesuffix(".")
    try:
        return str(ipaddress.ip_address(name)), True
    except ValueError:
        pass
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise UrlRefused("must name a host")
    if _NUMBER.fullmatch(labels[-1]):  # 2130706433, 0x7f.1, 0177.0.0.1: addresses in disguise
        raise UrlRefused("must write an address as four decimal numbers")
    return name, False


def require_reachable(target: Target, found: list[Address], *, loopback: bool = False) -> None:
    """Refuse a target when any address that its name has may not be called.

    Raises ``UrlRefused``.
    """
    if not found:
        raise UrlRefused("names a host that has no address")
    if loopback and all(address.is_loopback for address in found):
        return
    if target.scheme != "https" or target.port not in PORTS:
        raise UrlRefused("must begin with https:// and have one of the ports "
                         + ", ".join(map(str, sorted(PORTS))))  # fmt: skip
    if not all(map(is_public, found)):
        raise UrlRefused("leads to an address that is not public")


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _REFUSED_4)
    if address.scope_id is not None or address not in _GLOBAL_6:
        return False
    return not any(address in network for network in _REFUSED_6)
