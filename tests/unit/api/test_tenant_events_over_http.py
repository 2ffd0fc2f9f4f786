"""What happens to a tenant over HTTP: pages, and a stream."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from control_plane.domain.actor import Role
from control_plane.domain.hold import HoldKind
from control_plane.services import holds
from control_plane.services.performing import perform
from tests.unit.api.scene import Scene, is_problem
from tests.unit.api.test_progress import STREAM, Told, _messages, expire, until
from tests.world import OPS

READER: Final = Role.OPS_APPROVER


def path_of(scene: Scene) -> str:
    return f"/v1/tenants/{tenant_of(scene)}/events"


def tenant_of(scene: Scene) -> str:
    found: str = scene.world.run(scene.ids["run_id"]).tenant_id
    return found


def test_a_page_holds_the_events_after_a_number(scene: Scene) -> None:
    path = path_of(scene)
    whole = scene.api.call("GET", path, READER).json()
    numbers = [item["seq"] for item in whole["items"]]
    assert numbers == sorted(set(numbers))
    assert whole["items"][0]["name"] == "tenant.accepted"
    assert whole["next_page_token"] is None
    rest = scene.api.call("GET", f"{path}?after={numbers[1]}", READER).json()["items"]
    assert rest == whole["items"][2:]
    token = scene.api.call("GET", f"{path}?page_token={numbers[1]}", READER).json()["items"]
    assert token == rest


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [("after=-1", 422, "invalid_input"), ("page_token=x", 400, "invalid_page_token")],
)
def test_a_number_that_is_none_is_refused(scene: Scene, query: str, status: int, code: str) -> None:
    answer = scene.api.call("GET", f"{path_of(scene)}?{query}", READER)
    assert is_problem(answer, status, code)


def test_a_stream_hears_of_news_and_ends_with_its_token(scene: Scene) -> None:
    news, streams = Told(), scene.api.shared.streams
    streams.news, streams.look_seconds, streams.token_seconds = news, 600.0, 0.0
    tenant_id, path = tenant_of(scene), path_of(scene)
    before = scene.api.call("GET", path, READER).json()["items"]
    last = {**STREAM, "Last-Event-ID": str(before[-1]["seq"])}
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(scene.api.call, "GET", path, READER, headers=last)
        until(lambda: tenant_id in news.listeners)
        perform(
            scene.world.core, OPS, holds.place_on_tenant, tenant_id,
            kind=HoldKind.SAFETY, reason="x",
        )  # fmt: skip
        news.listeners[tenant_id]()
        expire(scene)

        def ended() -> bool:
            for tell in tuple(news.listeners.values()):
                tell()
            return stream.done()

        until(ended)
        answer = stream.result(timeout=60)
    told = _messages(answer.text)
    assert [message["event"] for message in told] == ["tenant.held"]
    assert told[0]["data"]["seq"] == int(told[0]["id"]) > before[-1]["seq"]
    assert news.listeners == {}


def test_a_stream_is_for_who_may_see_the_tenant(scene: Scene) -> None:
    other = scene.api.token(READER, tenants=("ten_other",))
    for headers in (STREAM, {}):
        answer = scene.api.call("GET", path_of(scene), other, headers=headers)
        assert answer.status_code == 404
