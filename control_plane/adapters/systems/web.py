"""Calls of JSON APIs of others: bounded in time and size, no redirects, one meaning of faults.

What the other side did is known only from a whole answer. A call that may have acted and has none
says so, and the caller asks before it repeats.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from control_plane.adapters.loopback import connection_options
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable

if TYPE_CHECKING:
    import httpx

SECONDS: Final = 20.0  # for the connection and for each piece of an answer
WHOLE_SECONDS: Final = 60.0
MAX_BYTES: Final = 8 * 1024 * 1024
LONGEST_WAIT_SECONDS: Final = 24 * 3600
READING: Final = frozenset({"GET", "HEAD"})

Headers = Callable[[], Mapping[str, str]]  # those that prove who asks, read for each call


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A whole answer below 500 that is not 429. ``body`` is its JSON; None if it has none."""

    status: int
    body: Any = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def is_success(self) -> bool:
        """Tell whether what was asked for was done."""
        return 200 <= self.status < 300

    def object(self) -> Mapping[str, Any]:
        """Return the body as an object; an empty one where it is something else."""
        return self.body if isinstance(self.body, dict) else {}


@dataclass(frozen=True, kw_only=True)
class JsonApi:
    """An API at a base URL, as ``system``."""

    system: str
    url: str
    headers: Headers
    now: Callable[[], datetime]
    seconds: float = SECONDS

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        acts: bool | None = None,
    ) -> Answer:
        """Ask once. ``acts`` says that something changes there; unset: whatever is not GET.

        Raises ``SystemUnavailable``, and ``SystemRefused`` for a redirect or an answer too large.
        """
        import httpx  # noqa: PLC0415 - 10 MB, for who has such a system

        changes = method not in READING if acts is None else acts
        url = self.url.rstrip("/") + path
        deadline = time.monotonic() + max(self.seconds, WHOLE_SECONDS)
        content: dict[str, Any] = {}
        if body is not None:
            content["json"] = body
        if form is not None:
            content["data"] = dict(form)
        try:
            with (
                httpx.Client(timeout=self.seconds, **connection_options(url)) as client,
                client.stream(
                    method, url, headers=dict(self.headers()), params=query, **content
                ) as answer,
            ):
                found = self._read(answer, deadline, changes)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise self._lost(error, acted=False) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._lost(error, acted=changes) from error
        return self._judged(found, changes)

    def _read(self, answer: httpx.Response, deadline: float, changes: bool) -> Answer:
        content = bytearray()
        for piece in answer.iter_bytes():
            content += piece
            if len(content) > MAX_BYTES:
                raise self.refused("answers with more than 8 MiB", reason="too_large")
            if time.monotonic() > deadline:
                raise SystemUnavailable(
                    f"{self.system} did not answer in time", **self._facts(acted=changes)
                )
        try:
            body = json.loads(content) if content else None
        except ValueError as error:
            if answer.is_success:  # cut, or not from the API itself
                raise SystemUnavailable(
                    f"the answer of {self.system} cannot be read", **self._facts(acted=changes)
                ) from error
            body = None
        return Answer(status=answer.status_code, body=body, headers=answer.headers)

    def _judged(self, answer: Answer, changes: bool) -> Answer:
        if 300 < answer.status < 400:  # 300 is an answer of some APIs
            raise self.refused(
                f"answers with a redirect ({answer.status}), which is not followed: is its URL "
                "right?",
                reason="redirect",
            )
        if answer.status in {408, 429} or answer.status >= 500:
            # refused before it was done by its own word; another failure may come after the effect
            acted = changes and answer.status >= 500
            raise self.later(
                f"{self.system} is unavailable ({answer.status})",
                headers=answer.headers,
                acted=acted,
                answer=answer.status,
            )
        return answer

    def later(
        self, sentence: str, *, headers: Mapping[str, str], acted: bool = False, **data: Any
    ) -> SystemUnavailable:
        """Return the fact that it has to be tried later, as an answer's headers ask."""
        wait = seconds_to_wait(headers.get("retry-after"), self.now())
        if wait is not None:
            data["retry_after"] = wait
        return SystemUnavailable(sentence, **self._facts(acted=acted), **data)

    def refused(self, sentence: str, *, reason: str, **data: Any) -> SystemRefused:
        """Return the fact that a person has to do something; the sentence follows the name."""
        return SystemRefused(f"{self.system} {sentence}", system=self.system, reason=reason, **data)

    def _lost(self, error: Exception, *, acted: bool) -> SystemUnavailable | SystemRefused:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return self.refused("has a certificate that is not accepted", reason="certificate")
        return SystemUnavailable(
            f"{self.system} does not answer ({type(error).__name__})", **self._facts(acted=acted)
        )

    def _facts(self, *, acted: bool) -> dict[str, Any]:
        return {"system": self.system, **({"may_have_acted": True} if acted else {})}


class Pages:
    """The places of a list's pages: one that comes again would be read indefinitely."""

    def __init__(self, system: str) -> None:
        self._system = system
        self._seen: set[str] = set()

    def following(self, place: object) -> str:
        """Return where the next page is. Raises ``SystemRefused`` for one that was read."""
        text = str(place)
        if text in self._seen:
            raise SystemRefused(
                f"{self._system} repeats a page of a list", system=self._system, reason="unreadable"
            )
        self._seen.add(text)
        return text


def seconds_to_wait(text: str | None, now: datetime) -> int | None:
    """Return how long a ``Retry-After`` asks to wait (RFC 9110, section 10.2.3): a day at most."""
    if text is None:
        return None
    try:
        seconds = float(text) if text.strip().isdigit() else _until(text, now)
    except (ValueError, TypeError, OverflowError):
        return None
    return math.ceil(min(max(seconds, 0.0), LONGEST_WAIT_SECONDS))


def _until(text: str, now: datetime) -> float:
    at = parsedate_to_datetime(text)
    return ((at if at.tzinfo else at.replace(tzinfo=UTC)) - now).total_seconds()
