"""The port ``OnboardingKeys``: all from one file, so that no token lies in a row or a queue."""

from __future__ import annotations

import base64
import hashlib
import hmac
import threading
from pathlib import Path
from typing import Final

from control_plane.adapters.secrets.derived import derive
from control_plane.adapters.secrets.files import read_secret
from control_plane.domain.onboarding_link import CODE_DIGITS

_SECRET: Final = "onboarding-secret"  # noqa: S105 - a purpose, not a secret
_CODE: Final = "onboarding-code"
_PEPPER: Final = "onboarding-pepper"


class DerivedOnboardingKeys:
    """Derives tokens and codes with HKDF; a missing file raises ``SettingInvalid`` at its use."""

    def __init__(self, file: Path, portal_url: str) -> None:
        self.portal_url = portal_url
        self._file = file.absolute()
        self._lock = threading.Lock()
        self._kept: bytes | None = None

    def secret(self, link_id: str, nonce: str) -> str:
        """Return the secret of a link's token."""
        found = derive(self._master(), _SECRET, link_id, nonce.encode())
        return base64.urlsafe_b64encode(found).decode().rstrip("=")

    def code(self, link_id: str, nonce: str, number: int) -> str:
        """Return a code; of 256 bits the remainder is as good as uniform."""
        found = derive(self._master(), _CODE, f"{link_id}\0{number}", nonce.encode())
        return f"{int.from_bytes(found, 'big') % 10**CODE_DIGITS:0{CODE_DIGITS}}"

    def hidden(self, purpose: str, text: str) -> str:
        """Return the HMAC-SHA256 of a text with the key of a purpose."""
        key = derive(self._master(), _PEPPER, purpose)
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def _master(self) -> bytes:
        with self._lock:
            if self._kept is None:
                self._kept = read_secret(self._file)
            return self._kept
