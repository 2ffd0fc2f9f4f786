"""No list makes an event too large, whatever it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from control_plane.domain.actor import Actor, ActorKind
from control_plane.domain.audit import (
    ACTIONS,
    MAX_BODY_BYTES,
    AuditEvent,
    AuditEventInvalid,
    check_body,
    encode_body,
    fitted,
)
from control_plane.domain.audit_catalogue import DataKind
from control_plane.domain.canonical import parse_canonical
from control_plane.domain.ids import make_id

LISTS = [
    (action, name)
    for action, schema in sorted(ACTIONS.items())
    for name, kind in schema.data.items()
    if kind in {DataKind.TEXTS, DataKind.ROWS}
]
MANY = 20_000
LONG = "\U0001f600" * 500  # 2000 bytes, and the longest form that JSON has for them


def event(action: str, data: dict[str, Any]) -> AuditEvent:
    return AuditEvent(
        id=make_id("event", 1_800_000_000_000, bytes(10)),
        tree="platform",
        action=action,
        stage=min(ACTIONS[action].stages),
        time=datetime(2026, 11, 25, tzinfo=UTC),
        actor=Actor(id="u-1", kind=ActorKind.USER),
        data=fitted(data),
    )


def maximal(action: str, name: str, entry: str) -> list[Any]:
    is_row = ACTIONS[action].data[name] is DataKind.ROWS
    return [{"name": entry, "proof": entry} if is_row else entry] * MANY


@pytest.mark.parametrize("entry", ["x", "ref_01M7WM91H2JCMAKQ36SBWEQ1R4", LONG])
@pytest.mark.parametrize(("action", "name"), LISTS)
def test_an_event_holds_the_longest_list(action: str, name: str, entry: str) -> None:
    content = encode_body(event(action, {name: maximal(action, name, entry)}), {})
    assert len(content) <= MAX_BODY_BYTES
    data = parse_canonical(content)["data"]
    assert 0 < len(data[name]) < MANY
    assert data["count"] == MANY


@pytest.mark.parametrize("action", sorted({action for action, _ in LISTS}))
def test_an_event_holds_all_its_lists_at_their_longest(action: str) -> None:
    names = [name for of, name in LISTS if of == action]
    data = {name: maximal(action, name, LONG) for name in names}
    assert len(encode_body(event(action, data), {})) <= MAX_BODY_BYTES


def test_what_fits_stays_as_it_is() -> None:
    data = {"files": ["a", "b"], "number": 1}
    assert fitted(data) == data
    assert fitted({"files": ["a"] * 20_000, "count": 7})["count"] == 7


@pytest.mark.parametrize("wrong", [[], {}, None, 1, ["completed"]])
@pytest.mark.parametrize("place", ["stage", "actor"])
def test_a_foreign_body_with_a_list_for_a_word_is_refused(place: str, wrong: Any) -> None:
    body = parse_canonical(encode_body(event("run.verified", {}), {}))
    if place == "stage":
        body["stage"] = wrong
    else:
        body["actor"] = {"type": wrong, "id": "u-1"}
    with pytest.raises(AuditEventInvalid, match=place):
        check_body(body)
