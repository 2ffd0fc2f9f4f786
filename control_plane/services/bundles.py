"""Mode C: an architect takes a bundle, edits its inputs and has it built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from control_plane.domain.actor import Role
from control_plane.domain.bundle import Bundle, BundleStatus
from control_plane.domain.bundle_inputs import advice, fixed_field, merged
from control_plane.domain.canonical import digest
from control_plane.domain.errors import (
    IllegalTransition,
    InvalidInput,
    PreconditionFailed,
)
from control_plane.domain.timers import TimerKind
from control_plane.services.permission import listed, require_role, visible
from control_plane.services.starting import next_bundle
from control_plane.workflows.core import Act, Core
from control_plane.workflows.owners import sync_tenant
from control_plane.workflows.recording import record_bundle, refused_as

ARCHITECT = Role.SOLUTIONS_ARCHITECT  # everything but reading
READERS = (ARCHITECT, Role.AUDITOR, Role.PLATFORM_ADMIN, Role.OPS_APPROVER)
_S = BundleStatus
REPLACEABLE = frozenset({_S.BUILT, _S.HANDED_OVER, _S.EXPIRED, _S.APPLIED})
# what is asked for -> how a refusal says it
_CANNOT: Final[Mapping[str, str]] = {
    "accept": "cannot be accepted",
    "edit": "cannot be edited",
    "build": "cannot be built",
    "hand-over": "cannot be handed over",
    "receipts": "takes no receipt: it was not handed over",
    "revoke-link": "has no link to revoke",
}


def allowed_actions(act: Act, *found: Bundle) -> Mapping[str, list[str]]:
    """Return what the caller may ask of bundles that were read for it, by bundle id."""
    if not act.caller.actor.has(ARCHITECT):
        return {bundle.id: [] for bundle in found}
    newest = act.uow.queries.newest_bundles([bundle.deployment_id for bundle in found])
    return {
        bundle.id: [a for a in _possible(bundle) if a != "edit" or bundle.id in newest]
        for bundle in found
    }


def _possible(bundle: Bundle) -> list[str]:
    """Return what a bundle allows in its current status.

    A version that was handed over takes its receipt even when it was superseded or has expired
    since: the customer may have applied it.
    """
    given = bundle.handed_over_at is not None
    actions = {
        _S.AWAITING_ARCHITECT: ["accept"],
        _S.ACCEPTED: ["edit", "build"],
        _S.BUILD_FAILED: ["edit", "build"],
        _S.BUILT: ["hand-over", "edit"],
        _S.HANDED_OVER: ["receipts", "hand-over", "edit", "revoke-link"],
        _S.APPLIED: ["receipts", "edit", "revoke-link"],
        _S.SUPERSEDED: ["receipts"] if given else [],
        _S.EXPIRED: ["edit", "receipts"] if given else ["edit"],
    }
    return actions.get(bundle.status, [])


def get_bundle(act: Act, bundle_id: str) -> Bundle:
    """Return a bundle. Raises ``NotFound``."""
    require_role(act, *READERS, wanted="bundles.read")
    return visible(act, act.uow.bundles.get(bundle_id), wanted="bundles.read")


def list_bundles(act: Act, *, limit: int, before: str | None, status: str | None) -> list[Bundle]:
    """Return the bundles of the caller's tenants, newest first."""
    require_role(act, *READERS, wanted="bundles.read")
    return act.uow.bundles.page(limit=limit, before=before, **listed(act, status=status))


def may_change(act: Act, bundle_id: str, wanted: str) -> Bundle:
    """Return a bundle that the caller may change. Raises ``NotFound``, ``NotAllowed``."""
    bundle = visible(act, act.uow.bundles.get(bundle_id), wanted=f"bundles.{wanted}")
    tree = bundle.tenant_id
    require_role(act, ARCHITECT, wanted=f"bundles.{wanted}", tree=tree)
    return bundle


@contextmanager
def taken_up(act: Act, bundle_id: str, wanted: str) -> Iterator[Bundle]:
    """Let an architect do something with a bundle, locked; a refusal leaves an event."""
    bundle = may_change(act, bundle_id, wanted)
    tree, targets = bundle.tenant_id, (("bundle", bundle_id),)
    is_receipt = wanted == "receipts"
    action, data = ("receipt.refused", {}) if is_receipt else ("bundle.refused", {"wanted": wanted})
    with refused_as(act, action, tree=tree, targets=targets, **data):
        locked = act.uow.bundles.need(bundle_id, lock=True)
        _require_possible(locked, wanted)
        yield locked


def _require_possible(bundle: Bundle, wanted: str) -> None:
    if wanted not in _possible(bundle):
        raise IllegalTransition(
            f"this bundle {_CANNOT[wanted]}: it is {str(bundle.status).replace('_', ' ')}",
            present_status=str(bundle.status),
        )


