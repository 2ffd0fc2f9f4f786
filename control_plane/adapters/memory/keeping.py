"""Objects and secrets in memory."""

from __future__ import annotations

import hashlib
import threading

from control_plane.adapters.objects.keys import check_key
from control_plane.adapters.secrets import derived
from control_plane.domain.errors import Conflict, NotFound


class MemoryObjectStore:
    """The port ``ObjectStore``."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def put(self, key: str, content: bytes) -> None:
        """Store; an existing key with other content is refused with ``Conflict``."""
        with self._lock:
            if self.objects.setdefault(check_key(key), bytes(content)) != content:
                raise Conflict("an object has this key and other content", constraint="object")

    def get(self, key: str) -> bytes:
        """Return the content. Raises ``NotFound``."""
        try:
            return self.objects[check_key(key)]
        except KeyError:
            raise NotFound("there is no such object") from None

    def exists(self, key: str) -> bool:
        """Tell whether the key is there."""
        return check_key(key) in self.objects


class MemorySecretStore:
    """The port ``SecretStore``: derived like the real ones, from a seed that is no secret."""

    def __init__(self, seed: str = "memory") -> None:
        self._master = hashlib.sha256(seed.encode()).digest()

    def passphrase(self, deployment_id: str) -> str:
        """Return the engine's passphrase of a deployment's stack."""
        return derived.passphrase(self._master, deployment_id)

    def hmac_key(self, deployment_id: str) -> bytes:
        """Return the 32-byte key that hides secrets in a deployment's state digest."""
        return derived.hmac_key(self._master, deployment_id)

    def seal(self, content: bytes, *, context: str) -> bytes:
        """Encrypt with authentication; ``context`` is bound."""
        return derived.seal(self._master, content, context)

    def open(self, sealed: bytes, *, context: str) -> bytes:
        """Decrypt what ``seal`` made with the same context. Raises ``Conflict`` otherwise."""
        return derived.unseal(self._master, sealed, context)
