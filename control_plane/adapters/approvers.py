"""Approvers' keys on the disk of a worker, in the form of OpenSSH's ``allowed_signers``.

Source: ssh-keygen(1), ALLOWED SIGNERS. Only what has one meaning is taken: names without patterns,
ssh-ed25519, times in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from control_plane.domain.errors import SettingInvalid
from control_plane.domain.signed_decision import NAMESPACE
from control_plane.domain.sshsig import SshInvalid, fingerprint, public_key_of
from control_plane.ports.approvers import KnownKey

_LINE: Final = re.compile(
    r"([^\s\"*?!,]+) +(?:((?:[a-z-]+=\"[^\"]*\",?)+) +)?([a-z-]+\S* +\S+)( .*)?\Z"
)
_OPTION: Final = re.compile(r"([a-z-]+)=\"([^\"]*)\"")
_TIMES: Final = {9: "%Y%m%dZ", 13: "%Y%m%d%H%MZ", 15: "%Y%m%d%H%M%SZ"}
_BEGINS, _ENDS = "valid-after", "valid-before"


@dataclass(frozen=True, kw_only=True)
class FileApprovers:
    """The port ``Approvers``; the file is read each time, so that a change counts immediately."""

    host: str
    file: Path | None = None

    def check(self, key: bytes, message: bytes, signature: bytes) -> bool:
        """Tell whether an Ed25519 signature is a key's over a message."""
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True

    def known(self) -> Sequence[KnownKey] | None:
        """Return the keys of the file, None without one. Raises ``SettingInvalid``."""
        if self.file is None:
            return None
        try:
            lines = self.file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SettingInvalid(f"the file of approvers' keys cannot be read: {reason}") from error
        return tuple(
            _key(number, line)
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.startswith("#")
        )


def _key(number: int, line: str) -> KnownKey:
    found = _LINE.match(line.strip())
    if found is None:
        raise _refused(number, "write: name [options] ssh-ed25519 key")
    options = dict(_OPTION.findall(found[2] or ""))
    unknown = options.keys() - {"namespaces", _BEGINS, _ENDS}
    if unknown:
        raise _refused(number, f"the option {min(unknown)} is not taken")
    if options.get("namespaces", NAMESPACE) != NAMESPACE:
        raise _refused(number, f"the only namespace is {NAMESPACE}")
    try:
        public = public_key_of(found[3])
    except SshInvalid as error:
        raise _refused(number, str(error)) from error
    return KnownKey(
        actor=found[1],
        fingerprint=fingerprint(public),
        valid_from=_time(number, options.get(_BEGINS)),
        valid_until=_time(number, options.get(_ENDS)),
    )


def _time(number: int, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, _TIMES.get(len(text), "")).replace(tzinfo=UTC)
    except ValueError:
        raise _refused(number, "write times in UTC, such as 20261120140300Z") from None


def _refused(number: int, reason: str) -> SettingInvalid:
    return SettingInvalid(f"the file of approvers' keys, line {number}: {reason}")
