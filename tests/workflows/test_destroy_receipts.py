"""A customer's receipt of its destroy is believed only for what it says of this tenant's bundle."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.types.json import Jsonb

from control_plane.domain.errors import (
    AlreadyDecided,
    DestroyIncomplete,
    DomainError,
    InvalidInput,
    NotAllowed,
    ReceiptMismatch,
)
from control_plane.domain.hold import HoldKind
from control_plane.domain.saga import SagaStatus
from control_plane.services import receipts
from control_plane.services import removal_decisions as decisions
from control_plane.services.performing import perform
from tests.receipts import destroy_receipt_of, receipt_of
from tests.storage import Storage
from tests.workflows.desk import Desk
from tests.workflows.held import place
from tests.workflows.removed import follow, remove, saga_of
from tests.world import ARCHITECT, AUTOMATION, World

OTHER = "dep_" + "0" * 26
GONE = "data.aws_kms_key.gone"


class Leaving:
    """A Mode C tenant whose removal waits for the customer."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.desk = Desk(world)
        self.desk.handed_over()
        self.key = self.desk.tenant_id

    def asked(self) -> Leaving:
        self.saga_id = remove(self.world, self.key)
        return self

    def receipt(self, **changes: Any) -> dict[str, Any]:
        return destroy_receipt_of(self.desk.bundle(), self.world.clock.now(), **changes)

    def attest(self, receipt: dict[str, Any] | None, who: Any = ARCHITECT) -> Any:
        find = decisions.tenant_with(decisions.ACKNOWLEDGERS, "customer_attestations.create")
        found = perform(
            self.world.core, who, decisions.attest_customer, self.key, find,
            receipt=receipt, reason="the customer sent it",
        )  # fmt: skip
        follow(self.world)
        return found

    def refused(self, error: type[DomainError], receipt: dict[str, Any]) -> DomainError:
        """Return the refusal of a receipt: the removal waits as before, and the log has it."""
        with pytest.raises(error) as caught:
            self.attest(receipt)
        assert self.world.actions()[-1] == "removal.refused:denied"
        assert saga_of(self.world, self.saga_id).status is SagaStatus.WAITING
        assert self.world.rows("removal_decision") == {}
        return caught.value


@pytest.fixture
def leaving(world: World) -> Leaving:
    return Leaving(world).asked()


def test_a_complete_receipt_ends_the_removal_and_is_in_the_log_and_the_certificate(
    leaving: Leaving,
) -> None:
    until = (leaving.world.clock.now() + timedelta(days=30)).isoformat()
    key = {"what": "alias/acme-data", "why": "keys are deleted after 30 days", "until": until}
    leaving.attest(leaving.receipt(remaining=[key]))
    assert saga_of(leaving.world, leaving.saga_id).status is SagaStatus.DONE
    bundle = leaving.desk.bundle()
    (event,) = [e for e in leaving.world.events() if e.action == "removal.decided"]
    assert event.data["content_digest"] == bundle.content_digest
    assert (event.data["bundle"], event.data["resources_left"]) == (bundle.id, 0)
    assert event.data["remaining"] == ["alias/acme-data"]
    (certificate,) = leaving.world.rows("certificate").values()
    said = certificate.body["customer"]
    assert (said["verified"], said["digest"]) == (True, event.data["digest"])
    assert said["receipt"]["remaining"] == [key]
    assert said["receipt"]["deployment"] == bundle.deployment_id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("tenant", "somebody-else"),
        ("environment", "staging"),
        ("deployment", OTHER),
        ("account_id", "000000000000"),
        ("region", "eu-north-1"),
        ("content_digest", "sha256:" + "0" * 64),
    ],
)
def test_a_receipt_of_something_else_is_refused_by_the_field(
    leaving: Leaving, field: str, value: str
) -> None:
    error = leaving.refused(ReceiptMismatch, leaving.receipt(**{field: value}))
    assert error.data["field"] == f"receipt.{field}"


def test_the_receipt_of_another_tenant_is_refused(leaving: Leaving) -> None:
    other = Desk(leaving.world, 2)
    other.handed_over()
    theirs = destroy_receipt_of(other.bundle(), leaving.world.clock.now())
    assert leaving.refused(ReceiptMismatch, theirs).data["field"] == "receipt.tenant"


def test_the_receipt_of_an_earlier_bundle_is_refused_once_a_later_one_was_applied(
    world: World,
) -> None:
    leaving = Leaving(world)
    desk = leaving.desk
    first = leaving.receipt()
    perform(
        world.core, ARCHITECT, receipts.register_receipt, desk.bundle_id, receipt_of(desk.bundle())
    )
    desk.edit(network={"client_cidrs": ["10.0.0.0/8"]})
    desk.build()
    desk.hand_over()
    perform(
        world.core, ARCHITECT, receipts.register_receipt, desk.bundle_id, receipt_of(desk.bundle())
    )
    leaving.asked()
    error = leaving.refused(ReceiptMismatch, first)
    assert error.data["field"] == "receipt.content_digest"
    leaving.attest(leaving.receipt())
    assert saga_of(world, leaving.saga_id).status is SagaStatus.DONE


