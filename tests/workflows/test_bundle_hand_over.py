"""Mode C after the build: hand-over, links, receipts, new versions, and how each is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from control_plane.domain.bundle import BundleStatus, Receipt, Rehearsal
from control_plane.domain.errors import (
    IllegalTransition,
    InvalidInput,
    LinkExpired,
    NotFound,
    ReceiptAlreadyRegistered,
    ReceiptMismatch,
    TerraformUnavailable,
)
from control_plane.domain.tenant import TenantStatus, WaitingOn
from control_plane.services import handovers, receipts
from control_plane.services.performing import perform
from control_plane.workflows.timers import fire_due
from tests.workflows.desk import CUSTOMERS_ACCOUNT, Desk, fired
from tests.world import ARCHITECT, SOURCE, World, person

MODULES = SOURCE / "stacks" / "mode_c_modules"


@pytest.fixture
def desk(world: World) -> Desk:
    return Desk(world)


def test_what_was_not_rehearsed_is_not_handed_over(desk: Desk) -> None:
    desk.builder.rehearsal = "none"
    assert desk.built().rehearsal is Rehearsal.NONE
    desk.refused(TerraformUnavailable, desk.hand_over)
    assert desk.world.rows("download_link") == {}


@pytest.mark.parametrize(("name", "email"), [("", "carla@example.com"), ("Carla", "carla")])
def test_a_recipient_has_a_name_and_an_address(desk: Desk, name: str, email: str) -> None:
    desk.built()
    desk.refused(
        InvalidInput,
        lambda: perform(
            desk.core,
            ARCHITECT,
            handovers.hand_over,
            desk.bundle_id,
            recipient_name=name,
            recipient_email=email,
        ),
    )


def test_who_received_a_bundle_is_personal_and_the_link_secret_nowhere(desk: Desk) -> None:
    given = desk.handed_over()
    secret = given.token.partition(".")[2]
    kept = repr(desk.world.storage.everything()) + repr(desk.events())
    assert secret not in kept
    issued = [e for e in desk.events() if e.action in {"bundle.handed_over", "link.issued"}]
    for event in issued:
        assert event.personal["recipient.email"] == "carla@example.com"
        assert "carla" not in json.dumps(dict(event.data)).lower()


def test_a_link_counts_its_uses_and_opens_the_signature_too(desk: Desk) -> None:
    given = desk.handed_over()
    names = sorted(desk.bundle().files)
    for name in names:
        perform(
            desk.core,
            person("anybody"),
            handovers.download_by_link,
            desk.bundle_id,
            given.token,
            name=name,
        )
    (link,) = desk.world.rows("download_link").values()
    assert link.uses == len(names) == 4
    read = [e.data["file"] for e in desk.events() if e.action == "bundle.downloaded"]
    assert read == names


def test_the_address_of_who_uses_a_link_is_kept_beside_the_log(desk: Desk) -> None:
    given = desk.handed_over()
    who = replace(person("anybody"), address="203.0.113.7")
    perform(desk.core, who, handovers.download_by_link, desk.bundle_id, given.token, name=None)
    (event,) = [e for e in desk.events() if e.action == "bundle.downloaded"]
    assert event.personal == {"remote_address": "203.0.113.7"}
    assert "203.0.113.7" not in str(event.body)


def _wrong_secret(desk: Desk, token: str) -> tuple[str, str]:
    return desk.bundle_id, f"{token.partition('.')[0]}.{'x' * 43}"


def _unknown(desk: Desk, token: str) -> tuple[str, str]:
    return desk.bundle_id, f"lnk_nobody.{token.partition('.')[2]}"


def _expired(desk: Desk, token: str) -> tuple[str, str]:
    desk.world.clock.advance(hours=72)
    return desk.bundle_id, token


def _of_another_bundle(desk: Desk, token: str) -> tuple[str, str]:
    other = Desk(desk.world, 2)
    other.handed_over()
    return other.bundle_id, token


def _superseded(desk: Desk, token: str) -> tuple[str, str]:
    old = desk.bundle_id
    desk.edit(uninstall=True)
    return old, token


def _revoked(desk: Desk, token: str) -> tuple[str, str]:
    perform(desk.core, ARCHITECT, handovers.revoke_link, desk.bundle_id, token.partition(".")[0])
    return desk.bundle_id, token


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_wrong_secret, "wrong_secret"),
        (_unknown, "unknown"),
        (_expired, "expired"),
        (_of_another_bundle, "unknown"),
        (_superseded, "superseded"),
        (_revoked, "revoked"),
    ],
)
def test_every_bad_link_answers_the_same_and_the_log_has_the_reason(
    desk: Desk, spoil: Callable[[Desk, str], tuple[str, str]], reason: str
) -> None:
    bundle_id, token = spoil(desk, desk.handed_over().token)
    error = desk.refused(
        LinkExpired,
        lambda: perform(
            desk.core, person("anybody"), handovers.download_by_link, bundle_id, token, name=None
        ),
    )
    assert (str(error), dict(error.data)) == ("this link is invalid or has expired", {})
    event = desk.events()[-1]
    assert (event.action, event.data["status"]) == ("link.refused", reason)
    # of a link that was given to somebody the log says which one; a stranger's guess is nobody's
    is_real = reason in {"superseded", "expired", "revoked"}
    assert event.data.get("link") == (token.partition(".")[0] if is_real else None)


def test_the_last_second_of_a_link_is_still_good(desk: Desk) -> None:
    given = desk.handed_over()
    desk.world.clock.advance(hours=71, minutes=59, seconds=59)
    assert perform(
        desk.core,
        person("anybody"),
        handovers.download_by_link,
        desk.bundle_id,
        given.token,
        name=None,
    ).content


def test_a_file_that_the_bundle_has_not_is_not_found(desk: Desk) -> None:
    given = desk.handed_over()
    with pytest.raises(NotFound):
        perform(
            desk.core,
            person("anybody"),
            handovers.download_by_link,
            desk.bundle_id,
            given.token,
            name="../master.key",
        )
    (link,) = desk.world.rows("download_link").values()
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
    other = Desk(desk.world, 2)
    other.handed_over()
    desk.refused(ReceiptMismatch, lambda: _register(desk, other.receipt()))


def test_a_receipt_without_a_field_is_refused_by_its_name(desk: Desk) -> None:
    desk.handed_over()
    body = desk.receipt()
    del body["account_id"]
    error = desk.refused(InvalidInput, lambda: _register(desk, body))
    assert error.data["field"] == "receipt.account_id"


@pytest.mark.parametrize("wrap", [lambda body: {"value": body}, lambda body: {"receipt": body}])
def test_a_wrapped_receipt_is_refused_with_what_to_send(
    desk: Desk, wrap: Callable[[Any], dict[str, Any]]
) -> None:
    desk.handed_over()
    error = desk.refused(InvalidInput, lambda: _register(desk, wrap(desk.receipt())))
    assert "send what `terraform output -json receipt` prints" in error.message


def test_the_same_receipt_is_registered_once(desk: Desk) -> None:
    desk.handed_over()
    _register(desk, desk.receipt())
    desk.refused(ReceiptAlreadyRegistered, lambda: _register(desk, desk.receipt()))
    desk.refused(ReceiptMismatch, lambda: _register(desk, desk.receipt(content_digest="other")))
    assert len(desk.world.rows("receipt")) == 1


def test_a_later_receipt_corrects_the_ids_of_an_earlier_one(desk: Desk) -> None:
    desk.handed_over()
    first, right = desk.receipt(), desk.receipt()
    right["resources"] = {**right["resources"], "vpc_id": "vpc-00000000000000001"}
    first_id = _register(desk, first).id
    second = _register(desk, right)
    assert desk.events()[-1].data["corrects"] == first_id
    assert desk.bundle().status is BundleStatus.APPLIED
    assert desk.world.tenant(desk.tenant_id).status is TenantStatus.READY
    assert desk.world.rows("receipt")[second.id].body == right
    desk.refused(ReceiptAlreadyRegistered, lambda: _register(desk, right))
    third = _register(desk, first)  # the first was right after all
    with desk.core.uow() as uow:
        (deployment,) = uow.deployments.find(tenant_id=desk.tenant_id)
    assert deployment.outputs == third.body["resources"] == first["resources"]


_WRONG_RESOURCES = {
    "app_role_arn": "arn:aws:iam::210987654321:role/other-app",
    "data_bucket": "other-data-210987654321",
    "database_id": "other-db",
    "log_bucket": "other-logs-210987654321",
    "table_name": "other-hub",
    "data_key_arn": "arn:aws:kms:eu-west-1:999999999999:key/0",
    "logs_key_arn": "arn:aws:kms:eu-central-1:210987654321:key/0",
    "secrets_key_arn": "arn:aws:kms:us-east-1:999999999999:key/0",
}


@pytest.mark.parametrize("name", _WRONG_RESOURCES)
def test_a_receipt_that_names_another_resource_is_refused_by_field(desk: Desk, name: str) -> None:
    desk.handed_over()
    body = desk.receipt()
    body["resources"] = {**body["resources"], name: _WRONG_RESOURCES[name]}
    error = desk.refused(ReceiptMismatch, lambda: _register(desk, body))
    assert error.data["field"] == f"resources.{name}"
    assert desk.world.tenant(desk.tenant_id).status is TenantStatus.PENDING


@pytest.mark.parametrize("name", [*_WRONG_RESOURCES, "vpc_id"])
@pytest.mark.parametrize("value", [None, "", "no such form", 7, ["x"]])
def test_a_receipt_without_a_resource_is_refused_by_field(
    desk: Desk, name: str, value: object
) -> None:
    desk.handed_over()
    body = desk.receipt()
    body["resources"] = {**body["resources"], name: value}
    if value is None:
        del body["resources"][name]
    error = desk.refused(InvalidInput, lambda: _register(desk, body))
    assert error.data["field"] == f"receipt.resources.{name}"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"resources": {}}, "receipt.resources.app_role_arn"),
        ({"resources": []}, "receipt.resources"),
        ({"resources": None}, "receipt.resources"),
        ({"schema_version": 2}, "receipt.schema_version"),
        ({"module_set_version": "x"}, "receipt.module_set_version"),
        ({"password": "hunter2"}, "receipt.password"),
    ],
)
def test_only_a_whole_receipt_is_kept(desk: Desk, changes: dict[str, Any], field: str) -> None:
    desk.handed_over()
    error = desk.refused(InvalidInput, lambda: _register(desk, desk.receipt(**changes)))
    assert error.data["field"] == field
    assert "hunter2" not in error.message


def test_what_the_customer_brings_is_in_the_receipt(desk: Desk) -> None:
    example = MODULES / "examples" / "existing.tfvars.json"
    brought = json.loads(example.read_text(encoding="utf-8"))
    desk.accept()
    desk.edit(account_id=CUSTOMERS_ACCOUNT, network=brought["network"], keys=brought["keys"])
    desk.build()
    desk.hand_over()
    right = desk.receipt()
    assert right["resources"]["vpc_id"] == brought["network"]["vpc_id"]
    for name, value in (
        ("vpc_id", "vpc-00000000000000001"),
        ("logs_key_arn", brought["keys"]["data_key_arn"]),
    ):
        body = {**right, "resources": {**right["resources"], name: value}}
        error = desk.refused(ReceiptMismatch, partial(_register, desk, body))
        assert error.data["field"] == f"resources.{name}"
    assert _register(desk, right)


def test_a_receipt_before_the_hand_over_is_refused(desk: Desk) -> None:
    desk.built()
    desk.refused(IllegalTransition, lambda: _register(desk, desk.receipt()))


def _register(desk: Desk, body: Mapping[str, Any]) -> Receipt:
    return perform(desk.core, ARCHITECT, receipts.register_receipt, desk.bundle_id, body)


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


@pytest.mark.parametrize("step", ["queued", "accepted", "built", "handed_over"])
def test_a_bundle_that_is_not_used_in_time_expires(desk: Desk, step: str) -> None:
    steps: dict[str, Callable[[], object]] = {
        "queued": desk.bundle,
        "accepted": desk.accept,
        "built": desk.built,
        "handed_over": desk.handed_over,
    }
    steps[step]()
    desk.world.clock.advance(days=59)
    assert fired(desk, "bundle.expired:completed") == 0
    desk.world.clock.advance(days=1)
    assert fired(desk, "bundle.expired:completed") == 1
    assert fired(desk, "bundle.expired:completed") == 0
    assert desk.bundle().status is BundleStatus.EXPIRED
    assert "bundle.expired:completed" in desk.world.actions(desk.tenant_id)[-2:]
    given = ["receipts"] if step == "handed_over" else []
    assert desk.actions() == ["edit", *given]
    assert desk.world.tenant(desk.tenant_id).waiting_on is WaitingOn.ARCHITECT


def test_an_expired_bundle_is_made_again_by_an_edit_that_changes_nothing(desk: Desk) -> None:
    desk.handed_over()
    expired = desk.bundle()
    desk.world.clock.advance(days=60)
    fire_due(desk.core)
    desk.refused(IllegalTransition, desk.hand_over)
    renewed = desk.edit()
    assert (renewed.number, renewed.status) == (2, BundleStatus.ACCEPTED)
    assert renewed.inputs == expired.inputs
    assert desk.bundle(expired.id).status is BundleStatus.SUPERSEDED
    assert desk.build().content_digest == expired.content_digest
    desk.hand_over()
    _register(desk, desk.receipt())
    assert desk.bundle().status is BundleStatus.APPLIED


def test_an_applied_bundle_does_not_expire(desk: Desk) -> None:
    desk.handed_over()
    _register(desk, desk.receipt())
    desk.world.clock.advance(days=400)
    assert fired(desk, "bundle.expired:completed") == 0


def test_the_stored_bytes_are_those_that_were_built(desk: Desk) -> None:
    built = desk.built()
    order = desk.builder.orders[-1]
    expected = desk.builder.build(order, on_events=lambda *_: None)
    assert built.archive_name is not None
    files = {built.archive_name: expected.archive, **expected.files}
    for name, content in files.items():
        download = perform(
            desk.core, ARCHITECT, handovers.download_as_architect, built.id, name=name
        )
        assert download.content == content


# --- links ------------------------------------------------------------------------------------
def test_a_revoked_link_opens_nothing_and_the_others_do(desk: Desk) -> None:
    first, second = desk.handed_over(), desk.hand_over()
    revoked = perform(desk.core, ARCHITECT, handovers.revoke_link, desk.bundle_id, first.link.id)
    assert revoked.link.revoked_at == desk.core.clock.now()
    assert desk.events()[-1].action == "link.revoked"
    open_link = partial(
        perform, desk.core, person("anybody"), handovers.download_by_link, desk.bundle_id
    )
    desk.refused(LinkExpired, lambda: open_link(first.token, name=None))
    assert open_link(second.token, name=None).content


def test_a_link_is_revoked_once(desk: Desk) -> None:
    given = desk.handed_over()
    first = perform(desk.core, ARCHITECT, handovers.revoke_link, desk.bundle_id, given.link.id)
    desk.world.clock.advance(hours=1)
    assert (
        perform(desk.core, ARCHITECT, handovers.revoke_link, desk.bundle_id, given.link.id) == first
    )
    assert [e.action for e in desk.events()].count("link.revoked") == 1


def test_a_link_of_another_bundle_is_not_revoked(desk: Desk) -> None:
    desk.handed_over()
    other = Desk(desk.world, 2)
    given = other.handed_over()
    desk.refused(
        NotFound,
        lambda: perform(desk.core, ARCHITECT, handovers.revoke_link, desk.bundle_id, given.link.id),
    )


def test_a_hand_over_may_revoke_the_links_of_earlier_recipients(desk: Desk) -> None:
    first, second = desk.handed_over(), desk.hand_over()
    third = perform(
        desk.core, ARCHITECT, handovers.hand_over, desk.bundle_id,
        recipient_name="Carl", recipient_email="carl@example.com", revoke_earlier=True,
    )  # fmt: skip
    links = perform(desk.core, ARCHITECT, handovers.list_links, desk.bundle_id)
    assert [issued.link.id for issued in links if issued.link.revoked_at] == [
        first.link.id,
        second.link.id,
    ]
    assert links[-1].link.id == third.link.id
    assert links[-1].handover.recipient_name == "Carl"


def test_a_look_at_a_link_is_neither_counted_nor_recorded(desk: Desk) -> None:
    given = desk.handed_over()
    known = len(desk.events())
    looked = perform(
        desk.core,
        person("anybody"),
        handovers.download_by_link,
        desk.bundle_id,
        given.token,
        name=None,
        is_look=True,
    )
    assert looked.name == desk.bundle().archive_name
    (issued,) = perform(desk.core, ARCHITECT, handovers.list_links, desk.bundle_id)
    assert (issued.link.uses, len(desk.events())) == (0, known)
