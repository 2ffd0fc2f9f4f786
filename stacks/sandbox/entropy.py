"""One seed decides everything random that a request to the emulated cloud makes.

The journal repeats requests, and a repeated request must give the same identifiers, secrets and
keys. moto draws from its own generator, from ``random``, from ``os.urandom`` (key material and
``uuid4``) and from the generators of ``cryptography``. All but the last can be seeded; what the
last one made is recorded and handed out again.

The change is process-wide, which is why the emulated cloud is a process of its own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from moto.moto_api._internal import mock_random

SEED_BYTES = 16

_system_urandom = os.urandom


def fresh_seed() -> str:
    """Return a new seed (hexadecimal) from the operating system, never from the seeded sources."""
    return _system_urandom(SEED_BYTES).hex()


class Entropy:
    """The randomness of one request at a time; callers hold the server's lock.

    Attributes:
        generated: Private keys made since the last ``begin``, as unencrypted PKCS #8 PEM.
    """

    def __init__(self) -> None:
        self.generated: list[str] = []
        self._recorded: list[str] = []

    def install(self) -> None:
        """Put the seeded sources in the place of the operating system's, once per process."""
        os.urandom = mock_random.randbytes
        _replace(rsa, "generate_private_key", self._recording)
        _replace(ec, "generate_private_key", self._recording)
        _replace(Ed25519PrivateKey, "generate", self._recording)
        _replace(x509, "random_serial_number", lambda _: lambda: mock_random.getrandbits(159))

    def begin(self, seed: str, recorded_keys: Sequence[str] = ()) -> None:
        """Seed the generators for a request; hand out ``recorded_keys`` before new ones."""
        mock_random.seed(bytes.fromhex(seed))
        random.seed(bytes.fromhex(seed))
        self.generated = []
        self._recorded = list(recorded_keys)

    def _recording(self, generate: Callable[..., Any]) -> Callable[..., Any]:
        def generate_or_repeat(*args: Any, **kwargs: Any) -> Any:
            if self._recorded:
                key = serialization.load_pem_private_key(self._recorded.pop(0).encode(), None)
            else:
                key = generate(*args, **kwargs)
            self.generated.append(_pem(key))
            return key

        return generate_or_repeat


def _pem(key: Any) -> str:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem.decode()


def _replace(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    setattr(owner, name, make(getattr(owner, name)))
