"""Nobody fills the log by being refused: what is over a budget is counted."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.audit import AuditEvent
from control_plane.domain.audit_catalogue import RETIRED_SCHEMAS, is_known_schema
from control_plane.services.permission import report_suppressed
from control_plane.workflows.budget import MAX_SOURCES, REPORT_SECONDS, RefusalBudget
from tests.unit.api.scene import Api, Scene, is_problem
from tests.unit.api.test_permission_matrix import GUARDED

FLOOD = 6_000


def many(api: Api, number: int, path: str, *, address: str = "192.0.2.1", token: str | None = None,
         method: str = "GET") -> Counter[int]:  # fmt: skip
    """Send many requests to the application from one address; return the statuses.

    Without a client library between, which would take most of the time.
    """
    headers = [(b"content-length", b"0")]
    if token is not None:
        headers.append((b"authorization", f"Bearer {token}".encode()))
    found: Counter[int] = Counter()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found[message["status"]] += 1

    async def flood() -> None:
        for n in range(number):
            plain, _, query = path.format(n=n).partition("?")
            scope = {
                "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1",
                "method": method, "scheme": "http", "path": plain, "raw_path": plain.encode(),
                "query_string": query.encode(), "root_path": "", "headers": headers,
                "client": (address, 1234), "server": ("api", 80), "state": {},
            }  # fmt: skip
            await api.app(scope, receive, send)

    asyncio.run(flood())
    return found


class Clock:
    """Seconds that a test moves."""

    def __init__(self, api: Api) -> None:
        self.now = 1000.0
        api.world.core.refusals.ticks = lambda: self.now


def actions(events: Sequence[AuditEvent], action: str) -> list[AuditEvent]:
    """Return the events of one action."""
    return [event for event in events if event.action == action]


def suppressed(events: Sequence[AuditEvent]) -> int:
    """Return how many refusals the events count."""
    return sum(event.data.get("suppressed", 0) for event in events)


def one_by_one(events: Sequence[AuditEvent]) -> list[AuditEvent]:
    """Return the events that are refusals themselves."""
    return [event for event in events if "suppressed" not in event.data]


def test_thousands_of_refused_downloads_leave_a_bounded_log(scene: Scene) -> None:
    api, bundle_id = scene.api, scene.ids["bundle_id"]
    before = len(api.world.events())
    half = FLOOD // 2
    statuses = many(api, half, f"/v1/bundles/{bundle_id}/archive?token=lnk_{{n}}.x")
    statuses += many(api, half, "/v1/bundles/bnd_{n}/archive?token=y", address="192.0.2.2")
    assert statuses == {404: FLOOD}
    # a real failed login from elsewhere is an event of its own still
    assert many(api, 1, "/v1/tenants", address="198.51.100.7", token="garbage") == {401: 1}
    report_suppressed(api.world.core, at_once=True)

    events = api.world.events()[before:]
    refused = actions(events, "link.refused")
    assert len(events) < 300
    assert {event.tree for event in refused} == {"platform"}
    assert len(one_by_one(refused)) + suppressed(refused) == FLOOD
    assert len(one_by_one(actions(events, "authn.failed"))) == 1
    assert len(events) == len(refused) + 1


def test_the_global_budget_holds_for_many_addresses(scene: Scene) -> None:
    clock = Clock(scene.api)
    before = len(scene.world.events())
    for number in range(50):
        many(scene.api, 20, "/v1/tenants", address=f"192.0.2.{number}", token="garbage")
    events = scene.world.events()[before:]
    assert len(events) == 120
    clock.now += REPORT_SECONDS
    many(scene.api, 1, "/v1/tenants", address="192.0.2.200", token="garbage")
    events = scene.world.events()[before:]
    assert len(events) == 122
    assert suppressed(events) == 50 * 20 - 120
    assert events[-1].body["actor"]["type"] == "system"


@pytest.mark.parametrize(
    ("addresses", "sources"),
    [
        (["192.0.2.1"] * 4, 1),
        (["192.0.2.1", "192.0.2.2"], 2),
        ([f"2001:db8:0:1::{n:x}" for n in range(1, 9)], 1),  # one network of 64 bits
        (["2001:db8:0:1::1", "2001:db8:0:2::1"], 2),
        (["::ffff:192.0.2.1", "192.0.2.1"], 1),
        (["fe80::1%eth0", "fe80::2%eth1"], 1),
    ],
)
def test_a_source_is_an_address_or_a_network(
    scene: Scene, addresses: list[str], sources: int
) -> None:
    Clock(scene.api)
    before = len(scene.world.events())
    for address in addresses:
        many(scene.api, 40, "/v1/tenants", address=address, token="garbage")
    assert len(scene.world.events()) - before == 30 * sources


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("GET", "/v1/tenants", "authz.denied"),
        ("GET", "/v1/runs/run_{n}", "authz.denied"),
        ("GET", "/v1/audit/platform/events", "authz.denied"),
        ("POST", "/v1/hubs", "request.refused"),
        ("POST", "/v1/provisioning-requests", "request.refused"),
        ("POST", "/v1/runs/run_{n}/retry", "request.refused"),
        ("PATCH", "/v1/bundles/bnd_{n}", "request.refused"),
    ],
)
def test_a_token_without_a_role_does_not_fill_the_log(
    scene: Scene, method: str, path: str, action: str
) -> None:
    clock = Clock(scene.api)
    token = scene.api.issuer.mint("nobody", roles=[])
    before = len(scene.world.events())
    many(scene.api, 500, path, token=token, method=method)
    events = scene.world.events()[before:]
    assert [event.action for event in events] == [action] * 30
    clock.now += REPORT_SECONDS
    many(scene.api, 1, path, token=token, method=method)
    assert suppressed(scene.world.events()[before:]) == 470


# `decide` refuses a machine, in an event of its own, before it looks at the role
OF_MACHINES = {("POST", "/v1/approvals/{approval_id}/decisions")}


@pytest.mark.parametrize("machine", [False, True])
def test_no_route_lets_a_token_without_a_role_fill_the_log(scene: Scene, machine: bool) -> None:
    clock = Clock(scene.api)
    scene.world.core.refusals.burst = 3
    token = scene.api.issuer.mint("nobody", roles=[], machine=machine)
    for method, path in sorted(set(GUARDED) - (OF_MACHINES if machine else set())):
        clock.now += 3600  # a full budget for each route
        report_suppressed(scene.world.core, at_once=True)
        before = len(scene.world.events())
        for _ in range(6):
            assert scene.ask(method, path, token).status_code == 403, (method, path)
        assert len(scene.world.events()) - before <= 4, (method, path)


def test_who_has_a_role_is_refused_in_full_sight(scene: Scene) -> None:
    Clock(scene.api)
    token = scene.api.token(Role.PLATFORM_ADMIN)
    before = len(scene.world.events())
    many(scene.api, 100, "/v1/hubs", token=token, method="POST")
    assert len(actions(scene.world.events()[before:], "request.refused")) == 100


def test_a_suppressed_refusal_answers_as_a_recorded_one(scene: Scene) -> None:
    Clock(scene.api)
    token = scene.api.issuer.mint("nobody", roles=[])
    for _ in range(40):
        is_problem(scene.api.call("GET", "/v1/tenants", token), 403, "not_allowed")


def test_the_budget_fills_up_again_and_sources_are_forgotten() -> None:
    now = [0.0]
    budget = RefusalBudget(ticks=lambda: now[0])
    assert sum(budget.take("authn.failed", "a") for _ in range(100)) == 30
    now[0] += 10
    assert sum(budget.take("authn.failed", "a") for _ in range(100)) == 5
    assert budget.due() == {}
    now[0] += REPORT_SECONDS
    assert budget.due() == {"authn.failed": 165}
    assert budget.due(at_once=True) == {}
    for number in range(3 * MAX_SOURCES):
        budget.take("link.refused", str(number))
    assert len(budget._sources) == MAX_SOURCES


def test_counts_that_could_not_be_recorded_are_kept(scene: Scene) -> None:
    clock = Clock(scene.api)
    core = scene.world.core
    many(scene.api, 50, "/v1/tenants", token="garbage")
    clock.now += REPORT_SECONDS
    counts = core.refusals.due()
    assert counts == {"authn.failed": 20}
    core.refusals.give_back(counts)
    assert core.refusals.due(at_once=True) == counts


def test_logs_with_the_earlier_schemas_stay_verifiable() -> None:
    assert len(RETIRED_SCHEMAS) >= 4
    for name in ("authn.failed", "authz.denied", "link.refused", "request.refused"):
        earlier: Any = [d for d in RETIRED_SCHEMAS if is_known_schema(name, 1, d)]
        assert earlier


def test_a_link_that_is_real_leaves_its_refusal_with_its_tenant(scene: Scene) -> None:
    bundle_id = scene.built_bundle()
    given = scene.api.created(
        f"/v1/bundles/{bundle_id}/hand-over", Role.SOLUTIONS_ARCHITECT,
        scene.body("/hand-over"),
    )  # fmt: skip
    token = given["download_url"].partition("token=")[2]
    wrong = f"{token.partition('.')[0]}.{'x' * 43}"
    path = f"/v1/bundles/{bundle_id}/archive?token="
    before = len(scene.world.events())
    assert scene.api.call("GET", path + wrong).status_code == 404
    scene.world.clock.advance(hours=73)
    assert scene.api.call("GET", path + token).status_code == 404
    trees = [event.tree for event in actions(scene.world.events()[before:], "link.refused")]
    with scene.world.core.uow() as uow:
        bundle = uow.bundles.get(bundle_id)
    assert bundle is not None
    assert trees == ["platform", bundle.tenant_id]
