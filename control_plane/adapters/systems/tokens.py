"""Access tokens of OAuth 2.0: asked for when one is needed, kept until shortly before their end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from control_plane.adapters.systems.web import Answer, JsonApi

_EARLIER: Final = timedelta(minutes=2)  # than its end: a clock may differ, and a call takes a while
_UNKNOWN_LIFE_SECONDS: Final = 600  # of one whose answer names none


@dataclass(kw_only=True)
class Tokens:
    """Tokens of one client. ``form`` is what is posted to ``path``, made for each request."""

    api: JsonApi
    path: str
    form: Callable[[], Mapping[str, str]]
    _token: str | None = field(default=None, init=False, repr=False)
    _until: datetime | None = field(default=None, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def headers(self) -> Mapping[str, str]:
        """Return the header that proves who asks.

        Raises ``SystemRefused`` where the client is not accepted, and ``SystemUnavailable``.
        """
        with self._lock:
            if self._token is None or self._until is None or self.api.now() >= self._until:
                self._ask()
            return {"authorization": f"Bearer {self._token}"}

    def call(self, api: JsonApi, method: str, path: str, **content: object) -> Answer:
        """Call with a token; once more with a new one where that token is not accepted."""
        answer = api.call(method, path, **content)  # type: ignore[arg-type]  # those of ``call``
        if answer.status != 401:
            return answer
        with self._lock:
            self._token = None
        return api.call(method, path, **content)  # type: ignore[arg-type]  # as above

    def _ask(self) -> None:
        answer = self.api.call("POST", self.path, form=self.form(), acts=False)
        found = answer.object()
        token = found.get("access_token")
        if not answer.is_success or not isinstance(token, str):
            code = str(found.get("error") or answer.status)[:60]
            raise self.api.refused(
                f"does not accept the client ({code}): check the client id, the credential and "
                "what the client is allowed",
                reason="credential",
            )
        seconds = str(found.get("expires_in"))
        known = float(seconds) if seconds.isdigit() else _UNKNOWN_LIFE_SECONDS
        self._token = token
        self._until = self.api.now() + timedelta(seconds=known) - _EARLIER
