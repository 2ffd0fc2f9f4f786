"""Errors as facts: each has a stable code, a sentence and a remedy.

The HTTP status of a code is decided only in ``api/errors.py``, the exit code of the command line
only in ``control_plane/cli/errors.py``. A message never holds a secret, a path or SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final, Self


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
    title = "Invalid request"
    remedy = "Correct the named fields and send the request again."

    def renamed(self, name: Callable[[str], str]) -> Self:
        """Return it with its ``field`` as the caller knows it: ``facts.seats`` for ``seats``."""
        found = type(self)(self.message, **self.data)
        if "field" in found.data:
            found.data = {**found.data, "field": name(str(found.data["field"]))}
        return found


class UnknownRegion(InvalidInput):
    """There is no AWS region of this name."""

    code = "unknown_region"
    title = "Unknown region"
    remedy = "Use an AWS region name such as eu-west-1."


class InvalidPageToken(DomainError):
    """A page token that was not issued for this list and caller."""

    code = "invalid_page_token"
    title = "The page token is invalid for this list"
    remedy = "Start again without page_token."


# --- identity --------------------------------------------------------------------------------
class NotAuthenticated(DomainError):
    """No bearer token, or one that does not verify."""

    code = "not_authenticated"
    title = "The caller is not authenticated"
    remedy = "Send a valid bearer token; in embedded mode `tenantctl token` issues one."


class NotAllowed(DomainError):
    """The caller's roles do not allow this act on something the caller may see."""

    code = "not_allowed"
    title = "The caller's role does not allow this"
    remedy = "Ask somebody who has one of the named roles."


class NotFound(DomainError):
    """It does not exist, or the caller may not see it: the answers are equal."""

    code = "not_found"
    title = "Not found"
    remedy = "Check the id. What you are not allowed to see is reported as not found, too."


# --- idempotency and concurrency --------------------------------------------------------------
class IdempotencyKeyMissing(DomainError):
    """A creating POST without an Idempotency-Key header."""

    code = "idempotency_key_missing"
    title = "The Idempotency-Key header is missing"
    remedy = "Send a key of 1 to 255 characters, and the same key when you repeat the request."


class IdempotencyKeyReused(DomainError):
    """The key was used with another body."""

    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used with another body"
    remedy = "Use a new key for a new request."


class IdempotencyKeyInFlight(DomainError):
    """The first request with this key has not been answered yet."""

    code = "idempotency_key_in_flight"
    title = "The first request with this key is still being processed"
    remedy = "Wait a second, then retry with the same key."


class ContractAlreadyUsed(DomainError):
    """The contract already has a tenant, made from other facts or under another envelope."""

    code = "contract_already_used"
    title = "This contract already has a tenant, made from other facts"
    remedy = (
        "Look at the request named in `request_id`, if there is one. An amended contract is a new "
        "contract, with a number and an envelope of its own."
    )


class CompanyHasTenant(DomainError):
    """A company that has a live tenant was to get another one without `additional_tenant`."""

    code = "company_has_tenant"
    title = "The company already has a tenant"
    remedy = (
        "To create an additional tenant, send the request with `additional_tenant`: true; "
        "otherwise use the existing tenant."
    )


class PreconditionFailed(DomainError):
    """If-Match names an older version."""

    code = "precondition_failed"
    title = "The item was changed by somebody else"
    remedy = "Read the item again and repeat the change with its new ETag."


class PreconditionRequired(DomainError):
    """An edit without If-Match."""

    code = "precondition_required"
    title = "The If-Match header is missing"
    remedy = "Read the item and send its ETag in If-Match."


class Conflict(DomainError):
    """A unique fact already exists, or another writer was faster."""

    code = "conflict"
    title = "The request conflicts with existing data"
    remedy = "Read the current data, then decide whether to retry."


class RunSuperseded(DomainError):
    """The run is not the newest of its deployment; `newest` names the one that is."""

    code = "run_superseded"
    title = "A newer run of the same deployment exists"
    remedy = "Act on the run that `newest` names."


