"""What is wrong with a visit of the console."""

from __future__ import annotations

from control_plane.domain.errors import DomainError


class SignInFailed(DomainError):
    """Somebody could not sign in; the sentence says where it went wrong."""

    code = "sign_in_failed"
    title = "Signing in failed"
    remedy = "Sign in again; if it fails again, ask the administrator of the identity provider."


class SignedOut(DomainError):
    """A page was asked for without a session, or with one that has ended."""

    code = "signed_out"
    title = "You are not signed in"
    remedy = "Sign in."


class FormStale(DomainError):
    """A form was sent from a page of an earlier session. Nothing was done."""

    code = "form_stale"
    title = "The form is of an earlier session"
    remedy = "Check what you entered, and send it again."


class FormRefused(DomainError):
    """A form came from another site, or says nothing of where it came from."""

    code = "form_refused"
    title = "The form was not sent from the console"
    remedy = "Open the page in the console, and send the form there."
