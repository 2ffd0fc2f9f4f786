"""Connections to this machine never go through a proxy, whatever the environment says.

An embedded installation talks to itself on loopback; a proxy of the company cannot reach that, and
must not see it.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any, Final

from control_plane.domain.networks import is_loopback

ADDRESSES: Final = ("127.0.0.1", "localhost", "::1")


def connection_options(url: str) -> dict[str, Any]:
    """Return the options of an httpx client for a URL: on loopback, no proxy and no `.netrc`."""
    import httpx  # noqa: PLC0415 - who sets the environment alone does not need it

    parsed = httpx.URL(url)
    if not is_loopback(parsed.host):
        return {}
    verify = httpx.create_ssl_context() if parsed.scheme == "https" else False
    return {"trust_env": False, "verify": verify}


def keep_loopback_direct(environment: MutableMapping[str, str]) -> None:
    """Name loopback in ``no_proxy`` and ``NO_PROXY``, for libraries that read the environment."""
    for name in ("no_proxy", "NO_PROXY"):
        present = [part.strip() for part in environment.get(name, "").split(",") if part.strip()]
        if "*" not in present:
            missing = [address for address in ADDRESSES if address not in present]
            environment[name] = ",".join((*present, *missing))