def test_what_is_left_in_the_state_needs_a_reason(leaving: Leaving) -> None:
    error = leaving.refused(DestroyIncomplete, leaving.receipt(state=["aws_s3_bucket.data", GONE]))
    assert error.data["left"] == ["aws_s3_bucket.data", GONE]
    why = {"what": "aws_s3_bucket.data", "why": "the customer keeps its objects", "until": None}
    error = leaving.refused(
        DestroyIncomplete, leaving.receipt(state=["aws_s3_bucket.data", GONE], remaining=[why])
    )
    assert error.data["left"] == [GONE]
    leaving.attest(leaving.receipt(state=["aws_s3_bucket.data"], remaining=[why]))
    (certificate,) = leaving.world.rows("certificate").values()
    assert certificate.body["customer"]["receipt"]["resources_left"] == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"destroyed_at": "yesterday"}, "receipt.destroyed_at"),
        ({"destroyed_at": "2199-01-01T00:00:00Z"}, "receipt.destroyed_at"),
        ({"destroyed_at": "2001-01-01T00:00:00Z"}, "receipt.destroyed_at"),
        ({"remaining": [{"what": "x", "why": "known", "until": "2001-01-01T00:00:00Z"}]},
         "receipt.remaining.0.until"),
        ({"remaining": [{"what": "x", "until": None}]}, "receipt.remaining.0.why"),
        ({"remaining": [{"what": "x", "why": "", "until": None}]}, "receipt.remaining.0.why"),
        ({"schema_version": 2}, "receipt.schema_version"),
        ({"state": None}, "receipt.state"),
        ({"vendor": "us"}, "receipt.vendor"),
    ],
)  # fmt: skip
def test_a_receipt_that_cannot_be_right_is_refused_by_the_field(
    leaving: Leaving, changes: dict[str, Any], field: str
) -> None:
    assert leaving.refused(InvalidInput, leaving.receipt(**changes)).data["field"] == field


@pytest.mark.parametrize("name", ["tenant", "content_digest", "deployment", "state", "remaining"])
def test_a_receipt_that_lacks_something_is_refused(leaving: Leaving, name: str) -> None:
    receipt = leaving.receipt()
    del receipt[name]
    assert leaving.refused(InvalidInput, receipt).data["field"] == f"receipt.{name}"


def test_a_receipt_is_taken_once(world: World) -> None:
    leaving = Leaving(world).asked()
    find = decisions.tenant_with(decisions.ACKNOWLEDGERS, "x")
    for error in (None, AlreadyDecided):
        if error is None:
            perform(world.core, ARCHITECT, decisions.attest_customer, leaving.key, find,
                    receipt=leaving.receipt(), reason="once")  # fmt: skip
            continue
        with pytest.raises(error):
            perform(world.core, ARCHITECT, decisions.attest_customer, leaving.key, find,
                    receipt=leaving.receipt(), reason="twice")  # fmt: skip


def test_a_machine_of_automation_cannot_say_it(leaving: Leaving) -> None:
    with pytest.raises(NotAllowed):
        leaving.attest(leaving.receipt(), AUTOMATION)


def test_a_hold_does_not_keep_the_customers_word_from_being_recorded(leaving: Leaving) -> None:
    place(leaving.world, leaving.key, HoldKind.SAFETY)
    leaving.attest(leaving.receipt())
    assert len(leaving.world.rows("removal_decision")) == 1


def test_the_database_refuses_a_receipt_of_another_tenant(
    leaving: Leaving, storage: Storage
) -> None:
    other = Desk(leaving.world, 2)
    other.handed_over()
    with (
        psycopg.connect(storage.database.owner) as connection,
        pytest.raises(psycopg.Error) as error,
    ):
        connection.execute(
            "INSERT INTO removal_decision (id, saga_id, topic, word, digest, counts, actor_id,"
            " person, actor_kind, reason, decided_at, evidence) VALUES ('x', %s, 'customer',"
            " 'customer_destroyed', 'sha256:1', '{}', 'sam', 'sam', 'user', 'x', now(), %s)",
            (leaving.saga_id, Jsonb(
                {"tenant": other.receipt()["tenant"], "deployment": other.bundle().deployment_id,
                 "content_digest": other.bundle().content_digest})),
        )  # fmt: skip
    assert error.value.diag.constraint_name == "destroy_receipt_of_this_tenant"
