"""Errors as facts: each has a stable code, a sentence and what to do about it.

The HTTP status of a code is decided in ``api/errors.py`` alone and the exit code of the command
line in ``control_plane/cli/errors.py`` alone. A message never holds a secret, a path or SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self


class DomainError(Exception):
    """A refusal or failure with a stable code.

    ``data`` holds plain JSON facts that a caller may act on, for example the name of the part of a
    plan that moved.
    """

    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something went wrong"
    remedy: ClassVar[str] = ""
    transient: ClassVar[bool] = False  # whether the same thing may succeed later, unchanged

    def __init__(self, message: str = "", **data: Any) -> None:
        super().__init__(message or self.title)
        self.message = message or self.title
        self.data: Mapping[str, Any] = data
        self.is_recorded = False  # whether the refusal is in an audit log already
        # what records the refusal once its transaction is rolled back
        self.trace: Callable[[], None] | None = None


# --- input -----------------------------------------------------------------------------------
class InvalidInput(DomainError):
    """The request is malformed or holds a value that cannot be right."""

    code = "invalid_input"
    title = "The request is not valid"
    remedy = "Correct the named fields and send it again."

    def renamed(self, name: Callable[[str], str]) -> Self:
        """Return it with its ``field`` as the caller knows it: ``facts.seats`` for ``seats``."""
        found = type(self)(self.message, **self.data)
        if "field" in found.data:
            found.data = {**found.data, "field": name(str(found.data["field"]))}
        return found


class UnknownRegion(InvalidInput):
    """A region name that no AWS region has."""

    code = "unknown_region"
    title = "There is no such region"
    remedy = "Use an AWS region name such as eu-west-1."


class NoUsableSlug(InvalidInput):
    """Neither legal name nor domain gives a slug."""

    code = "no_usable_slug"
    title = "No slug can be made from the company's names"


class InvalidPageToken(DomainError):
    """A page token that was not given out for this list and caller."""

    code = "invalid_page_token"
    title = "The page token is not valid here"
    remedy = "Start again without page_token."


# --- identity --------------------------------------------------------------------------------
class NotAuthenticated(DomainError):
    """No bearer token, or one that does not verify."""

    code = "not_authenticated"
    title = "The caller is not authenticated"
    remedy = "Send a valid bearer token; `tenantctl token` makes one in the embedded mode."


class NotAllowed(DomainError):
    """The caller's roles do not allow this act on something the caller may see."""

    code = "not_allowed"
    title = "The caller's role does not allow this"
    remedy = "Ask somebody who has one of these roles."


class NotFound(DomainError):
    """There is no such thing, or the caller may not see it: the answers are equal."""

    code = "not_found"
    title = "There is no such thing"
    remedy = "Check the id; a thing that you may not see answers the same."


# --- idempotency and concurrency --------------------------------------------------------------
class IdempotencyKeyMissing(DomainError):
    """A creating POST without an Idempotency-Key header."""

    code = "idempotency_key_missing"
    title = "The Idempotency-Key header is missing"
    remedy = "Send a key of 1 to 255 characters that is the same when you repeat the request."


class IdempotencyKeyReused(DomainError):
    """The key was used with another body."""

    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used with another body"
    remedy = "Use a new key for a new request."


class IdempotencyKeyInFlight(DomainError):
    """The first request with this key has not been answered yet."""

    code = "idempotency_key_in_flight"
    title = "The first request with this key is still being answered"
    remedy = "Wait a second and repeat it with the same key."


class ContractAlreadyUsed(DomainError):
    """The contract made a tenant already, from other facts or under another envelope."""

    code = "contract_already_used"
    title = "This contract has a tenant already, made from other facts"
    remedy = (
        "Look at the request named in `request_id`. An amended contract is a new contract, with a "
        "number and an envelope of its own."
    )


class CompanyHasTenant(DomainError):
    """A company with a live tenant was asked for another, and nobody said that it is meant."""

    code = "company_has_tenant"
    title = "The company has a tenant already"
    remedy = (
        "If a further tenant is meant, send the request with `additional_tenant`: true; "
        "else use the tenant that there is."
    )


class PreconditionFailed(DomainError):
    """If-Match names an older version."""

    code = "precondition_failed"
    title = "It was changed by somebody else"
    remedy = "Read it again and repeat the change with its new ETag."


class PreconditionRequired(DomainError):
    """An edit without If-Match."""

    code = "precondition_required"
    title = "The If-Match header is missing"
    remedy = "Read the item and send its ETag in If-Match."


class Conflict(DomainError):
    """A unique fact exists already, or two writers met."""

    code = "conflict"
    title = "It conflicts with what exists"
    remedy = "Read what exists and decide again."


class RunSuperseded(DomainError):
    """The run is not the newest of its deployment; `newest` names the one that is."""

    code = "run_superseded"
    title = "A newer run of the same deployment exists"
    remedy = "Act on the run that `newest` names."


class IllegalTransition(DomainError):
    """The status table has no such move."""

    code = "illegal_transition"
    title = "That is not possible in the present status"
    remedy = "See `allowed_actions` of the item."


# --- modes and places -------------------------------------------------------------------------
class ModeConflict(DomainError):
    """The bought mode and the facts do not go together; nothing is provisioned."""

    code = "mode_conflict"
    title = "Contract and facts ask for different modes"
    remedy = "A solutions architect confirms a mode or corrects the facts."


class HubUnavailable(DomainError):
    """No ready Hub cell in the region."""

    code = "hub_unavailable"
    title = "There is no ready Hub with room in this region"
    remedy = "Create one with POST /v1/hubs; waiting requests go on by themselves."


