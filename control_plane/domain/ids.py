"""Ids: a prefix that names the kind and a ULID, for example ``ten_01JD…``.

A ULID (https://github.com/ulid/spec) is 48 bits of milliseconds and 80 bits of randomness in
Crockford's base 32, so that ids of one kind sort by their time. Time and randomness come in as
arguments: the domain reads neither a clock nor the system's random source.
"""

from __future__ import annotations

import re
from typing import Final

PREFIXES: Final = {
    "tenant": "ten", "contract": "ctr", "request": "req", "hub": "hub", "deployment": "dep",
    "run": "run", "plan": "pln", "approval": "apr", "decision": "dec", "bundle": "bnd",
    "receipt": "rcp", "event": "evt", "handover": "hnd", "link": "lnk", "account": "acc",
    "evidence": "evd", "hold": "hld", "finding": "fnd", "saga": "sga", "removal_decision": "rmd",
    "certificate": "crt", "finding_decision": "fdc", "sweep": "swp",
    "residence": "rsd",
    "refusal": "rfd", "withdrawal": "wdr", "amendment": "amd", "pause": "pau",
    "import_report": "irp",
    "delivery": "dlv", "intake_finding": "ifd",
    "event_subscription": "sub",
    "assignment": "asg", "meeting": "mtg",
    "journey": "jny", "task": "tsk",
    "message": "msg", "suppression": "sup",
    "onboarding_link": "mlk", "onboarding_session": "ons",
    "onboarding_step": "obs", "onboarding_step_version": "obv",
    "console_session": "cns",
    "approver_key": "apk",
    "disclosure_grant": "dsg", "erasure": "ers",
}  # fmt: skip
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SHAPE: Final = re.compile(r"([a-z]{3})_([0-9A-HJKMNP-TV-Z]{26})\Z")
RANDOM_BYTES: Final = 10


def make_id(kind: str, milliseconds: int, randomness: bytes) -> str:
    """Return an id of ``kind`` (a key of ``PREFIXES``).

    ``milliseconds`` since 1970 (48 bits) and 10 bytes of ``randomness`` make it unique. Raises
    ``ValueError`` when either is out of range.
    """
    if not 0 <= milliseconds < 1 << 48 or len(randomness) != RANDOM_BYTES:
        raise ValueError("a ULID takes 48 bits of milliseconds and 10 random bytes")
    number = (milliseconds << 80) | int.from_bytes(randomness, "big")
    digits = [_ALPHABET[(number >> (5 * place)) & 31] for place in reversed(range(26))]
    return f"{PREFIXES[kind]}_{''.join(digits)}"


def is_id(kind: str, text: str) -> bool:
    """Tell whether ``text`` has the shape of an id of ``kind``."""
    match = _SHAPE.match(text)
    return match is not None and match[1] == PREFIXES[kind]
