"""The progress of a run: a page of lines, or a stream that goes on where it was cut."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import pytest

from control_plane.domain.actor import Role
from control_plane.services import runs
from control_plane.services.performing import perform
from control_plane.workflows.moving import progress
from tests.unit.api.scene import SECONDS, Scene, is_problem
from tests.world import OPS, World

STREAM: Final = {"Accept": "text/event-stream"}
READER: Final = Role.OPS_APPROVER


def _messages(text: str) -> list[dict[str, Any]]:
    """Return the messages of a stream (WHATWG HTML §9.2.6): id, event, data."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = [line for line in block.split("\n") if not line.startswith(":")]
        fields = dict(line.split(": ", 1) for line in lines)
        if fields:
            found.append({**fields, "data": json.loads(fields["data"])})
    return found


def test_a_page_holds_the_lines_after_a_number(shown: Scene) -> None:
    path = f"/v1/runs/{shown.slice_run_id}/events"
    whole = shown.api.call("GET", path, READER).json()["items"]
    assert [item["seq"] for item in whole] == list(range(1, len(whole) + 1))
    rest = shown.api.call("GET", f"{path}?after=2", READER).json()["items"]
    assert rest == whole[2:]
    assert shown.api.call("GET", f"{path}?after=2147483647", READER).json()["items"] == []


def test_the_stream_of_a_finished_run_gives_its_lines_and_ends(shown: Scene) -> None:
    path = f"/v1/runs/{shown.slice_run_id}/events"
    lines = shown.api.call("GET", path, READER).json()["items"]
    answer = shown.api.call("GET", path, READER, headers=STREAM)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["cache-control"] == "no-store"
    *messages, end = _messages(answer.text)
    assert [message["data"] for message in messages] == lines
    assert [message["id"] for message in messages] == [str(line["seq"]) for line in lines]
    assert [message["event"] for message in messages] == [line["kind"] for line in lines]
    assert (end["event"], end["data"]) == ("end", {"run_id": shown.slice_run_id})


def test_a_cut_stream_goes_on_after_the_last_line(shown: Scene) -> None:
    path = f"/v1/runs/{shown.slice_run_id}/events"
    whole = _messages(shown.api.call("GET", path, READER, headers=STREAM).text)
    rest = shown.api.call("GET", path, READER, headers={**STREAM, "Last-Event-ID": "2"})
    assert _messages(rest.text) == whole[2:]


def test_the_stream_of_a_waiting_run_ends_when_the_run_does(scene: Scene) -> None:
    path = f"/v1/runs/{scene.ids['run_id']}/events"
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(scene.api.call, "GET", path, READER, headers=STREAM)
        time.sleep(0.6)
        assert not stream.done()
        perform(scene.world.core, OPS, runs.cancel_run, scene.ids["run_id"])
        answer = stream.result(timeout=60)
    assert _messages(answer.text)[-1]["event"] == "end"


# --- bounds ------------------------------------------------------------------------------------
def add_lines(world: World, run_id: str, count: int) -> None:
    """Let a run say as much as one of many resources does."""
    with world.core.act() as act:
        progress(act, run_id, *(("resource", {"urn": f"urn:{n}"}) for n in range(count)))
        act.uow.commit()


def test_pages_beyond_500_lines_cover_every_line_once(scene: Scene) -> None:
    run_id = scene.ids["run_id"]
    add_lines(scene.world, run_id, 1200)
    last = max(seq for _, seq in scene.world.rows("run_event"))
    path, sizes, found = f"/v1/runs/{run_id}/events", list[int](), list[int]()
    token: str | None = ""
    while token is not None:
        address = f"{path}?page_token={token}" if token else path
        page = scene.api.call("GET", address, READER).json()
        sizes.append(len(page["items"]))
        found += [item["seq"] for item in page["items"]]
        token = page["next_page_token"]
    known = [seq for run, seq in scene.world.rows("run_event") if run == run_id]
    assert found == sorted(known) == list(range(1, last + 1))
    assert sizes == [500, 500, last - 1000]


def test_a_stream_beyond_500_lines_is_whole(scene: Scene) -> None:
    run_id = scene.ids["run_id"]
    add_lines(scene.world, run_id, 1200)
    perform(scene.world.core, OPS, runs.cancel_run, run_id)
    answer = scene.api.call("GET", f"/v1/runs/{run_id}/events", READER, headers=STREAM)
    *messages, end = _messages(answer.text)
    assert [int(message["id"]) for message in messages] == list(range(1, len(messages) + 1))
    assert len(messages) > 1200
    assert end["event"] == "end"


