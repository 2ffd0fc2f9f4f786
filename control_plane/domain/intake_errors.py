"""What is wrong with a delivery, each as a fact of its own."""

from __future__ import annotations

from control_plane.domain.errors import DomainError


class SignatureInvalid(DomainError):
    """No active key of the source makes any of the signatures of a delivery."""

    code = "signature_invalid"
    title = "The signature is not valid"
    remedy = (
        "Sign the bytes that are sent, with a key that is active here; docs/intake.md says how "
        "each kind of provider signs."
    )


class DeliveryUnreadable(DomainError):
    """The content is not the JSON of one event."""

    code = "delivery_unreadable"
    title = "The delivery cannot be read"
    remedy = "Let the provider send JSON, one event in each message; docs/intake.md has examples."


class SourceUnknown(DomainError):
    """The intake rules have no such source any more."""

    code = "source_unknown"
    title = "The intake rules have no such source"
    remedy = "Add the source to rules/intake.yaml, then replay the delivery."


class AccountNotAllowed(DomainError):
    """The delivery is about an account of the provider that the intake rules do not name."""

    code = "account_not_allowed"
    title = "The provider's account is not allowed"
    remedy = "If it is yours, add it to `accounts` in rules/intake.yaml and replay the delivery."


class MappingFailed(DomainError):
    """A field of the request cannot be made from the content.

    ``field`` is that of the request, ``source_path`` where it was looked for, ``found`` what is
    there.
    """

    code = "mapping_failed"
    title = "The contract is incomplete or has an unknown value"
    remedy = "Correct the contract or the mapping in rules/intake.yaml, then replay the delivery."


class ContractWithdrawn(DomainError):
    """The provider says that a contract is voided or declined, and it has a tenant."""

    code = "contract_withdrawn"
    title = "The contract was withdrawn after its tenant was made"
    remedy = (
        "Clarify it with the customer. Remove the tenant if the contract is void, then dismiss the "
        "delivery."
    )