class IllegalTransition(DomainError):
    """The status table has no such move."""

    code = "illegal_transition"
    title = "Not possible in the current status"
    remedy = "`allowed_actions` of the item lists what is possible."


# --- modes and places -------------------------------------------------------------------------
class ModeConflict(DomainError):
    """The bought mode contradicts the facts; nothing is provisioned."""

    code = "mode_conflict"
    title = "Contract and facts ask for different modes"
    remedy = "A solutions architect confirms a mode or corrects the facts."


class ModeWouldChange(DomainError):
    """The changed facts lead to another mode, another region, or a review of the mode."""

    code = "mode_would_change"
    title = "The change needs another deployment mode"
    remedy = (
        "Change only what the tenant's mode allows, or raise the mode first: "
        "`tenantctl tenant mode KEY --change MODE`."
    )


class ModeUnchanged(DomainError):
    """The tenant has the mode that is asked for."""

    code = "mode_unchanged"
    title = "The tenant has this mode already"
    remedy = "Confirm the mode if it is provisional; there is nothing else to do."


class ModeDowngrade(DomainError):
    """The mode that is asked for isolates less than the present one."""

    code = "mode_downgrade"
    title = "A mode is never lowered"
    remedy = "Agree a new contract with the customer, and set up a new tenant for it."


class ModeConfirmed(DomainError):
    """The mode is no longer provisional, so what exists is not simply replaced."""

    code = "mode_confirmed"
    title = "The mode has been confirmed"
    remedy = "Upgrade the tenant with its data: `tenantctl tenant mode KEY --change B --upgrade`."


class SliceHoldsData(DomainError):
    """The slice that is to be replaced is not empty."""

    code = "slice_holds_data"
    title = "The slice holds data"
    remedy = "Withdraw this change, then upgrade the tenant with its data: `--change B --upgrade`."


class DowngradeRefused(DomainError):
    """An older version, or fewer zones, than what exists; `present` and `wanted` name both."""

    code = "downgrade_refused"
    title = "What exists is not brought back to less"
    remedy = "Name what it has now, or a newer version. To go back, restore a backup beside it."


class AmendmentRefused(DomainError):
    """An amendment contradicts what was amended before; `present` and `wanted` name both."""

    code = "amendment_refused"
    title = "The amendment contradicts an earlier one"
    remedy = "Read `tenantctl tenant amendments`; send a new amendment with a number of its own."


class HubTooSmall(DomainError):
    """A Hub was to have less capacity than it has slices; `slices` counts them."""

    code = "hub_too_small"
    title = "The Hub has more slices than this capacity"
    remedy = "Name a capacity of at least `slices`, or remove tenants from the Hub first."


class RunInProgress(DomainError):
    """A run of the deployment changes the cloud now, or removes it; `run` names it."""

    code = "run_in_progress"
    title = "A run of this tenant is in progress"
    remedy = "Wait until the run that `run` names has ended, then send the change again."


class HubUnavailable(DomainError):
    """No ready Hub cell in the region."""

    code = "hub_unavailable"
    title = "No ready Hub in this region has capacity left"
    remedy = "Create one with POST /v1/hubs; waiting requests continue automatically."


class NoAccount(DomainError):
    """The account pool has no free AWS account."""

    code = "no_account"
    title = "No free AWS account in the pool"
    remedy = "Add one with `tenantctl account add`; the run continues automatically."


# --- holds ------------------------------------------------------------------------------------
class OnHold(DomainError):
    """A hold stands, so that nothing is applied; `holds` names those that stand."""

    code = "on_hold"
    title = "A hold stands, so nothing is applied"
    remedy = "Wait until every hold is released; the run continues automatically."


class NeedsAnotherPerson(DomainError):
    """The hold is not released by a machine, or by somebody who stands behind its placing."""

    code = "needs_another_person"
    title = "This hold is released by another person than the one who placed it"
    remedy = "Ask another person with the role platform_admin."


