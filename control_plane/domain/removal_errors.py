"""What stands in the way of removing a tenant or a Hub, each as a fact of its own."""

from __future__ import annotations

from control_plane.domain.errors import DomainError


class SagaInProgress(DomainError):
    """Something that takes several steps is in progress for the owner; `saga` names it."""

    code = "saga_in_progress"
    title = "A change that takes several steps is in progress"
    remedy = "Wait until it has ended, or withdraw it, then send the request again."


class RemovalInProgress(SagaInProgress):
    """The tenant or Hub is being removed; `saga` names the removal."""

    code = "removal_in_progress"
    title = "It is being removed"
    remedy = "Look at its removal. It can be withdrawn until its destroy begins to apply."


class AlreadyRemoved(DomainError):
    """The tenant or Hub was removed. Its row and its slug stay."""

    code = "already_removed"
    title = "It was removed"
    remedy = "Nothing to do: its certificate says what was removed. Its slug is never given again."


class RemovalOnHold(DomainError):
    """A hold stands on what is to be removed; `holds` names those that stand."""

    code = "removal_on_hold"
    title = "A hold stands, so nothing is removed"
    remedy = "Wait until every hold is released, then send the request again."


class RetentionNotPassed(DomainError):
    """What was promised to be kept is kept until `until`."""

    code = "retention_not_passed"
    title = "Its retention date has not passed"
    remedy = "Wait until the date that `until` names, then send the request again."


class HubHasSlices(DomainError):
    """Tenants have slices on the Hub; `tenants` names them."""

    code = "hub_has_slices"
    title = "Tenants still have slices on this Hub"
    remedy = "Remove the tenants that `tenants` names first."


class TenantDrifted(DomainError):
    """The cloud is not as it was applied, and nobody has decided on it; `findings` names what."""

    code = "tenant_drifted"
    title = "Findings are open, so what would be removed is not what is known"
    remedy = "Decide on the findings that `findings` names, then send the request again."


class ExportMissing(DomainError):
    """Data would be destroyed whose export nobody has acknowledged; `stores` names it."""

    code = "export_missing"
    title = "The export of the data is not acknowledged"
    remedy = (
        "Export the data, then acknowledge the export with its manifest digest and item counts; a "
        "platform admin can waive it."
    )


class ProtectionNotNamed(DomainError):
    """Resources are protected; the request names them all and no others (`missing`, `unknown`)."""

    code = "protection_not_named"
    title = "The protected resources are not exactly those that the request names"
    remedy = "Read the dry run, then name in `unprotect` exactly what it lists as protected."


class AccountHasServed(DomainError):
    """The AWS account held resources of a deployment; it never serves another one."""

    code = "account_has_served"
    title = "This AWS account has served one owner and serves no other"
    remedy = "Add another account to the pool. This one stays listed, with whom it served."


class CertificateNotSigned(DomainError):
    """The certificate is issued; the log that binds it has no signed checkpoint over it yet."""

    transient = True
    code = "certificate_not_signed"
    title = "The log's signature does not cover the certificate yet"
    remedy = "Retry in a few seconds."