def accept_bundle(act: Act, bundle_id: str) -> Bundle:
    """Take a queued bundle."""
    with taken_up(act, bundle_id, "accept") as bundle:
        taken = bundle.moved(_S.ACCEPTED, act.now(), accepted_by=act.caller.actor.id)
        act.uow.bundles.save(taken)
        record_bundle(act, "bundle.accepted", taken)
        return taken


def edit_bundle(
    act: Act,
    bundle_id: str,
    *,
    inputs: Mapping[str, Any],
    if_version: int,
) -> Bundle:
    """Change inputs; of a bundle that is built or later that makes the next version.

    The links of a version that was handed over and not yet applied end with it.

    ``inputs`` are merged in as ``bundle_inputs.merged`` does, and may be none. The result is
    checked before anything is stored; ``account_id`` may stay empty until the build.
    Raises ``PreconditionFailed`` when somebody else changed the bundle since ``if_version``.
    """
    with taken_up(act, bundle_id, "edit") as bundle:
        if bundle.version != if_version:
            raise PreconditionFailed("the bundle was changed by somebody else")
        others = act.uow.bundles.find(deployment_id=bundle.deployment_id)
        _require_newest(bundle, others)
        result = merged(bundle.inputs, inputs)
        for name in inputs.keys() - bundle.inputs.keys() - result.keys():
            raise InvalidInput(f"{name[:100]} is not a field of the inputs", field="inputs")
        _require_changeable(bundle, others, result)
        act.core.builder.check_variables(result, is_draft=True)
        _require_zones(act.core, result)
        edited = bundle
        if bundle.status in REPLACEABLE:
            edited = next_bundle(act, bundle)
            sync_tenant(act, bundle.tenant_id)
        edited = edited.changed(act.now(), inputs=result)
        act.uow.bundles.save(edited)
        record_bundle(
            act, "bundle.edited", edited, changed=sorted(inputs),
            inputs_digest=digest(result), previous_digest=digest(dict(bundle.inputs)),
        )  # fmt: skip
        return edited


def _require_newest(bundle: Bundle, others: list[Bundle]) -> None:
    newest = max(others, key=lambda other: other.number, default=bundle)
    if newest.number > bundle.number:
        raise IllegalTransition(
            f"version {newest.number} ({newest.id}) supersedes this one; edit that",
            present_status=str(bundle.status),
        )


def _require_changeable(bundle: Bundle, others: list[Bundle], result: Mapping[str, Any]) -> None:
    installed = any(other.status is _S.APPLIED for other in others)
    fixed = fixed_field(bundle.inputs, result, installed=installed)
    if fixed == "owner.install_id":
        raise InvalidInput(
            "owner.install_id names what is installed; it can be changed before the first apply, "
            "and after a removal only by the customer (MODE-C.md, Removal)",
            field=f"inputs.{fixed}",
        )
    if fixed:
        raise InvalidInput(f"{fixed} is fixed by the request", field=f"inputs.{fixed}")


def _require_zones(core: Core, result: Mapping[str, Any]) -> None:
    """Refuse a zone that is not in the region: AWS would say so when half of the Hub is built."""
    region = str(result["region"])
    known = core.rules.regions.availability_zones(region)
    foreign = sorted(set(result["network"]["zones"]) - set(known))
    if foreign:
        raise InvalidInput(
            f"network.zones: {region} has no zone {foreign[0]}; it has {', '.join(known)}",
            field="inputs.network.zones",
        )


def warnings(core: Core, bundle: Bundle) -> tuple[str, ...]:
    """Return what is allowed in the inputs and probably not meant, or will soon be too old."""
    today = core.clock.now().date()
    return (*advice(bundle.inputs), *core.rules.versions.warnings(bundle.inputs, today))


def build_bundle(act: Act, bundle_id: str) -> Bundle:
    """Build, sign and rehearse; the worker does it."""
    with taken_up(act, bundle_id, "build") as bundle:
        act.core.builder.check_variables(bundle.inputs)
        _require_zones(act.core, bundle.inputs)
        building = bundle.moved(
            _S.BUILDING, act.now(), builds=bundle.builds + 1, error=None, checks=()
        )
        act.uow.bundles.save(building)
        record_bundle(act, "bundle.build_requested", building)
        act.uow.timers.set(
            TimerKind.BUNDLE_WATCH, bundle.id, act.now() + act.core.limits.build_life
        )
        act.uow.queue.enqueue(
            "build_bundle", bundle.id,
            partition=bundle.deployment_id, owner=bundle.tenant_id, attempt=building.version,
        )  # fmt: skip
        return building
