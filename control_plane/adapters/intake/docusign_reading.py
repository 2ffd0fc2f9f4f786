"""What DocuSign says was signed: the eSignature REST API, version 2.1, read.

The token comes from the JWT grant of a service integration
(https://developers.docusign.com/platform/auth/jwt-get-token), the base URL of an account from
``/oauth/userinfo``, envelopes from ``Envelopes: listStatusChanges``.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from control_plane.adapters.intake.http_reading import Missing, Unauthorized, ask, require_https
from control_plane.domain import spellings
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.intake import ReadBack
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from control_plane.ports.rows import Clock
from control_plane.ports.systems import SignedEnvelope

SYSTEM: Final = "DocuSign"
PAGE: Final = 100
STATUSES: Final = "completed,voided,declined"
_INCLUDE: Final = "custom_fields,recipients"
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TOKEN_LIFE: Final = timedelta(hours=1)
_EARLY: Final = timedelta(minutes=2)  # a token is renewed before it ends
_LARGEST: Final = 200_000  # bytes of a payload; a delivery holds 256 KiB


@dataclass
class DocusignReading:
    """The port ``Signatures`` over the accounts of one source."""

    source: str
    accounts: tuple[str, ...]
    read_back: ReadBack
    private_key: Callable[[], str]
    clock: Clock
    _token: tuple[str, datetime] | None = field(default=None, init=False)
    _bases: dict[str, str] = field(default_factory=dict, init=False)

    def changed_since(self, instant: datetime) -> Iterator[SignedEnvelope]:
        """Yield the envelopes that were signed, voided or declined since, oldest first."""
        each = [self._of_account(account, instant) for account in self.accounts]
        yield from heapq.merge(*each, key=lambda envelope: envelope.changed_at)

    def find(self, envelope_id: str) -> SignedEnvelope | None:
        """Return an envelope, None if no account of the source knows it."""
        for account in self.accounts:
            try:
                found = self._ask(account, f"/envelopes/{envelope_id}", {"include": _INCLUDE})
            except Missing:
                continue
            return _envelope(account, found)
        return None

    def _of_account(self, account: str, instant: datetime) -> Iterator[SignedEnvelope]:
        """Page by time, not by position: what changes meanwhile moves to the end of the list, so
        that the items after it move up, and the first of the next page would be missed.
        """
        since, start, seen = instant, 0, set[tuple[str, datetime]]()
        while True:
            page = self._page(account, since, start)
            for envelope in page:
                key = (envelope.envelope_id, envelope.changed_at)
                if key not in seen:
                    seen.add(key)
                    yield envelope
            if len(page) < PAGE:
                return
            last = page[-1].changed_at
            since, start = (last, 0) if last > since else (since, start + PAGE)

    def _page(self, account: str, since: datetime, start: int) -> list[SignedEnvelope]:
        answer = self._ask(
            account,
            "/envelopes",
            {
                "from_date": since.isoformat(), "from_to_status": "changed", "status": STATUSES,
                "include": _INCLUDE, "order_by": "status_changed", "order": "asc",
                "count": str(PAGE), "start_position": str(start),
            },
        )  # fmt: skip
        found = answer.get("envelopes", [])
        size = answer.get("resultSetSize")
        if not isinstance(found, list) or str(size) != str(len(found)):
            raise SystemUnavailable(f"{SYSTEM} gave half a page", system=SYSTEM)
        page = [_envelope(account, each) for each in found]
        return sorted(page, key=lambda each: each.changed_at)

    # --- access --------------------------------------------------------------------------------
    def _ask(self, account: str, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Ask about an account, once more with a new token when the old one is not taken."""
        for is_last in (False, True):
            try:
                url = f"{self._base(account)}/restapi/v2.1/accounts/{account}{path}"
                return ask(SYSTEM, "GET", url, token=self._access(), params=params)
            except Unauthorized:
                self._token = None
                if is_last:
                    break
        raise SystemRefused(f"{SYSTEM} does not take the token that it gave", system=SYSTEM)

    def _base(self, account: str) -> str:
        if account not in self._bases:
            host = require_https(self.read_back.url)
            found = ask(SYSTEM, "GET", f"{host}/oauth/userinfo", token=self._access())
            for each in found.get("accounts", ()):
                if isinstance(each, Mapping) and each.get("account_id") == account:
                    self._bases[account] = require_https(str(each.get("base_uri")))
        if account not in self._bases:
            raise SystemRefused(
                f"the user that {self.source} is read as has no access to the account {account}",
                system=SYSTEM,
            )
        return self._bases[account]

    def _access(self) -> str:
        now = self.clock.now()
        if self._token is None or self._token[1] <= now:
            self._token = self._granted(now)
        return self._token[0]

    def _granted(self, now: datetime) -> tuple[str, datetime]:
        host = require_https(self.read_back.url)
        claims = {
            "iss": self.read_back.client, "sub": self.read_back.user,
            "aud": httpx.URL(host).host,  # the host alone, without a scheme
            "iat": int(now.timestamp()), "exp": int((now + _TOKEN_LIFE).timestamp()),
            "scope": "signature impersonation",
        }  # fmt: skip
        try:
            key = RSAKey.import_key(self.private_key())
            assertion = jwt.encode({"alg": "RS256", "typ": "JWT"}, claims, key)
        except (JoseError, ValueError) as error:
            raise SettingInvalid(
                f"the credential {self.read_back.credential} is not an RSA private key in PEM"
            ) from error
        form = {"grant_type": _GRANT, "assertion": assertion}
        try:
            found = ask(SYSTEM, "POST", f"{host}/oauth/token", form=form)
        except (Unauthorized, Missing):
            raise SystemRefused(f"{SYSTEM} refuses to give a token", system=SYSTEM) from None
        token, seconds = found.get("access_token"), found.get("expires_in")
        if not isinstance(token, str) or not isinstance(seconds, int):
            raise SystemUnavailable(f"{SYSTEM} gave half a token", system=SYSTEM)
        return token, now + timedelta(seconds=seconds) - _EARLY


def _envelope(account: str, found: Any) -> SignedEnvelope:
    """Return an envelope as Connect would post it. Raises ``SystemUnavailable`` for half of one."""
    try:
        status = str(found["status"]).lower()
        changed = spellings.instant(str(found["statusChangedDateTime"]))
        envelope_id = spellings.identifier(str(found["envelopeId"]))
    except (KeyError, TypeError, ValueError):
        raise SystemUnavailable(f"{SYSTEM} gave half an envelope", system=SYSTEM) from None
    summary = dict(found)
    if len(json.dumps(summary)) > _LARGEST:  # hundreds of recipients, of whom no mapping asks
        summary.pop("recipients", None)
    event = f"envelope-{status}"
    payload = {
        "event": event,
        "apiVersion": "v2.1",
        "data": {"accountId": account, "envelopeId": envelope_id, "envelopeSummary": summary},
    }
    return SignedEnvelope(
        envelope_id=envelope_id, account=account, event=event, changed_at=changed, payload=payload
    )
