"""Why a one-time link is not issued, and why its value cannot be made any more."""

from __future__ import annotations

from control_plane.domain.errors import DomainError, InvalidInput


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


class AnswersRefused(InvalidInput):
    """Answers to a step cannot be taken; ``faults`` has a sentence for each field."""

    code = "answers_refused"
    title = "Some answers cannot be taken"
    remedy = "Correct the named fields and send all answers of the step again."


class StepChanged(DomainError):
    """Somebody else saved the step meanwhile; both values are in ``differences``."""

    code = "step_changed"
    title = "Somebody else changed this step"
    remedy = "Compare both values, and save again with the newest version."


class StepNotYet(DomainError):
    """A step waits for others, or for a check that does not hold."""

    code = "step_not_yet"
    title = "This step has to wait"
    remedy = "Complete the named steps first, and wait until the named checks hold."


class StepComplete(DomainError):
    """A step that is complete is opened again before it changes."""

    code = "step_complete"
    title = "This step is complete"
    remedy = "Open the step again, and save it then."


class ResetsNotNamed(DomainError):
    """Opening a step again opens others too, and these were not named."""

    code = "resets_not_named"
    title = "Other steps are opened again as well"
    remedy = "Name exactly the steps that the answer lists, and repeat the request."
