"""One question to a witness: add-checkpoint of c2sp.org/tlog-witness."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from control_plane.domain.event_errors import ReceiverFailed, UrlRefused
from control_plane.ports.events import EventSender

MOST_OF_ANSWER: Final = 256 * 1024  # a line of ML-DSA-44 has 3.3 KiB, and a note 64 lines
MOST_PROOF_LINES: Final = 63
_SIZE: Final = re.compile(rb"(0|[1-9][0-9]{0,18})\n")
_HEADERS: Final = {"content-type": "text/plain; charset=utf-8"}
# what the answers mean that a witness gives of us; anything else is its own trouble
_REFUSALS: Final = {
    400: "bad_request", 403: "key_not_trusted", 404: "log_not_known", 422: "inconsistent",
}  # fmt: skip
# it has cosigned another history than there is
ALARMS: Final = frozenset({"has_seen_more", "has_seen_another", "inconsistent"})
REFUSALS: Final = ALARMS | {*_REFUSALS.values()}


class WitnessFailed(Exception):
    """A witness gave no cosignature.

    ``failure`` is a stable word, one of ``REFUSALS`` where the witness does not accept the log;
    ``pause`` is what it asked for.
    """

    def __init__(self, failure: str, *, pause: timedelta | None = None) -> None:
        super().__init__(failure)
        self.failure = failure
        self.pause = pause


class WitnessHasSeen(Exception):
    """A witness cosigned the log last at another size than was said: ``size``."""

    def __init__(self, size: int) -> None:
        super().__init__(f"the witness has seen {size} entries")
        self.size = size


def add_checkpoint(
    http: EventSender, prefix: str, *, old: int, proof: Sequence[bytes], note: str
) -> list[str]:
    """Post a checkpoint with the proof from ``old`` entries; returns lines of cosignatures.

    The lines are what the witness says. Raises ``WitnessHasSeen`` or ``WitnessFailed``.
    """
    lines = [base64.b64encode(item).decode() for item in proof]
    body = "".join(f"{line}\n" for line in (f"old {old}", *lines, "")) + note
    try:
        answer = http.post(f"{prefix}/add-checkpoint", _HEADERS, body.encode())
    except UrlRefused:
        raise WitnessFailed("url_refused") from None
    except ReceiverFailed as failed:
        seen = _SIZE.fullmatch(failed.answer or b"") if failed.status == 409 else None
        if seen is not None:
            raise WitnessHasSeen(int(seen[1])) from None
        word = _REFUSALS.get(failed.status or 0, failed.failure)
        raise WitnessFailed(word, pause=failed.pause) from None
    try:
        text = answer.text.decode()
    except UnicodeDecodeError:
        raise WitnessFailed("broken_answer") from None
    if answer.status != 200 or not text.endswith("\n"):
        raise WitnessFailed("broken_answer")
    return text[:-1].split("\n")
