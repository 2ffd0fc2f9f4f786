"""What is wrong with a subscription to events, or with its receiver."""

from __future__ import annotations

from datetime import timedelta

from control_plane.domain.errors import DomainError


class UrlRefused(DomainError):
    """A URL that somebody named may not be called from here; the sentence begins with the fault."""

    code = "url_refused"
    title = "The URL cannot be called from here"
    remedy = "Name an https:// URL of a public address, port 443 or 8443, without credentials."

    def __init__(self, fault: str) -> None:
        super().__init__(f"The URL {fault}.", field="url")


class ReceiverFailed(DomainError):
    """A receiver of events did not take one.

    ``failure`` is a stable word, ``status`` the code of its HTTP answer if there was one,
    ``answer`` the beginning of its text, and ``pause`` what it asked for.
    """

    code = "receiver_failed"
    title = "The receiver did not take the event"
    remedy = "Look at the receiver; the event is sent again, later each time."

    def __init__(
        self,
        failure: str,
        *,
        status: int | None = None,
        answer: bytes | None = None,
        pause: timedelta | None = None,
    ) -> None:
        super().__init__(f"The receiver did not take the event: {failure}.")
        self.failure = failure
        self.status = status
        self.answer = answer
        self.pause = pause
