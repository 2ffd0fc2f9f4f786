"""The progress of a run: a page of lines, or a stream that goes on where it was cut."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from control_plane.domain.actor import Role
from control_plane.services import runs
from control_plane.services.performing import perform
from tests.unit.api.scene import Scene
from tests.world import OPS

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


def test_a_stream_is_for_who_may_see_the_run(shown: Scene) -> None:
    path = f"/v1/runs/{shown.ids['run_id']}/events"
    stranger = shown.api.token(READER, tenants=("ten_01JD3ZK4Q0V8X2M6N7P9R5T1WY",))
    assert shown.api.call("GET", path, stranger, headers=STREAM).status_code == 404
    assert shown.api.call("GET", path, None, headers=STREAM).status_code == 401
