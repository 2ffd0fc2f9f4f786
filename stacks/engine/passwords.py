"""The passwords that the address of a state backend holds, and how texts lose them."""

from __future__ import annotations

import re
import urllib.parse

HIDDEN = "[secret]"

# user:password@ after ://, and the parameters by which libpq takes a password
_IN_URL = re.compile(r"(?<=://)([^\s:@/\"\\]*):[^\s@/\"\\]*@")
_PARAMETERS = ("password", "sslpassword")
_AS_PARAMETER = re.compile(r"(?<=[?&;\s])((?:ssl)?password)=[^\s&#\"\\]*")


def without_passwords(text: str) -> str:
    """Return a text whose URLs hold no password any more."""
    return _AS_PARAMETER.sub(rf"\1={HIDDEN}", _IN_URL.sub(rf"\1:{HIDDEN}@", text))


def passwords_of(url: str) -> tuple[str, ...]:
    """Return the passwords in a URL, as they stand there and as they are meant.

    A URL that is not well-formed has one too: what is between the first colon and the last @.
    """
    rest = url.partition("://")[2]
    query = rest.partition("?")[2]
    user = rest.removesuffix(f"?{query}").rpartition("@")[0]
    pairs = (pair.partition("=") for pair in query.partition("#")[0].split("&"))
    raw = [user.partition(":")[2]] + [value for name, _, value in pairs if name in _PARAMETERS]
    found: list[str] = []
    for each in filter(None, raw):
        plain = urllib.parse.unquote(each)
        found += [each, plain, urllib.parse.unquote_plus(each), urllib.parse.quote(plain, safe="")]
        found.append(f":{each}@")  # a short one is hidden where it is surely a password
    return tuple(dict.fromkeys(found))
