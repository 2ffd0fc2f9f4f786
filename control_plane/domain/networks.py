"""The networks that may reach a tenant's Hub: what no stack could build is refused here.

A rule of a security group is made for each network, so there are no more than AWS allows in one
group by default (60), each once, and each narrower than what the specs take (``stacks/spec.py``).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from control_plane.domain.errors import InvalidInput

MOST_NETWORKS: Final = 60
WIDEST_PREFIX: Final = 8
# RFC 6890: "this network", loopback, link local; RFC 1112: multicast and reserved
_NOBODY: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
)


def allowed_networks(given: Sequence[str], *, field: str) -> tuple[str, ...]:
    """Return IPv4 networks as ``10.0.0.0/8``; a single address is a /32.

    Networks may overlap. Raises ``InvalidInput`` naming ``field`` and the place in the list: for
    what is not a network, for IPv6, for a network wider than /8, for one from which nobody comes,
    such as loopback, for one that repeats, and for more than 60.
    """
    if len(given) > MOST_NETWORKS:
        raise InvalidInput(
            f"There may be at most {MOST_NETWORKS} networks, the rules of one security group; "
            f"{len(given)} are given. Merge adjacent ones.",
            field=field,
        )
    found: list[str] = []
    for index, text in enumerate(given):
        try:
            found.append(_network(text, found))
        except ValueError as error:
            sentence = f"The network {_shown(text)} {error}."
            raise InvalidInput(sentence, field=f"{field}.{index}") from error
    return tuple(found)


def _network(text: str, earlier: Sequence[str]) -> str:
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError as error:
        raise ValueError("is not an IPv4 network such as 203.0.113.0/24") from error
    if network.version == 6:
        mapped = network.network_address.ipv4_mapped
        hint = f"; write the IPv4 address {mapped} as itself" if mapped else ""
        raise ValueError(f"is IPv6, and a Hub is reached by IPv4 only{hint}")
    address = text.strip().partition("/")[0]
    if address != str(network.network_address):
        raise ValueError(f"has host bits set; the network is {network}")
    if network.prefixlen < WIDEST_PREFIX:
        raise ValueError(f"is wider than /{WIDEST_PREFIX}")
    if any(network.overlaps(nobody) for nobody in _NOBODY):
        raise ValueError("holds addresses from which nobody can reach a Hub")
    if str(network) in earlier:
        raise ValueError(f"repeats the network {network}")
    return str(network)


def _shown(text: str) -> str:
    return ascii(text[:45])[1:-1]


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is this machine's own."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