def test_the_201st_stream_is_refused_and_pages_go_on(scene: Scene) -> None:
    streams, path = scene.api.shared.streams, f"/v1/runs/{scene.slice_run_id}/events"
    for _ in range(199):
        streams.enter()  # who watches meanwhile
    for _ in range(3):  # each leaves its place to the next
        assert scene.api.call("GET", path, READER, headers=STREAM).status_code == 200
    streams.enter()
    content = is_problem(scene.api.call("GET", path, READER, headers=STREAM), 503, "unavailable")
    assert "request pages instead" in content["title"] + content["detail"]
    assert scene.api.call("GET", path, READER).status_code == 200


def test_a_caller_who_is_gone_before_the_stream_begins_keeps_no_place(scene: Scene) -> None:
    scene.api.shared.streams.most = 1
    path = f"/v1/runs/{scene.slice_run_id}/events"
    headers = {**STREAM, "Authorization": f"Bearer {scene.api.token(READER)}"}
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": b"", "root_path": "", "server": ("api", 80),
        "client": ("127.0.0.1", 1), "asgi": {"version": "3.0", "spec_version": "2.3"},
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    arrived = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        return arrived.pop() if arrived else {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        await asyncio.sleep(0)  # its socket takes nothing now

    asyncio.run(scene.api.app(scope, receive, send))
    assert scene.api.call("GET", path, READER, headers=STREAM).status_code == 200


class Told:
    """News that a test tells."""

    def __init__(self) -> None:
        self.listeners: dict[str, Callable[[], object]] = {}

    def subscribe(self, run_id: str, tell: Callable[[], object]) -> Callable[[], None]:
        self.listeners[run_id] = tell
        return lambda: self.listeners.pop(run_id, None) and None


def test_a_stream_that_hears_of_news_does_not_wait_for_its_next_look(scene: Scene) -> None:
    news, streams, run_id = Told(), scene.api.shared.streams, scene.ids["run_id"]
    streams.news, streams.look_seconds = news, 600.0
    path = f"/v1/runs/{run_id}/events"
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(scene.api.call, "GET", path, READER, headers=STREAM)
        until(lambda: run_id in news.listeners)
        tell = news.listeners[run_id]
        time.sleep(0.6)  # it has looked, and waits
        perform(scene.world.core, OPS, runs.cancel_run, run_id)
        tell()
        assert _messages(stream.result(timeout=60).text)[-1]["event"] == "end"
    assert news.listeners == {}


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def expire(scene: Scene) -> None:
    scene.api.identity.now = lambda: time.time() + 2 * 3600


def withdraw_its_key(scene: Scene) -> None:
    scene.api.identity.keys.fetch = lambda: {"keys": []}
    scene.api.ticks = lambda: time.monotonic() + 3600


@pytest.mark.parametrize("end", [expire, withdraw_its_key])
def test_a_stream_ends_when_its_token_no_longer_holds(
    scene: Scene, end: Callable[[Scene], None]
) -> None:
    """It is cut without an end, so that who opens it again learns why."""
    scene.api.shared.streams.look_seconds = scene.api.shared.streams.token_seconds = 0.05
    path, token = f"/v1/runs/{scene.ids['run_id']}/events", scene.api.token(READER)
    looks: list[float] = []

    def now() -> float:
        looks.append(time.time())
        return looks[-1]

    scene.api.identity.now = now
    with ThreadPoolExecutor(1) as pool:
        stream = pool.submit(scene.api.call, "GET", path, token, headers=STREAM)
        until(lambda: len(looks) > 3)  # it was taken, looked at again, and holds
        assert not stream.done()
        end(scene)
        answer = stream.result(timeout=60)
    assert _messages(answer.text)
    assert "event: end" not in answer.text
    assert scene.api.call("GET", path, token, headers=STREAM).status_code == 401


def test_a_stream_is_for_who_may_see_the_run(shown: Scene) -> None:
    path = f"/v1/runs/{shown.ids['run_id']}/events"
    stranger = shown.api.token(READER, tenants=("ten_01JD3ZK4Q0V8X2M6N7P9R5T1WY",))
    assert shown.api.call("GET", path, stranger, headers=STREAM).status_code == 404
    assert shown.api.call("GET", path, None, headers=STREAM).status_code == 401
