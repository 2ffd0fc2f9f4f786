"""What is refused of reading or erasing personal values of the log."""

from __future__ import annotations

from control_plane.domain.errors import DomainError


class TwoPeopleNeeded(DomainError):
    """It takes two people: a machine, or somebody who stands behind the request, is neither."""

    code = "two_people_needed"
    title = "This takes two people: one asks, another one confirms"
    remedy = "Ask another person with one of the roles to confirm it; a machine cannot."


class GrantNotValid(DomainError):
    """The grant does not exist, was not given, has expired, or is for a different log."""

    code = "grant_not_valid"
    title = "No such grant is valid now"
    remedy = "Ask for a grant, and let another person confirm it."


class ErasureOnHold(DomainError):
    """A legal or compliance hold stands on what has values in the erasure; `trees` names it."""

    code = "erasure_on_hold"
    title = "A hold stands, so nothing is erased"
    remedy = "Wait until every legal or compliance hold is released, then confirm it."


class ErasureChanged(DomainError):
    """The digest is not that of the list of values."""

    code = "erasure_changed"
    title = "This is not the list of values that the erasure has"
    remedy = "Read the list again and give its digest."
