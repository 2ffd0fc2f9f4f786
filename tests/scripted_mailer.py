"""A mail system that answers as a test says, and keeps what it took."""

from __future__ import annotations

from collections.abc import Callable

from control_plane.ports.systems import Mail


class ScriptedMailer:
    """The port ``Mailer``; ``answers`` are raised in turn, before or after the mail is taken."""

    system = "scripted"

    def __init__(self, *, is_exactly_once: bool = False) -> None:
        self.is_exactly_once = is_exactly_once
        self.taken: list[Mail] = []
        self.before: list[BaseException | None] = []
        self.after: list[BaseException | None] = []
        self.meanwhile: Callable[[], object] = lambda: None

    def send(self, mail: Mail) -> str:
        """Take a mail; one that knows what it took takes it once."""
        self._raise_next(self.before)
        self.meanwhile()
        known = [each.message_id for each in self.taken]
        if not (self.is_exactly_once and mail.message_id in known):
            self.taken.append(mail)
        self._raise_next(self.after)
        return f"mail-{len(self.taken)}"

    @staticmethod
    def _raise_next(answers: list[BaseException | None]) -> None:
        error = answers.pop(0) if answers else None
        if error is not None:
            raise error
