"""Twelve secrets go through the product, and none is in a table, an event, a file or a log line."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import pytest
import structlog

from control_plane.adapters.secrets.files import read_secret
from control_plane.domain.errors import EngineUnavailable
from control_plane.domain.message import Recipient
from control_plane.logging import configure, get_logger
from control_plane.ports.engine import EngineCall
from control_plane.services import deliveries, disclosures, handovers, subscriptions
from control_plane.services.performing import perform
from control_plane.workflows.core import WORKER
from control_plane.workflows.outbox import post
from control_plane.workflows.publishing import publish_sealing_key
from tests.canaries import file_texts, hits, spellings, table_texts
from tests.onboarding import Holder, visitor
from tests.signed import (
    DOCUSIGN_KEY,
    SIGNING_KEY,
    allowing_account,
    as_bytes,
    docusign,
    docusign_headers,
    install_keys,
)
from tests.workflows.desk import Desk
from tests.workflows.removed import follow, remove_all
from tests.world import ADMIN, AUDITOR, World

pytestmark = pytest.mark.timeout(180)

NAMES: Final = {
    "key of a provider", "another key of a provider", "master key", "key of one-time links",
    "passphrase of a stack", "key of a stack's digests", "secret of a subscription",
    "rotated secret of a subscription", "token of a one-time link", "code of a one-time link",
    "token of a session", "token of a download",
}  # fmt: skip


@dataclass
class Flow:
    """A world through which secrets went, and what its processes have logged."""

    world: World
    secrets: dict[str, set[str]]
    logged: Callable[[], str]

    def found(self) -> dict[str, list[str]]:
        """Return where secrets are, but the files that are there to hold them."""
        folder = self.world.folder
        own = (folder / "master.key", folder / "onboarding.key", folder / "intake")
        events = "".join(f"{each.body}{each.personal}" for each in self.world.events())
        return hits(
            [
                *table_texts(self.world.storage), *file_texts(folder, but=own),
                ("events", events), ("log lines", self.logged()),
            ],
            self.secrets,
        )  # fmt: skip


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], str]]:
    """Let the product log as its processes do; returns what was logged."""
    said = io.StringIO()
    handlers, level = list(logging.root.handlers), logging.root.level
    with monkeypatch.context() as patch:
        patch.setattr("sys.stderr", said)
        configure(level="debug", style="json", part="test")
    yield said.getvalue
    logging.root.handlers[:], logging.root.level = handlers, level
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


@pytest.fixture
def flow(world: World, lines: Callable[[], str]) -> Flow:
    secrets: dict[str, str | bytes] = {
        "key of a provider": DOCUSIGN_KEY, "another key of a provider": SIGNING_KEY,
        "master key": read_secret(world.folder / "master.key"),
        "key of one-time links": read_secret(world.folder / "onboarding.key"),
    }  # fmt: skip
    keep_keys_of_stacks(world, secrets)
    sign_a_contract(world)
    keep_secrets_of_subscription(world, secrets)
    tenant_id = keep_secrets_of_link(world, secrets)
    desk = Desk(world, 3)
    given = desk.handed_over()
    secrets["token of a download"] = given.token.partition(".")[2]
    perform(
        world.core, visitor(), handovers.download_by_link, given.bundle.id, given.token, name=None
    )
    disclosures.open_values(
        world.core, AUDITOR, tenant_id, idx=0, paths=["contacts.0.email"], reason="a claim"
    )
    remove_all(world, tenant_id)
    follow(world)
    assert set(secrets) == NAMES
    assert all(secrets.values())
    return Flow(world, {name: spellings(each) for name, each in secrets.items()}, lines)


def keep_keys_of_stacks(world: World, secrets: dict[str, str | bytes]) -> None:
    """Let the engine see its keys, and fail once with the passphrase in its words."""

    def during(what: str, call: EngineCall) -> None:
        if what != "plan" or "passphrase of a stack" in secrets:
            return
        keys = world.core.secrets.stack_keys(call.deployment_id, call.salt)
        secrets["passphrase of a stack"] = keys.passphrase
        secrets["key of a stack's digests"] = keys.hmac_key

    world.engine.during = during
    world.ready_hub()
    world.engine.outages.append(EngineUnavailable("the engine cannot be reached"))


def sign_a_contract(world: World) -> None:
    install_keys(world.core)
    world.core = allowing_account(world.core)
    body = as_bytes(docusign(77))
    deliveries.receive_delivery(
        world.core, visitor(), "docusign", headers=docusign_headers(body), body=body
    )
    world.work()


def keep_secrets_of_subscription(world: World, secrets: dict[str, str | bytes]) -> None:
    perform(world.core, WORKER, publish_sealing_key)
    made = perform(
        world.core, ADMIN, subscriptions.create_subscription, url="http://127.0.0.1:9/",
        types=["*"],
    )  # fmt: skip
    rotated = perform(world.core, ADMIN, subscriptions.rotate_secret, made.subscription.id)
    secrets["secret of a subscription"] = (made.secret or "").removeprefix("whsec_")
    secrets["rotated secret of a subscription"] = (rotated.secret or "").removeprefix("whsec_")


def keep_secrets_of_link(world: World, secrets: dict[str, str | bytes]) -> str:
    holder = Holder(world, number=2)
    world.work()
    token = holder.issued()
    code = holder.with_code(token)
    session = holder.redeem(token, code).token or ""
    world.work()
    secrets["token of a one-time link"] = token.partition(".")[2]
    secrets["code of a one-time link"] = code
    secrets["token of a session"] = session.partition(".")[2]
    return holder.tenant_id


def without_short(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Leave out the code: six digits are within many numbers, and are looked for as a word."""
    wanted = {
        place: [n for n in names if not n.startswith("code")] for place, names in found.items()
    }
    return {place: names for place, names in wanted.items() if names}


def test_no_secret_is_in_a_table_an_event_a_file_or_a_log_line(flow: Flow) -> None:
    assert without_short(flow.found()) == {}
    (code,) = (
        each
        for each in flow.secrets["code of a one-time link"]
        if each.isdigit() and len(each) == 6
    )
    places = [*table_texts(flow.world.storage), ("log lines", flow.logged())]
    assert [place for place, text in places if re.search(rf"\b{code}\b", text)] == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_the_check_finds_a_secret_in_each_spelling(flow: Flow, name: str) -> None:
    for number, spelled in enumerate(sorted(flow.secrets[name])):
        with flow.world.core.act() as act:
            tenant = next(iter(act.uow.tenants.find()))
            post(
                act, tenant=tenant, event="step.blocked", persona="it_admin",
                recipient=Recipient(name="Ida", email="ida@example.com"),
                data={"step_title": "SSO", "missing": f"x {spelled} y"}, dedupe_key=f"p{number}",
            )  # fmt: skip
            act.uow.commit()
        get_logger().info("something.happened", words=f"x {spelled} y")
        (flow.world.folder / "objects" / f"planted-{number}").write_text(spelled)
    found = flow.found()
    assert name in found["public.message"]
    assert name in found["log lines"]
    assert any(name in names for place, names in found.items() if "planted-" in place)
