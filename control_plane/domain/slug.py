"""Tenant slugs and the prefixes of physical names.

A slug matches ``[a-z][a-z0-9]*(-[a-z0-9]+)*``, has 3 to 32 characters, never changes and is never
used again. 32 and the single hyphens come from the tightest consumers (load balancer names, RDS
identifiers, DNS labels). Whether a slug is taken is for the database's unique constraint to say:
``candidates`` yields what to insert next.
"""

from __future__ import annotations

import base64
import hashlib
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SLUG: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*\Z")
MIN_LENGTH: Final = 3
MAX_LENGTH: Final = 32
LAST_COUNTED: Final = 9  # acme-2 … acme-9, then a suffix from the tenant id
# Security groups may not begin with sg-, parameters not with aws or ssm, buckets not with the rest
# (EC2 CreateSecurityGroup, SSM PutParameter, S3 "General purpose bucket naming rules").
RESERVED_STARTS: Final = ("sg-", "aws", "ssm", "amzn-", "sthree-", "xn--")
_SHORT_SLUG: Final = 20
_SHORT_HASH: Final = 6
_SUFFIX_HASHES: Final = (4, 8, 16)
_FALLBACK_HASH: Final = 8
# Letters that no Unicode decomposition turns into ASCII; upper case is folded before.
_LETTERS: Final = str.maketrans({
    "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "ł": "l", "ŧ": "t", "ŋ": "n",
    "þ": "th", "ı": "i", "ß": "ss", "&": " and ",
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class SlugRules:
    """The slug rules document, parsed.

    ``legal_suffixes`` are folded and without punctuation (``spa``, ``gmbhandcokg``);
    ``second_level_domains`` are public suffixes of two labels (``co.uk``).
    """

    digest: str
    legal_suffixes: frozenset[str]
    reserved: frozenset[str]
    second_level_domains: frozenset[str]


def slug_for(legal_name: str, domain: str, tenant_id: str, rules: SlugRules) -> str:
    """Return the slug that a company should have if nobody has it yet; always a valid one.

    From the legal name; when that gives nothing, from the main label of the e-mail domain,
    otherwise ``t-`` and 8 base32 characters. What is reserved, shorter than 3 or one word over 32
    gets a suffix of 4 base32 characters. Both come from a hash of ``tenant_id``.
    """
    name = _hyphenated(_without_legal_suffix(folded(legal_name).split(), rules))
    if not name:
        name = _hyphenated(folded(_main_label(domain, rules)).split())
    if not name:
        return f"t-{_hash(tenant_id, _FALLBACK_HASH)}"
    if name[0].isdigit():
        name = f"c-{name}"
    cut = _cut_at_hyphen(name)
    if cut is None:
        return _with_suffix(name, _hash(tenant_id, _SUFFIX_HASHES[0]))
    if len(cut) < MIN_LENGTH or cut in rules.reserved:
        return _with_suffix(cut, _hash(tenant_id, _SUFFIX_HASHES[0]))
    return cut


def candidates(base: str, tenant_id: str) -> Iterator[str]:
    """Yield the slugs to try when others have the earlier ones: base, base-2 … -9, hash suffixes.

    Twelve in all; the last has 80 bits of the tenant id's hash, so it is never taken by chance.
    """
    yield base
    for number in range(2, LAST_COUNTED + 1):
        yield _with_suffix(base, str(number))
    for length in _SUFFIX_HASHES:
        yield _with_suffix(base, _hash(tenant_id, length))


def short_name(slug: str, deployment_id: str) -> str:
    """Return the prefix of a deployment's physical names: at most 27 characters.

    The hash of the deployment id keeps two deployments of one tenant apart. A slug that would
    begin a name in a way that AWS keeps for itself gets ``c-`` before it, as a digit does.
    """
    if f"{slug}-".startswith(RESERVED_STARTS):
        slug = f"c-{slug}"
    return f"{slug[:_SHORT_SLUG].rstrip('-')}-{_hash(deployment_id, _SHORT_HASH)}"


def is_slug(text: str) -> bool:
    """Tell whether a text has the form of a slug."""
    return MIN_LENGTH <= len(text) <= MAX_LENGTH and bool(SLUG.match(text))


def folded(text: str) -> str:
    """Return the text in lower-case ASCII: ``Straße & Söhne`` is ``strasse  and  sohne``."""
    folded = text.casefold().translate(_LETTERS)
    return unicodedata.normalize("NFKD", folded).encode("ascii", "ignore").decode()


def _without_legal_suffix(words: list[str], rules: SlugRules) -> list[str]:
    """Drop trailing legal forms, however they are dotted or spaced, while a name remains."""
    while True:
        for start in range(1, len(words)):
            if re.sub(r"[^a-z0-9]", "", "".join(words[start:])) in rules.legal_suffixes:
                words = words[:start]
                break
        else:
            return words


def _hyphenated(words: list[str]) -> str:
    return re.sub(r"[^a-z0-9]+", "-", " ".join(words)).strip("-")


def _main_label(domain: str, rules: SlugRules) -> str:
    """Return the label that names the company: ``example`` of ``mail.example.co.uk``."""
    labels = [label for label in domain.strip().lower().split(".") if label]
    suffix = 2 if ".".join(labels[-2:]) in rules.second_level_domains else 1
    if not labels:
        return ""
    label = labels[-suffix - 1] if len(labels) > suffix else labels[0]
    try:
        return label.encode("ascii").decode("idna")
    except UnicodeError:
        return label


def _cut_at_hyphen(name: str) -> str | None:
    """Return the longest run of whole words that fits, or None when not even one does."""
    if len(name) <= MAX_LENGTH:
        return name
    cut = name[: MAX_LENGTH + 1].rpartition("-")[0]
    # "c" of "c-4…": the prefix of a digit is no word of the name
    return cut if len(cut) >= MIN_LENGTH else None


def _with_suffix(base: str, suffix: str) -> str:
    return f"{base[: MAX_LENGTH - len(suffix) - 1].rstrip('-')}-{suffix}"


def _hash(text: str, length: int) -> str:
    """Return the first ``length`` base32 characters (RFC 4648, lower case) of a SHA-256."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:length]
