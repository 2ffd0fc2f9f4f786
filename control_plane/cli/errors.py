"""Exit codes: 0 done, 1 failed, 2 usage, 3 refused, 4 not found or not allowed, 5 unavailable.

`audit verify` ends with 10 to 12 for what it found. Ctrl-C ends a command with 130, as shells
expect.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

DONE: Final = 0
FAILED: Final = 1
USAGE: Final = 2
REFUSED: Final = 3
HIDDEN: Final = 4
UNAVAILABLE: Final = 5

# codes whose exit code is not that of their kind; the others follow ``exit_code``
BY_CODE: Final[dict[str, int]] = {
    "setting_invalid": USAGE,
    "invalid_input": USAGE,
    "answers_refused": USAGE,
    "unknown_region": USAGE,
    "idempotency_key_missing": USAGE,
    "invalid_page_token": USAGE,
    "precondition_required": USAGE,
    "body_too_large": USAGE,
    "not_found": HIDDEN,
    "not_allowed": HIDDEN,
    "not_authenticated": HIDDEN,
    "link_expired": HIDDEN,
    "unavailable": UNAVAILABLE,
    "audit_unavailable": UNAVAILABLE,
    "engine_unavailable": UNAVAILABLE,
    "system_unavailable": UNAVAILABLE,
    "certificate_not_signed": UNAVAILABLE,
    "internal": FAILED,
    "engine_failed": FAILED,
    "verification_failed": FAILED,
    "bundle_invalid": FAILED,
}


def exit_code(code: str) -> int:
    """Return the exit code of a fact's code: what is not named above is a refusal."""
    return BY_CODE.get(code, REFUSED)


@contextmanager
def ctrl_c_ends_at_once() -> Iterator[None]:
    """Let Ctrl-C end the process itself, for a long wait in which nothing has to be tidied up.

    A handler of Python's runs when the wait is over: a signal that comes just before a read of a
    quiet stream begins would be heard at the next line only. A shell sees 130 either way.
    """
    ours = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
