"""Why a one-time link is not issued, and why its value cannot be made any more."""

from __future__ import annotations

from control_plane.domain.errors import DomainError


class LinkNotNow(DomainError):
    """A link is not issued while a hold or an open question of the mode stands."""

    code = "link_not_now"
    title = "No link can be issued now"
    remedy = "Release the hold, or decide the mode, and issue the link again."


class LinkTooSoon(DomainError):
    """Links of one tenant are issued a minute apart, and five in 24 hours."""

    code = "link_too_soon"
    title = "Too many links were issued"
    remedy = "Wait until the time that the answer names; the newest link is still valid."


class NoItAdmin(DomainError):
    """The request of a tenant names nobody who administers IT, so there is no recipient."""

    code = "no_it_admin"
    title = "The tenant has no IT admin"
    remedy = "Let sales find out who it is, and submit the contact with an amended request."