# --- findings ---------------------------------------------------------------------------------
class FindingGone(DomainError):
    """The finding has closed: reality agrees again, or another one took its place."""

    code = "finding_gone"
    title = "The finding has closed"
    remedy = "List the findings again; nothing is to be decided on this one."


class FindingNotDecidable(DomainError):
    """The finding cannot be decided so; `possible` has what can be decided of it."""

    code = "finding_not_decidable"
    title = "This cannot be decided of the finding"
    remedy = "Use one of the decisions that `possible` names, or do what the message says by hand."


class StackUnsettled(DomainError):
    """The newest run, `run`, has left something that nobody has looked at since."""

    code = "stack_unsettled"
    title = "It is not known what the last run has left"
    remedy = (
        "Retry the run that `run` names (`tenantctl run retry`), which reads everything again, and "
        "decide on what is still open then."
    )


# --- plans and decisions ----------------------------------------------------------------------
class PlanOutOfDate(DomainError):
    """The decision quotes another digest than that of the waiting plan."""

    code = "plan_out_of_date"
    title = "The digest does not match the waiting plan"
    remedy = "Read the plan again and decide on its digest."


class PlanMoved(DomainError):
    """A part of the approved plan is no longer what was approved; `parts` names it."""

    code = "plan_moved"
    title = "The plan no longer matches what was approved"
    remedy = "Retry the run to get a new plan, then decide on that."


class SeparationOfDuties(DomainError):
    """The caller asked for this or edited its facts, so may not decide on it."""

    code = "separation_of_duties"
    title = "You stand behind this change, so you cannot decide on it"
    remedy = "Ask somebody who neither requested nor retried it, and has not edited its facts."


class MachineMayNotDecide(DomainError):
    """Decisions are made by people."""

    code = "machine_may_not_decide"
    title = "Only a person can decide on a plan"
    remedy = "Ask a person with the role ops_approver."


class NotAcknowledged(DomainError):
    """What was ticked is not exactly what the plan cannot undo."""

    code = "not_acknowledged"
    title = "What cannot be undone was not acknowledged"
    remedy = "Acknowledge by name exactly what the plan lists as irreversible, and nothing else."


class ApplyStarted(DomainError):
    """The apply has begun, so that an approval is not withdrawn any more."""

    code = "apply_started"
    title = "The apply has started"
    remedy = "Cancel the run, or place a hold that stops what applies."


class AlreadyDecided(DomainError):
    """The approval has its decision."""

    code = "already_decided"
    title = "This approval is already decided"
    remedy = "Look at the approval's status; a new plan has an approval of its own."


class ApprovalExpired(DomainError):
    """The approval was not decided, or its apply not started, in time."""

    code = "approval_expired"
    title = "The approval has expired"
    remedy = "Retry the run to get a new plan."


class PolicyViolation(DomainError):
    """A mandatory policy rule refused the plan; `violations` names rule, resource and remedy."""

    code = "policy_violation"
    title = "The plan violates a mandatory policy"
    remedy = "Fix what the violations name, then retry the run."


# --- engine -----------------------------------------------------------------------------------
class EngineUnavailable(DomainError):
    """The Pulumi CLI is missing or has the wrong version, or the state backend is unavailable."""

    transient = True
    code = "engine_unavailable"
    title = "The engine is unavailable"
    remedy = (
        "Check that the state backend is reachable. If Pulumi is missing, run `make setup` or set "
        "TENANTPLANE_PULUMI to a pulumi of the pinned version."
    )


class EngineFailed(DomainError):
    """The engine reported an error; `reason` is one of the runner's error codes."""

    code = "engine_failed"
    title = "The engine failed"
    remedy = "Read the run's events, fix the cause, then retry the run."

    @property
    def is_death(self) -> bool:
        """Whether a process of the call ended before it could say how far it came."""
        return self.data.get("reason") in _DEATHS


_DEATHS: Final = frozenset({"runner_died", "engine_died", "provider_died"})


