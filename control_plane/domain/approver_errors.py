"""What is wrong with a signed decision, or with the key of an approver."""

from __future__ import annotations

from control_plane.domain.errors import DomainError


class SignatureNeeded(DomainError):
    """A rule asks for decisions that the approver signs, and this one is not signed."""

    code = "signature_needed"
    title = "This decision must be signed with the approver's own key"
    remedy = "Decide with `tenantctl approval approve` or `reject`, and --key with your own key."


class SignatureRefused(DomainError):
    """A signed statement is not of this decision, of this person, or of a key that counts."""

    code = "signature_refused"
    title = "The signed statement was refused"
    remedy = "Read the plan again and sign it again; the answer says what does not match."


class ApproverKeyRefused(DomainError):
    """A key cannot be enrolled, confirmed or revoked as asked."""

    code = "approver_key_refused"
    title = "The approver's key was refused"
    remedy = "Do what the answer says, then try again."


class ApplyNotSigned(DomainError):
    """A worker found too few decisions that keys of its own list signed; nothing was called."""

    code = "apply_not_signed"
    title = "Too few decisions are signed with keys that the worker knows"
    remedy = "Compare approvers.keys of the worker with the enrolled keys, then retry the run."
