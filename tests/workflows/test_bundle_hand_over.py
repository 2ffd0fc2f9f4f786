"""Mode C after the build: hand-over, links, receipts, new versions, and how each is refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pytest

from control_plane.domain.bundle import BundleStatus, Rehearsal
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
from control_plane.services import bundles, receipts
from control_plane.services.sweeps import expire_bundles
from tests.workflows.desk import Desk
from tests.world import ARCHITECT, person


@pytest.fixture
def desk() -> Desk:
    return Desk()


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
        lambda: bundles.download_by_link(desk.core, person("anybody"), bundle_id, token, name=None),
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
    steps: dict[str, Callable[[], object]] = {
        "queued": desk.bundle,
        "accepted": desk.accept,
        "built": desk.built,
        "handed_over": desk.handed_over,
    }
    steps[step]()
    desk.world.clock.advance(days=59)
    assert expire_bundles(desk.core) == 0
    desk.world.clock.advance(days=1)
    assert expire_bundles(desk.core) == 1
    assert expire_bundles(desk.core) == 0
    assert desk.bundle().status is BundleStatus.EXPIRED
    assert "bundle.expired:completed" in desk.world.actions(desk.tenant_id)[-2:]
    assert bundles.allowed_actions(desk.bundle()) == ["edit"]
    assert desk.world.tenant(desk.tenant_id).waiting_on is WaitingOn.ARCHITECT


def test_an_expired_bundle_is_made_again_by_an_edit_that_changes_nothing(desk: Desk) -> None:
    desk.handed_over()
    expired = desk.bundle()
    desk.world.clock.advance(days=60)
    expire_bundles(desk.core)
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
    assert expire_bundles(desk.core) == 0


def test_the_stored_bytes_are_those_that_were_built(desk: Desk) -> None:
    built = desk.built()
    order = desk.builder.orders[-1]
    expected = desk.builder.build(order, on_events=lambda *_: None)
    assert built.archive_name is not None
    files = {built.archive_name: expected.archive, **expected.files}
    for name, content in files.items():
        download = bundles.download_as_architect(desk.core, ARCHITECT, built.id, name=name)
        assert download.content == content
