"""The keys of the identity provider: which of them can be used, and how they are kept fresh.

One fetch runs at a time, in a thread of its own, and no lock is held meanwhile: who has a known key
never waits for the provider. Who brings an unknown key id waits for a fetch that is due, a few
seconds at most, and only a few may wait at once.
"""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from control_plane.domain.errors import Unavailable
from control_plane.logging import get_logger

log = get_logger()
FRESH_SECONDS: Final = 300.0  # then keys are fetched again beside the requests
KEYS_LIFE_SECONDS: Final = 600.0  # a key is good this long after the issuer last showed it
REFETCH_SECONDS: Final = 30.0  # between fetches for key ids that nobody knows
RETRY_SECONDS: Final = 1.0  # between fetches while the issuer does not answer
WAIT_SECONDS: Final = 6.0  # a caller waits for a fetch, at most
MAX_WAITING: Final = 8  # callers wait for a fetch at once; each holds a thread
MIN_RSA_BITS: Final = 2048  # RFC 7518, section 3.3
MAX_RSA_BITS: Final = 8192  # beyond, a check of one signature takes too long
MAX_KEYS: Final = 200
# members of a public key by its type; nothing else of an entry is looked at by the library
_MEMBERS: Final = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_CLASSES: Final[dict[str, type[RSAKey | ECKey | OKPKey]]] = {
    "RSA": RSAKey, "EC": ECKey, "OKP": OKPKey,
}  # fmt: skip
_CURVES: Final = {"EC": "P-256", "OKP": "Ed25519"}
# by type of key; EdDSA (RFC 8037) and Ed25519 (RFC 9864) are two names of one algorithm
ALGORITHMS: Final = {
    "RSA": frozenset({"RS256"}),
    "EC": frozenset({"ES256"}),
    "OKP": frozenset({"EdDSA", "Ed25519"}),
}
Keys = Mapping[str, tuple[Key, ...]]  # by key id, which need not be unique (RFC 7517, 4.5)


class KeyUnusable(ValueError):
    """An entry of a JWKS is not a key that signs access tokens; the text says why."""


def usable_keys(document: Mapping[str, Any]) -> tuple[dict[str, tuple[Key, ...]], list[str]]:
    """Return the keys of a JWKS by id, and for each entry that is skipped why.

    Entries that are not understood are ignored one by one (RFC 7517, section 5). Raises
    ``ValueError`` when the document is not a JWKS.
    """
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise ValueError("a JWKS has a list of keys")  # noqa: TRY004 - a fault of the document
    found: dict[str, tuple[Key, ...]] = {}
    skipped = []
    for entry in entries[:MAX_KEYS]:
        try:
            key_id, key = _key(entry)
        except KeyUnusable as error:
            named = entry.get("kid") if isinstance(entry, dict) else None
            skipped.append(f"{ascii(named)[:60]}: {error}")
        else:
            found[key_id] = (*found.get(key_id, ()), key)
    if len(entries) > MAX_KEYS:
        skipped.append(f"{len(entries) - MAX_KEYS} keys beyond {MAX_KEYS}")
    return found, skipped