class NoAccount(DomainError):
    """The account pool has no free AWS account."""

    code = "no_account"
    title = "No AWS account is free"
    remedy = "Add one with `tenantctl account add`; the run goes on by itself."


# --- plans and decisions ----------------------------------------------------------------------
class PlanOutOfDate(DomainError):
    """The decision quotes a digest that is not the digest of the waiting plan."""

    code = "plan_out_of_date"
    title = "The digest is not that of the waiting plan"
    remedy = "Read the plan again and decide on its digest."


class PlanMoved(DomainError):
    """A part of the approved plan is no longer what was approved; `parts` names it."""

    code = "plan_moved"
    title = "What was approved is not what would be applied now"
    remedy = "Ask for a fresh plan with the run's retry and decide on it."


class SeparationOfDuties(DomainError):
    """The caller asked for this or edited its facts, so may not decide on it."""

    code = "separation_of_duties"
    title = "Who asked for a change may not decide on it"
    remedy = "Ask another person with the role ops_approver."


class MachineMayNotDecide(DomainError):
    """Decisions are made by people."""

    code = "machine_may_not_decide"
    title = "A decision is made by a person"
    remedy = "Ask a person with the role ops_approver."


class AlreadyDecided(DomainError):
    """The approval has its decision."""

    code = "already_decided"
    title = "This approval has been decided"
    remedy = "Read the approval; a new plan needs a new decision."


class ApprovalExpired(DomainError):
    """The approval was not decided, or its apply not started, in time."""

    code = "approval_expired"
    title = "The approval has expired"
    remedy = "Ask for a fresh plan with the run's retry."


class PolicyViolation(DomainError):
    """A mandatory policy rule refused the plan; `violations` names rule, resource and remedy."""

    code = "policy_violation"
    title = "The plan violates a mandatory policy"
    remedy = "Change what the violations name."


# --- engine -----------------------------------------------------------------------------------
class EngineUnavailable(DomainError):
    """The Pulumi CLI is not there or has the wrong version."""

    transient = True
    code = "engine_unavailable"
    title = "The Pulumi CLI cannot be used"
    remedy = "Run `make setup`, or set TENANTPLANE_PULUMI to a pulumi of the pinned version."


class EngineFailed(DomainError):
    """The engine ended with an error; `reason` is one of the runner's error codes."""

    code = "engine_failed"
    title = "The engine failed"
    remedy = "Read the run's events; after mending the cause, retry the run."


class StaleCall(DomainError):
    """A newer engine call owns the stack: what this one would write is refused."""

    code = "stale_call"
    title = "A newer engine call works on this stack"
    remedy = "Nothing to do: the newer call goes on with the run."


class ForeignLock(DomainError):
    """Somebody who is not a run of ours holds the stack's lock."""

    code = "foreign_lock"
    title = "The stack is locked by somebody else"
    remedy = "Find who works on the stack; when the lock is gone, retry the run."


class PendingUnresolved(DomainError):
    """An interrupted create cannot be told to be ours or absent."""

    code = "pending_unresolved"
    title = "An interrupted create is unresolved"
    remedy = "Look at the named resources in the cloud, then retry the run."


class VerificationFailed(DomainError):
    """A named check of the verification failed; `checks` names it."""

    code = "verification_failed"
    title = "What was applied did not pass its checks"
    remedy = "Read the failed checks of the run; after mending the cause, retry the run."


# --- bundles ----------------------------------------------------------------------------------
class TerraformUnavailable(DomainError):
    """There is no Terraform, or its provider is not to be had."""

    transient = True
    code = "terraform_unavailable"
    title = "The bundle was not rehearsed because Terraform cannot be used"
    remedy = "Install Terraform 1.11 or later, set TENANTPLANE_TERRAFORM_MIRROR, build again."


class BundleInvalid(DomainError):
    """The bundle did not pass a check of its build."""

    code = "bundle_invalid"
    title = "The bundle did not pass its checks"
    remedy = "Correct the inputs that the checks name and build again."


class LinkExpired(DomainError):
    """A download link is unknown, expired or used up: the answers are equal."""

    code = "link_expired"
    title = "This link is not valid"
    remedy = "Ask your contact for a new link."


class ReceiptMismatch(DomainError):
    """The receipt does not belong to this bundle; `field` names what differs."""

    code = "receipt_mismatch"
    title = "The receipt does not belong to this bundle"
    remedy = "Send the receipt that this bundle's own apply printed."


class ReceiptAlreadyRegistered(DomainError):
    """Exactly this receipt of this bundle is registered already."""

    code = "receipt_already_registered"
    title = "This receipt is registered already"
    remedy = "Nothing has to be done; another receipt of this bundle's apply corrects this one."


# --- platform ---------------------------------------------------------------------------------
class AuditUnavailable(DomainError):
    """The audit log cannot be written or is too far behind: nothing was done."""

    transient = True
    code = "audit_unavailable"
    title = "The audit log cannot be written, so nothing was done"
    remedy = "Try again later; operators see /readyz."


class Unavailable(DomainError):
    """A part that the request needs is down."""

    transient = True
    code = "unavailable"
    title = "A part of the control plane is not available"
    remedy = "Try again later; operators see /readyz."


class SettingInvalid(DomainError):
    """A setting is wrong; the sentence names its environment variable."""

    code = "setting_invalid"
    title = "A setting is wrong"
    remedy = "Correct the named environment variable and start again."


def all_errors() -> list[type[DomainError]]:
    """Return every error class, for the documentation and the exhaustiveness tests."""
    found: list[type[DomainError]] = []
    queue = [DomainError]
    while queue:
        current = queue.pop()
        for child in sorted(current.__subclasses__(), key=lambda c: c.code):
            found.append(child)
            queue.append(child)
    return sorted(found, key=lambda c: c.code)