class StaleCall(DomainError):
    """A newer engine call owns the stack: what this one would write is refused."""

    code = "stale_call"
    title = "A newer engine call has taken over this stack"
    remedy = "Nothing to do: the newer call continues the run."


class ForeignLock(DomainError):
    """The stack's lock is held by something that is not one of our runs."""

    code = "foreign_lock"
    title = "The stack is locked by somebody else"
    remedy = "Find out who is working on the stack; once the lock is released, retry the run."


class PendingUnresolved(DomainError):
    """Whether an interrupted create left something of ours could not be determined."""

    code = "pending_unresolved"
    title = "The outcome of an interrupted create is unknown"
    remedy = "Look at the named resources in the cloud, then retry the run."


class VerificationFailed(DomainError):
    """A named check of the verification failed; `checks` names it."""

    code = "verification_failed"
    title = "The verification failed"
    remedy = "Read the failed checks of the run, fix the cause, then retry the run."


# --- bundles ----------------------------------------------------------------------------------
class TerraformUnavailable(DomainError):
    """Terraform is missing, or its provider is unavailable."""

    transient = True
    code = "terraform_unavailable"
    title = "The bundle was not rehearsed because Terraform is unavailable"
    remedy = (
        "Install Terraform 1.11 or later or set TENANTPLANE_TERRAFORM_MIRROR, then build again."
    )


class BundleInvalid(DomainError):
    """The bundle did not pass a check of its build."""

    code = "bundle_invalid"
    title = "The bundle did not pass its checks"
    remedy = "Correct the inputs that the checks name, then build again."


class LinkExpired(DomainError):
    """A download link is unknown, expired or revoked: the answers are equal."""

    code = "link_expired"
    title = "This link is invalid or has expired"
    remedy = "Ask your contact for a new link."


class ReceiptMismatch(DomainError):
    """The receipt does not belong to this bundle; `field` names what differs."""

    code = "receipt_mismatch"
    title = "The receipt does not belong to this bundle"
    remedy = "Send the receipt that this bundle's own apply printed."


class ReceiptAlreadyRegistered(DomainError):
    """Exactly this receipt of this bundle has been registered before."""

    code = "receipt_already_registered"
    title = "This receipt is already registered"
    remedy = "Nothing to do. To correct it, send another receipt of this bundle's apply."


class DestroyIncomplete(DomainError):
    """The receipt of a destroy lists what is left and gives no reason; `left` names it."""

    code = "destroy_incomplete"
    title = "Something is left of what the customer applied, and no reason is given"
    remedy = (
        "Destroy what `left` names, or name it in `remaining` with the reason and the end, then "
        "send the receipt again."
    )


class ImportDiffers(DomainError):
    """What the customer imported is not what was handed over; `kinds` and `differences` say what.

    Nothing is switched.
    """

    code = "import_differs"
    title = "What arrived is not what was handed over"
    remedy = "Import what `differences` names again, make a new report, and send that."


# --- platform ---------------------------------------------------------------------------------
class AuditUnavailable(DomainError):
    """The audit log cannot be written or is too far behind: nothing was done."""

    transient = True
    code = "audit_unavailable"
    title = "The audit log cannot be written, so nothing was done"
    remedy = "Retry later. Operators find the cause in /readyz."


class Unavailable(DomainError):
    """A component that the request needs is down."""

    transient = True
    code = "unavailable"
    title = "A component of the control plane is unavailable"
    remedy = "Retry later. Operators find the cause in /readyz."


class DataUnreadable(DomainError):
    """A store of a tenant refuses what a copy needs."""

    code = "data_unreadable"
    title = "A store refuses to be read or written"
    remedy = "Give the control plane's role in the account the right that is named, then retry."


class DataDiffers(DomainError):
    """What was copied is not what the source has."""

    code = "data_differs"
    title = "The copy differs from its source"
    remedy = "Nothing was switched. Retry: what differs is copied and compared again."


class SettingInvalid(DomainError):
    """A setting is invalid; the sentence names its environment variable."""

    code = "setting_invalid"
    title = "Invalid setting"
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