def _key(entry: Any) -> tuple[str, Key]:
    if not isinstance(entry, dict):
        raise KeyUnusable("it is not an object")
    key_id, kind = entry.get("kid"), entry.get("kty")
    if not isinstance(key_id, str) or not key_id:
        raise KeyUnusable("kid is not a string")
    if not isinstance(kind, str) or kind not in _MEMBERS:
        raise KeyUnusable("kty is not RSA, EC or OKP")
    _check_purpose(entry, kind)
    members = {name: entry.get(name) for name in _MEMBERS[kind]}
    if any(not isinstance(value, str) for value in members.values()):
        raise KeyUnusable(f"{', '.join(_MEMBERS[kind])} must be strings")
    if kind in _CURVES and members["crv"] != _CURVES[kind]:
        raise KeyUnusable(f"crv is not {_CURVES[kind]}")
    if kind == "RSA" and not MIN_RSA_BITS <= _bits(str(members["n"])) <= MAX_RSA_BITS:
        raise KeyUnusable(f"an RSA key must have {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    try:
        # without alg, use and key_ops: they were judged above, and the library compares spellings
        key = _CLASSES[kind].import_key({"kty": kind, "kid": key_id, **members})  # type: ignore[dict-item]  # all texts
        _ = key.public_key  # the numbers are looked at only now
    except Exception as error:  # whatever the library says, the others are good
        raise KeyUnusable(f"the key cannot be read ({type(error).__name__})") from error
    return key_id, key


def _check_purpose(entry: Mapping[str, Any], kind: str) -> None:
    """Refuse a key that does not say that it verifies signatures, or says two things."""
    if entry.get("use", "sig") != "sig":
        raise KeyUnusable("use is not sig")
    operations = entry.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise KeyUnusable("key_ops lacks verify")
    if "use" in entry and set(map(str, operations)) - {"sign", "verify"}:
        raise KeyUnusable("use and key_ops contradict each other")
    if "alg" in entry and not _fits(entry["alg"], kind):
        raise KeyUnusable("alg is not accepted for this type of key")
    if "d" in entry:
        raise KeyUnusable("it contains the private key, so anybody could sign")


def _fits(algorithm: Any, kind: str) -> bool:
    return isinstance(algorithm, str) and algorithm in ALGORITHMS[kind]


def _bits(number: str) -> int:
    """Return the length of an unsigned number in base64url."""
    try:
        content = base64.urlsafe_b64decode(number + "=" * (-len(number) % 4))
    except ValueError as error:
        raise KeyUnusable("n is not base64url") from error
    return int.from_bytes(content).bit_length()


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """What the issuer showed, and when (in ``ticks``)."""

    keys: Keys
    at: float


@dataclass
class IssuerKeys:
    """Keeps the keys of an issuer. ``fetch`` returns a JWKS document; ``ticks`` are seconds."""

    fetch: Callable[[], Mapping[str, Any]]
    ticks: Callable[[], float] = time.monotonic
    _shown: _Shown | None = None
    _asked: float = float("-inf")
    _failed: bool = False
    _skipped: tuple[str, ...] = ()
    _flight: threading.Event | None = None  # set when the fetch that runs now has ended
    _lock: threading.Lock = field(default_factory=threading.Lock)  # held for moments only
    _places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_WAITING))

    def find(self, key_id: str) -> tuple[Key, ...]:
        """Return the keys with an id; none when the issuer has shown none lately.

        Raises ``Unavailable`` when that cannot be said because the issuer does not answer.
        """
        known = self._known(key_id)
        if known:
            if self._age() >= FRESH_SECONDS:
                self._start()
            return known
        flight = self._start()
        if flight is not None:
            self._wait(flight)
        known = self._known(key_id)
        if not known and (self._failed or self._age() >= KEYS_LIFE_SECONDS):
            raise _away()
        return known

    def has(self, key_id: str) -> bool:
        """Tell whether ``find`` answers without waiting for the issuer, now and for a second."""
        return self._age() < KEYS_LIFE_SECONDS - 1 and bool(self._known(key_id))

    def problem(self) -> str:
        """Return why no token can be checked now, or ''; asks the issuer when that is due."""
        if self._age() < KEYS_LIFE_SECONDS:
            return ""
        flight = self._start()
        if flight is not None:
            flight.wait(1.0)
        return "" if self._age() < KEYS_LIFE_SECONDS else "the keys could not be fetched"

    def _age(self) -> float:
        """Return the seconds since the issuer last showed its keys."""
        shown = self._shown
        return float("inf") if shown is None else self.ticks() - shown.at

    def _known(self, key_id: str) -> tuple[Key, ...]:
        shown = self._shown
        if shown is None or self.ticks() - shown.at >= KEYS_LIFE_SECONDS:
            return ()
        return shown.keys.get(key_id, ())

    def _wait(self, flight: threading.Event) -> None:
        if not self._places.acquire(blocking=False):
            raise _away()
        try:
            if not flight.wait(WAIT_SECONDS):
                raise _away()
        finally:
            self._places.release()

    def _start(self) -> threading.Event | None:
        """Return the fetch that runs; start one when it is due. None: it is not due yet."""
        with self._lock:
            if self._flight is not None:
                return self._flight
            now = self.ticks()
            if now - self._asked < (RETRY_SECONDS if self._failed else self._pause()):
                return None
            self._asked, self._flight = now, threading.Event()
            flight = self._flight
        threading.Thread(target=self._fly, args=(flight,), name="jwks", daemon=True).start()
        return flight

    def _pause(self) -> float:
        return REFETCH_SECONDS if self._age() < KEYS_LIFE_SECONDS else RETRY_SECONDS

    def _fly(self, flight: threading.Event) -> None:
        started = self.ticks()
        try:
            keys, skipped = usable_keys(self.fetch())
        except Exception as error:  # noqa: BLE001 - whatever it is, the keys were not shown
            self._failed = True
            log.warning("jwks.unavailable", error=type(error).__name__)
        else:
            self._shown, self._failed = _Shown(keys=keys, at=started), False
            if self._skipped != tuple(skipped):
                for reason in skipped:
                    log.warning("jwks.key_skipped", key=reason)
                self._skipped = tuple(skipped)
            if not keys:
                log.warning("jwks.empty")
        finally:
            with self._lock:
                self._flight = None
            flight.set()


def _away() -> Unavailable:
    return Unavailable("the token cannot be checked: the identity provider's keys are unavailable")
