"""Where a PostgreSQL URL leads, and whether it asks for encryption on the way there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from control_plane.domain.networks import is_loopback

_TLS_MODES: Final = {"require", "verify-ca", "verify-full"}  # of libpq's `sslmode`
_PLACES: Final = {"host", "hostaddr"}


def is_open_on_the_network(url: str) -> bool:
    """Tell whether a PostgreSQL URL may lead to another machine without TLS.

    Every host counts that any part of the URL names: of a parameter that is given twice libpq takes
    the last one, and the driver of the engine's state backend the first.
    """
    if urlsplit(url).scheme not in {"postgres", "postgresql"}:
        return False
    given = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    modes = [value for name, value in given if name == "sslmode"]
    if modes and set(modes) <= _TLS_MODES:
        return False
    return not all(map(_is_here, _hosts(url, given)))


def _hosts(url: str, given: list[tuple[str, str]]) -> Iterator[str]:
    places = [value for name, value in given if name in _PLACES]
    try:
        read = conninfo_to_dict(url)
        places += [str(read[name]) for name in _PLACES if read.get(name)]
    except psycopg.ProgrammingError:
        pass  # a parameter of the other driver, or a URL that the connection refuses by itself
    for place in urlsplit(url).netloc.rpartition("@")[2].split(","):
        places.append(unquote(place.rpartition(":")[0] if _has_port(place) else place))
    for place in places:
        yield from (host for host in place.split(",") if host)


def _has_port(place: str) -> bool:
    return ":" in place.rpartition("]")[2]


def _is_here(host: str) -> bool:
    return host.startswith("/") or is_loopback(host)
