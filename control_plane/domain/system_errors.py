"""What a system outside answers when it does not do what was asked."""

from __future__ import annotations

from control_plane.domain.errors import DomainError


class SystemUnavailable(DomainError):
    """A system outside is down, slow, or asks to wait; the data say which, and how long.

    ``retry_after`` is in seconds, where the system names any; ``may_have_acted``: it may have done
    what was asked all the same.
    """

    transient = True
    code = "system_unavailable"
    title = "A system outside is unavailable"
    remedy = "Nothing has to be done: it is tried again, later each time."


class SystemRefused(DomainError):
    """A system outside refuses, and will refuse again until a person does something there."""

    code = "system_refused"
    title = "A system outside refuses"
    remedy = (
        "Remove the cause that the answer names, then retry the step, or skip it with a reason."
    )
