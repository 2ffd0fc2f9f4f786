"""Mode C from the architect's desk to the customer's receipt, and every way it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.memory import MemoryBundleBuilder
from control_plane.adapters.terraform.builder import TerraformBundleBuilder
from control_plane.domain.actor import Role
from control_plane.domain.audit import AuditEvent
from control_plane.domain.bundle import Bundle, BundleStatus, Rehearsal
from control_plane.domain.errors import (
    DomainError,
    IllegalTransition,
    InvalidInput,
    LinkExpired,
    NotAllowed,
    NotFound,
    PreconditionFailed,
    ReceiptAlreadyRegistered,
    ReceiptMismatch,
    TerraformUnavailable,
)
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.ports import BuiltBundle, BundleOrder, Json, OnEvent
from control_plane.services import bundles, receipts
from control_plane.services.bundles import HandedOver
from control_plane.services.sweeps import expire_bundles
from control_plane.workflows import PHASES
from control_plane.workflows.core import Caller
from tests.world import ARCHITECT, AUDITOR, AUTOMATION, OPS, SOURCE, World, person

CUSTOMERS_ACCOUNT = "210987654321"
VARIABLES = SOURCE / "stacks" / "schemas" / "mode_c_variables.schema.json"
COLLEAGUE = person("sue", Role.SOLUTIONS_ARCHITECT)


class CheckingBuilder(MemoryBundleBuilder):
    """The builder in memory; variables are checked by the real one. ``fault`` breaks a build."""

    fault: Exception | None = None

    def build(self, order: BundleOrder, *, on_event: OnEvent) -> BuiltBundle:
        """Build, or break off."""
        if self.fault is not None:
            raise self.fault
        return super().build(order, on_event=on_event)

    def check_variables(self, variables: Json) -> None:
        """Validate variables. Raises ``InvalidInput`` naming the field."""
        nowhere = Path("not-used")
        TerraformBundleBuilder(
            modules=nowhere, guide=nowhere, variables_schema=VARIABLES, key_file=nowhere,
            work_folder=nowhere, binary="not-used", mirror=None, judge=lambda *_: {},
        ).check_variables(variables)  # fmt: skip


class Desk:
    """A Mode C tenant, and its newest bundle as the architect sees it."""

    def __init__(self, number: int = 1, world: World | None = None) -> None:
        self.world = world or World()
        if world is None:
            self.builder = CheckingBuilder()
            self.world.core = replace(self.world.core, builder=self.builder)
        self.core = self.world.core
        accepted = self.world.submit("C", number)
        self.tenant_id = accepted.tenant.id
        self.bundle_id = accepted.bundle_id or ""

    def bundle(self, bundle_id: str | None = None) -> Bundle:
        return bundles.get_bundle(self.core, AUDITOR, bundle_id or self.bundle_id)

    def events(self) -> list[AuditEvent]:
        return self.world.store.audit

    def accept(self) -> Bundle:
        return bundles.accept_bundle(self.core, ARCHITECT, self.bundle_id)

    def edit(self, who: Caller = ARCHITECT, version: int | None = None, **inputs: Any) -> Bundle:
        """Edit the newest bundle; what comes of it is the newest from then on."""
        if_version = self.bundle().version if version is None else version
        edited = bundles.edit_bundle(
            self.core, who, self.bundle_id, inputs=inputs, if_version=if_version
        )
        self.bundle_id = edited.id
        return edited

    def build(self, who: Caller = ARCHITECT) -> Bundle:
        bundles.build_bundle(self.core, who, self.bundle_id)
        self.world.work()
        return self.bundle()

    def hand_over(self) -> HandedOver:
        return bundles.hand_over(
            self.core, ARCHITECT, self.bundle_id,
            recipient_name="Carla Customer", recipient_email="carla@example.com",
        )  # fmt: skip

    def built(self) -> Bundle:
        self.accept()
        self.edit(account_id=CUSTOMERS_ACCOUNT)
        return self.build()

    def handed_over(self) -> HandedOver:
        self.built()
        return self.hand_over()

    def receipt(self, **changes: Any) -> dict[str, Any]:
        """Return what the apply of the newest bundle would print."""
        bundle = self.bundle()
        body = {
            "content_digest": bundle.content_digest,
            "tenant": self.world.tenant(self.tenant_id).slug,
            "deployment": bundle.deployment_id,
            "environment": "production",
            "account_id": CUSTOMERS_ACCOUNT,
            "region": "eu-west-1",
            "resources": {"vpc": "vpc-0123456789abcdef0"},
        }
        return {**body, **changes}

    def refused(self, kind: type[DomainError], act: Callable[[], object]) -> DomainError:
        """Do what must be refused; rows stay, and exactly one ``denied`` event is left."""
        rows = {name: dict(table) for name, table in self.world.store.rows.items()}
        known = len(self.events())
        with pytest.raises(kind) as caught:
            act()
        self.world.work()
        assert self.world.store.rows == rows
        (event,) = self.events()[known:]
        assert (str(event.stage), event.data["code"]) == ("denied", caught.value.code)
        return caught.value


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_from_the_desk_to_a_ready_tenant(desk: Desk) -> None:
    given = desk.handed_over()
    assert desk.world.tenant(desk.tenant_id).waiting_on is WaitingOn.CUSTOMER
    download = bundles.download_by_link(
        desk.core, person("anybody"), desk.bundle_id, given.token, name=None
    )
    assert download.name == "hub-dainese-1.tar.gz"
    assert download.digest == desk.bundle().archive_digest
    receipts.register_receipt(desk.core, ARCHITECT, desk.bundle_id, desk.receipt())
    assert desk.bundle().status is BundleStatus.APPLIED
    tenant = desk.world.tenant(desk.tenant_id)
    assert (tenant.status, tenant.waiting_on) == (TenantStatus.READY, None)
    assert desk.world.engine.calls == []
    assert desk.world.actions(desk.tenant_id) == [
        "request.accepted:completed", "mode.resolved:completed", "bundle.queued:completed",
        "tenant.status_changed:completed", "bundle.accepted:completed", "bundle.edited:completed",
        "bundle.build_requested:completed", "bundle.built:completed", "bundle.rehearsed:completed",
        "bundle.handed_over:completed", "link.issued:completed", "tenant.status_changed:completed",
        "bundle.downloaded:completed", "receipt.registered:completed",
        "tenant.status_changed:completed",
    ]  # fmt: skip


def test_a_bundle_is_taken_once(desk: Desk) -> None:
    assert desk.accept().accepted_by == ARCHITECT.actor.id
    desk.refused(
        IllegalTransition, lambda: bundles.accept_bundle(desk.core, COLLEAGUE, desk.bundle_id)
    )


def test_an_edit_on_an_older_version_is_refused(desk: Desk) -> None:
    seen = desk.accept().version
    desk.edit(account_id=CUSTOMERS_ACCOUNT, version=seen)
    desk.refused(
        PreconditionFailed, lambda: desk.edit(COLLEAGUE, seen, account_id="111111111111")
    )
    assert desk.bundle().inputs["account_id"] == CUSTOMERS_ACCOUNT


@pytest.mark.parametrize(
    ("name", "value"), [("region", "us-east-1"), ("schema_version", 2), ("owner", {"tenant": "x"})]
)
def test_what_the_request_fixed_is_not_edited(desk: Desk, name: str, value: Any) -> None:
    desk.accept()
    error = desk.refused(
        InvalidInput, lambda: desk.edit(account_id=CUSTOMERS_ACCOUNT, **{name: value})
    )
    assert error.data["field"] == f"inputs.{name}"


@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ({"account_id": "12"}, "inputs.account_id"),
        ({"surprise": True}, "inputs"),
        ({"uninstall": "no"}, "inputs.uninstall"),
    ],
)
def test_inputs_that_cannot_be_right_are_refused_by_name(
    desk: Desk, inputs: dict[str, Any], field: str
) -> None:
    desk.accept()
    merged = {"account_id": CUSTOMERS_ACCOUNT, **inputs}
    assert desk.refused(InvalidInput, lambda: desk.edit(**merged)).data["field"] == field


def test_an_edit_names_what_changed_and_never_its_value(desk: Desk) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    event = desk.events()[-1]
    assert (event.action, event.data["changed"]) == ("bundle.edited", ["account_id"])
    assert CUSTOMERS_ACCOUNT not in json.dumps(dict(event.data))


@pytest.mark.parametrize("who", [OPS, AUDITOR, AUTOMATION], ids=lambda who: str(who.actor.id))
def test_a_build_by_who_is_no_architect_is_refused(desk: Desk, who: Caller) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    desk.refused(NotAllowed, lambda: desk.build(who))
    event = desk.events()[-1]
    assert (event.tree, event.action) == (desk.tenant_id, "authz.denied")
    assert event.data["route"] == "bundles.build"
    assert desk.builder.orders == []


def test_a_bundle_of_another_tenant_is_not_there(desk: Desk) -> None:
    stranger = person("eve", Role.SOLUTIONS_ARCHITECT, tenants=("ten_other",))
    desk.refused(NotFound, lambda: bundles.accept_bundle(desk.core, stranger, desk.bundle_id))
    assert desk.events()[-1].tree == "platform"


def test_a_build_without_the_account_is_refused_and_names_it(desk: Desk) -> None:
    desk.accept()
    error = desk.refused(InvalidInput, desk.build)
    assert error.data["field"] == "inputs.account_id"
    assert desk.bundle().status is BundleStatus.ACCEPTED


def test_a_build_that_fails_keeps_its_checks_and_can_be_corrected(desk: Desk) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    desk.builder.failing_checks.add("policies")
    failed = desk.build()
    assert failed.status is BundleStatus.BUILD_FAILED
    assert [c["name"] for c in failed.checks if not c["ok"]] == ["policies"]
    assert (failed.error or {})["code"] == "bundle_invalid"
    event = desk.events()[-1]
    assert (event.action, str(event.stage)) == ("bundle.build_failed", "failed")
    assert event.data["checks"] == ["policies"]
    desk.builder.failing_checks.clear()
    assert desk.edit(uninstall=False).number == 1
    built = desk.build()
    assert (built.status, built.error) == (BundleStatus.BUILT, None)


def test_a_build_that_breaks_off_is_not_left_building(desk: Desk) -> None:
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT)
    desk.builder.fault = OSError("no space left on device")
    with pytest.raises(OSError, match="no space"):
        desk.build()
    failed = desk.bundle()
    assert failed.status is BundleStatus.BUILD_FAILED
    assert "space" not in json.dumps(dict(failed.error or {}))
    desk.builder.fault = None
    assert desk.build().status is BundleStatus.BUILT


def test_the_same_inputs_build_the_same_bytes(desk: Desk) -> None:
    built = desk.built()
    again = desk.core.builder.build(desk.builder.orders[-1], on_event=lambda *_: None)
    assert again.archive_digest == built.archive_digest


def test_a_build_that_was_done_is_not_done_again(desk: Desk) -> None:
    built = desk.built()
    PHASES["build_bundle"](desk.core, built.id)  # what the queue does after a crash at its end
    assert desk.bundle() == built


def test_what_was_not_rehearsed_is_not_handed_over(desk: Desk) -> None:
    desk.builder.rehearsal = "none"
    assert desk.built().rehearsal is Rehearsal.NONE
    desk.refused(TerraformUnavailable, desk.hand_over)
    assert desk.world.store.rows["download_link"] == {}


@pytest.mark.parametrize(("name", "email"), [("", "carla@example.com"), ("Carla", "carla")])
def test_a_recipient_has_a_name_and_an_address(desk: Desk, name: str, email: str) -> None:
    desk.built()
    desk.refused(
        InvalidInput,
        lambda: bundles.hand_over(
            desk.core, ARCHITECT, desk.bundle_id, recipient_name=name, recipient_email=email
        ),
    )


def test_who_received_a_bundle_is_personal_and_the_link_secret_nowhere(desk: Desk) -> None:
    given = desk.handed_over()
    secret = given.token.partition(".")[2]
    kept = repr(desk.world.store.rows) + repr(desk.events())
    assert secret not in kept
    issued = [e for e in desk.events() if e.action in {"bundle.handed_over", "link.issued"}]
    for event in issued:
        assert event.personal["recipient.email"] == "carla@example.com"
        assert "carla" not in json.dumps(dict(event.data)).lower()


def test_a_link_counts_its_uses_and_opens_the_signature_too(desk: Desk) -> None:
    given = desk.handed_over()
    names = sorted(desk.bundle().files)
    for name in names:
        bundles.download_by_link(
            desk.core, person("anybody"), desk.bundle_id, given.token, name=name
        )
    (link,) = desk.world.store.rows["download_link"].values()
    assert link.uses == len(names) == 3
    read = [e.data["file"] for e in desk.events() if e.action == "bundle.downloaded"]
    assert read == names


def _wrong_secret(desk: Desk, token: str) -> tuple[str, str]:
    return desk.bundle_id, f"{token.partition('.')[0]}.{'x' * 43}"


def _unknown(desk: Desk, token: str) -> tuple[str, str]:
    return desk.bundle_id, f"lnk_nobody.{token.partition('.')[2]}"


def _expired(desk: Desk, token: str) -> tuple[str, str]:
    desk.world.clock.advance(hours=72)
    return desk.bundle_id, token


def _of_another_bundle(desk: Desk, token: str) -> tuple[str, str]:
    other = Desk(2, desk.world)
    other.handed_over()
    return other.bundle_id, token


def _superseded(desk: Desk, token: str) -> tuple[str, str]:
    old = desk.bundle_id
    desk.edit(uninstall=True)
    return old, token


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_wrong_secret, "wrong_secret"),
        (_unknown, "unknown"),
        (_expired, "expired"),
        (_of_another_bundle, "unknown"),
        (_superseded, "superseded"),
    ],
)
def test_every_bad_link_answers_the_same_and_the_log_has_the_reason(
    desk: Desk, spoil: Callable[[Desk, str], tuple[str, str]], reason: str
) -> None:
    bundle_id, token = spoil(desk, desk.handed_over().token)
    error = desk.refused(
        LinkExpired,
        lambda: bundles.download_by_link(
            desk.core, person("anybody"), bundle_id, token, name=None
        ),
    )
    assert (str(error), dict(error.data)) == ("this link is not valid", {})
    event = desk.events()[-1]
    assert (event.action, event.data["status"]) == ("link.refused", reason)


def test_the_last_second_of_a_link_is_still_good(desk: Desk) -> None:
    given = desk.handed_over()
    desk.world.clock.advance(hours=71, minutes=59, seconds=59)
    assert bundles.download_by_link(
        desk.core, person("anybody"), desk.bundle_id, given.token, name=None
    ).content


def test_a_file_that_the_bundle_has_not_is_not_found(desk: Desk) -> None:
    given = desk.handed_over()
    with pytest.raises(NotFound):
        bundles.download_by_link(
            desk.core, person("anybody"), desk.bundle_id, given.token, name="../master.key"
        )
    (link,) = desk.world.store.rows["download_link"].values()
    assert link.uses == 0


@pytest.mark.parametrize(
    "field", ["content_digest", "tenant", "deployment", "environment", "account_id", "region"]
)
def test_a_receipt_that_is_not_of_this_bundle_is_refused_by_field(desk: Desk, field: str) -> None:
    desk.handed_over()
    error = desk.refused(ReceiptMismatch, lambda: _register(desk, desk.receipt(**{field: "other"})))
    assert error.data["field"] == field
    assert desk.events()[-1].action == "receipt.refused"
    assert desk.world.tenant(desk.tenant_id).status is TenantStatus.PENDING


def test_a_receipt_of_another_tenant_is_refused(desk: Desk) -> None:
    desk.handed_over()
    other = Desk(2, desk.world)
    other.handed_over()
    desk.refused(ReceiptMismatch, lambda: _register(desk, other.receipt()))


def test_a_receipt_without_a_field_is_refused_by_its_name(desk: Desk) -> None:
    desk.handed_over()
    body = desk.receipt()
    del body["account_id"]
    error = desk.refused(InvalidInput, lambda: _register(desk, body))
    assert error.data["field"] == "receipt.account_id"


def test_a_receipt_is_registered_once(desk: Desk) -> None:
    desk.handed_over()
    _register(desk, desk.receipt())
    for body in (desk.receipt(), desk.receipt(content_digest="other")):
        desk.refused(ReceiptAlreadyRegistered, partial(_register, desk, body))
    assert len(desk.world.store.rows["receipt"]) == 1


def test_a_receipt_before_the_hand_over_is_refused(desk: Desk) -> None:
    desk.built()
    desk.refused(IllegalTransition, lambda: _register(desk, desk.receipt()))


def _register(desk: Desk, body: Mapping[str, Any]) -> object:
    return receipts.register_receipt(desk.core, ARCHITECT, desk.bundle_id, body)


@pytest.mark.parametrize("handed_over", [False, True])
def test_an_edit_after_the_build_makes_a_new_version(desk: Desk, handed_over: bool) -> None:
    desk.built()
    if handed_over:
        desk.hand_over()
    old = desk.bundle()
    new = desk.edit(uninstall=True)
    assert desk.bundle(old.id).status is BundleStatus.SUPERSEDED
    assert (new.number, new.status) == (2, BundleStatus.ACCEPTED)
    assert new.inputs == {**old.inputs, "uninstall": True}
    # nothing of the old version's bytes is claimed by the new one
    assert (new.content_digest, new.archive_name, new.files) == (None, None, {})
    assert (new.rehearsal, new.checks) == (Rehearsal.NONE, ())
    assert desk.world.tenant(desk.tenant_id).waiting_on is WaitingOn.ARCHITECT
    assert "bundle.superseded:completed" in desk.world.actions(desk.tenant_id)
    built = desk.build()
    assert built.archive_name == "hub-dainese-2.tar.gz"
    assert built.content_digest != old.content_digest


def test_the_receipt_of_a_superseded_version_is_refused_by_the_new_one(desk: Desk) -> None:
    desk.handed_over()
    body = desk.receipt()
    desk.edit(uninstall=True)
    desk.build()
    desk.hand_over()
    error = desk.refused(ReceiptMismatch, lambda: _register(desk, body))
    assert error.data["field"] == "content_digest"


def test_an_applied_bundle_is_not_edited(desk: Desk) -> None:
    desk.handed_over()
    _register(desk, desk.receipt())
    desk.refused(IllegalTransition, lambda: desk.edit(uninstall=True))


@pytest.mark.parametrize("step", ["queued", "accepted", "built", "handed_over"])
def test_a_bundle_that_is_not_used_in_time_expires(desk: Desk, step: str) -> None:
    {"queued": desk.bundle, "accepted": desk.accept, "built": desk.built,
     "handed_over": desk.handed_over}[step]()  # fmt: skip
    desk.world.clock.advance(days=59)
    assert expire_bundles(desk.core) == 0
    desk.world.clock.advance(days=1)
    assert expire_bundles(desk.core) == 1
    assert expire_bundles(desk.core) == 0
    assert desk.bundle().status is BundleStatus.EXPIRED
    assert desk.world.actions(desk.tenant_id)[-1] == "bundle.expired:completed"
    assert bundles.allowed_actions(desk.bundle()) == []


def test_an_applied_bundle_does_not_expire(desk: Desk) -> None:
    desk.handed_over()
    _register(desk, desk.receipt())
    desk.world.clock.advance(days=400)
    assert expire_bundles(desk.core) == 0


def test_the_stored_bytes_are_those_that_were_built(desk: Desk) -> None:
    built = desk.built()
    order = desk.builder.orders[-1]
    expected = desk.builder.build(order, on_event=lambda *_: None)
    files = {built.archive_name: expected.archive, **expected.files}
    for name, content in files.items():
        download = bundles.download_as_architect(desk.core, ARCHITECT, built.id, name=name)
        assert download.content == content
