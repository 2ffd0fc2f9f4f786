"""The audit event: one closed, canonical form, with commitments in place of personal values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from control_plane.domain.actor import Actor, ActorKind, Role
from control_plane.domain.audit import (
    ACTIONS,
    AuditEvent,
    AuditEventInvalid,
    Stage,
    check_body,
    commitment,
    encode_body,
    event_id,
    event_uuid,
)
from control_plane.domain.audit_catalogue import DataKind, is_known_schema
from control_plane.domain.canonical import (
    MAX_INTEGER,
    NotCanonical,
    canonical_json,
    digest,
    parse_canonical,
)
from control_plane.domain.ids import make_id

TENANT = make_id("tenant", 1_800_000_000_000, bytes(10))
EVENT = make_id("event", 1_800_000_000_000, bytes(range(10)))
RUN = make_id("run", 1_800_000_000_000, bytes(10))
NOW = datetime(2026, 11, 25, 9, 30, 15, 123, tzinfo=UTC)
ACTOR = Actor(
    id="u-1",
    kind=ActorKind.USER,
    roles=(Role.OPS_APPROVER,),
    issuer="https://idp.example",
    session="s-1",
    methods=("pwd", "otp"),
)
SALT = bytes(range(32))

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
integers = st.integers(-MAX_INTEGER, MAX_INTEGER)
closed_keys = st.from_regex(r"[a-z][a-z0-9_.]{0,12}", fullmatch=True)
scalars = st.none() | st.booleans() | integers | texts


def json_values(keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=5),
        max_leaves=25,
    )


def make_event(**changes: Any) -> AuditEvent:
    facts: dict[str, Any] = {
        "id": EVENT,
        "tree": TENANT,
        "action": "decision.given",
        "stage": Stage.COMPLETED,
        "time": NOW,
        "actor": ACTOR,
        "targets": (("approval", "apr_1"),),
        "run": RUN,
        "data": {"verdict": "approve"},
        "personal": {"reason": "looks right"},
    }
    return AuditEvent(**{**facts, **changes})


def body_of(event: AuditEvent) -> dict[str, Any]:
    body = json.loads(encode_body(event, dict.fromkeys(event.personal, SALT)))
    assert isinstance(body, dict)
    return body


# --- canonical JSON ---------------------------------------------------------------------------
@given(json_values(texts))
@settings(max_examples=400, deadline=None)
def test_canonical_json_is_rfc_8785(value: Any) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)
    assert parse_canonical(canonical_json(value)) == value


@given(json_values(closed_keys))
@settings(max_examples=400, deadline=None)
def test_closed_canonical_json_is_rfc_8785_too(value: Any) -> None:
    content = canonical_json(value, closed_keys=True)
    assert content == rfc8785.dumps(value)
    assert parse_canonical(content, closed_keys=True) == value


def test_keys_are_ordered_by_utf_16_as_the_rfc_says() -> None:
    value = {"\U0001f600": 1, "\ue000": 2, "z": 3}  # astral sorts before U+E000 in UTF-16 alone
    assert canonical_json(value) == rfc8785.dumps(value)
    assert sorted(value) != list(parse_canonical(canonical_json(value)))


@pytest.mark.parametrize(
    "value",
    [
        1.0,
        -0.0,
        1e-7,
        float("nan"),
        float("inf"),
        {"a": [1, {"b": 0.5}]},
        MAX_INTEGER + 1,
        -MAX_INTEGER - 1,
        {1: "a"},
        {None: 1},
        b"bytes",
        {1, 2},
        NOW,
        "\ud800",
        {"\udfff": 1},
    ],
    ids=repr,
)
def test_values_without_a_doubtless_form_are_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical_json(value)


@pytest.mark.parametrize("key", ["", "A", "1a", "a-b", "_a", "a b", "é", "a\n"])
def test_keys_outside_the_closed_form_are_refused_when_asked(key: str) -> None:
    assert canonical_json({key: 1})
    with pytest.raises(NotCanonical, match="key"):
        canonical_json({"a": [{key: 1}]}, closed_keys=True)
    with pytest.raises(NotCanonical, match="key"):
        parse_canonical(rfc8785.dumps({"a": [{key: 1}]}), closed_keys=True)


@pytest.mark.parametrize(
    "content",
    [
        b'{"outcome":"denied","outcome":"success"}',
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":-0}',
        b'{"a":NaN}',
        b'{"a":9007199254740992}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b"[" * 5000 + b"]" * 5000,
        b'{"a":1}'.decode().encode("utf-16"),
        b"",
    ],
    ids=lambda content: repr(content[:30]),
)
@pytest.mark.parametrize("closed", [True, False])
def test_bytes_that_are_not_canonical_are_refused(content: bytes, closed: bool) -> None:
    with pytest.raises(NotCanonical):
        parse_canonical(content, closed_keys=closed)


def test_depth_is_limited_instead_of_overflowing() -> None:
    value: Any = []
    for _ in range(100):
        value = [value]
    with pytest.raises(NotCanonical, match="levels"):
        canonical_json(value)


def test_the_digest_is_over_the_canonical_bytes() -> None:
    wanted = hashlib.sha256(b'{"a":[1,2],"b":"x"}').hexdigest()
    assert digest({"b": "x", "a": (1, 2)}) == f"sha256:{wanted}"


# --- the event --------------------------------------------------------------------------------
def test_the_body_is_closed_and_canonical() -> None:
    content = encode_body(make_event(), {"reason": SALT})
    body = parse_canonical(content, closed_keys=True)
    assert content == rfc8785.dumps(body)
    check_body(body)
    assert body["time"] == "2026-11-25T09:30:15.000123Z"
    assert body["tenant"] == TENANT
    assert body["type"] == "tenantplane.decision.given"
    assert body["actor"] == {
        "type": "user",
        "id": "u-1",
        "roles": ["ops_approver"],
        "session": "s-1",
        "auth": {"iss": "https://idp.example", "amr": ["pwd", "otp"]},
    }
    schema = ACTIONS["decision.given"]
    assert body["schema"] == {
        "name": schema.name,
        "version": schema.version,
        "sha256": schema.digest,
    }
    assert is_known_schema(schema.name, schema.version, schema.digest)
    assert not is_known_schema(schema.name, schema.version, "sha256:" + "0" * 64)
    assert not is_known_schema(schema.name, schema.version + 1, schema.digest)


def test_every_optional_part_has_its_place() -> None:
    event = make_event(
        step="apply",
        cause=EVENT,
        decision={"result": "allow", "policy_sha256": digest({}), "rules": ["r1"]},
        approval={"plan_digest": digest({}), "approver": "u-2", "approval_id": "apr_1"},
        idempotency_key_sha256="ab" * 32,
        request_id="req-1",
        trace_id="0af7651916cd43dd8448eb211c80319c",
    )
    body = body_of(event)
    check_body(body)
    assert body["approval"]["approver"] == "u-2"
    assert {"step", "cause", "decision", "idempotency_key_sha256", "trace_id"} <= body.keys()


fields = st.fixed_dictionaries(
    {},
    optional={
        "plan_digest": texts,
        "outputs": st.lists(texts, max_size=4),
        "attempt": integers,
        "resumed": st.booleans(),
        "summary": st.dictionaries(closed_keys, st.none() | st.booleans() | integers | texts),
    },
)


@given(
    fields,
    st.dictionaries(st.sampled_from(["reason", "actor_name"]), texts),
    st.binary(min_size=32, max_size=32),
)
@settings(max_examples=200, deadline=None)
def test_random_events_encode_as_rfc_8785_and_parse_back(
    data: dict[str, Any], personal: dict[str, str], salt: bytes
) -> None:
    event = make_event(action="run.apply", data=data, personal=personal)
    content = encode_body(event, dict.fromkeys(personal, salt))
    body = parse_canonical(content, closed_keys=True)
    assert content == rfc8785.dumps(body)
    check_body(body)
    assert body["data"] == data


def test_a_personal_value_leaves_only_its_commitment() -> None:
    content = encode_body(make_event(personal={"reason": "Ada said so"}), {"reason": SALT})
    assert b"Ada" not in content
    wanted = hashlib.sha256(b"tenantplane/field/v1\x00" + SALT + b'"Ada said so"').hexdigest()
    assert json.loads(content)["pii"] == {"reason": f"sha256:{wanted}"}
    assert commitment(SALT, "Ada said so") != commitment(bytes(32), "Ada said so")


def test_salts_must_fit_the_personal_values() -> None:
    for salts in ({}, {"reason": SALT, "other": SALT}, {"reason": SALT[:31]}):
        with pytest.raises(AuditEventInvalid, match="salt"):
            encode_body(make_event(), salts)


def spoil(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    body = body_of(
        make_event(
            decision={"result": "allow"}, approval={"approver": "u-2"}, request_id="r", cause=EVENT
        )
    )
    check_body(body)
    change(body)
    return body


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.update(outcome="success"),
        lambda b: b["actor"].update(email="a@b.example"),
        lambda b: b["actor"]["auth"].update(token="t"),
        lambda b: b["schema"].update(extra=1),
        lambda b: b["target"][0].update(name="x"),
        lambda b: b["decision"].update(comment="x"),
        lambda b: b["approval"].update(reason="x"),
        lambda b: b.pop("pii"),
        lambda b: b.pop("stage"),
        lambda b: b["actor"].pop("id"),
        lambda b: b.update(stage="done"),
        lambda b: b.update(time="2026-11-25T09:30:15Z"),
        lambda b: b.update(time="2026-11-25T09:30:15.000123+01:00"),
        lambda b: b.update(tenant="acme"),
        lambda b: b.update(id="evt_1"),
        lambda b: b.update(cause="something"),
        lambda b: b.update(type="tenantplane.other"),
        lambda b: b.update(run="job-1"),
        lambda b: b.update(specversion="2.0"),
        lambda b: b["pii"].update(reason="clear text"),
        lambda b: b["data"].update(nested={"deep": {"deeper": 1}}),
        lambda b: b["data"].update({"Upper": 1}),
        lambda b: b["actor"].update(type="root"),
        lambda b: b.update(target={"type": "a", "id": "b"}),
        lambda b: b.update(data=[]),
    ],
)
def test_a_body_outside_the_closed_form_is_refused(change: Callable[[Any], object]) -> None:
    with pytest.raises(AuditEventInvalid):
        check_body(spoil(change))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"action": "tenant.exploded"}, "action"),
        ({"stage": Stage.ATTEMPTED}, "stage"),
        ({"data": {"password": "hunter2"}}, r"data\.password"),
        ({"data": {"approvals": "two"}}, r"data\.approvals"),
        ({"data": {"approvals": 1.5}}, "data"),
        ({"data": {"approvals": True}}, r"data\.approvals"),
        ({"personal": {"iban": "x"}}, r"personal\.iban"),
        ({"time": NOW.replace(tzinfo=None)}, "time"),
        ({"time": NOW.astimezone(timezone(timedelta(hours=1)))}, "time"),
        ({"tree": "acme"}, "tenant"),
        ({"id": "evt_short"}, "id"),
        ({"id": "evt_Z" + "0" * 25}, "id"),
        ({"run": "job_1"}, "run"),
        ({"targets": (("Tenant", "x"),)}, "target"),
        ({"targets": (("tenant", ""),)}, "target"),
        ({"approval": {"plan_digest": "abc"}}, "approval"),
        ({"idempotency_key_sha256": "my-key"}, "idempotency"),
        ({"request_id": "a\nb"}, "request_id"),
        ({"step": ""}, "step"),
    ],
)
def test_an_event_that_does_not_fit_is_refused_naming_the_field(
    changes: dict[str, Any], named: str
) -> None:
    with pytest.raises(AuditEventInvalid, match=named) as caught:
        make_event(**changes)
    assert "hunter2" not in str(caught.value)


def test_an_event_larger_than_the_limit_is_refused() -> None:
    event = make_event(action="run.verified", personal={}, data={"failed": ["x" * 1000] * 70})
    with pytest.raises(AuditEventInvalid, match="60 KiB"):
        encode_body(event, {})


def test_a_lone_surrogate_in_user_text_is_refused_by_name() -> None:
    with pytest.raises(AuditEventInvalid, match="surrogate"):
        encode_body(make_event(personal={"reason": "\ud800"}), {"reason": SALT})


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_event_ids_and_uuids_hold_the_same_bits(milliseconds: int, randomness: bytes) -> None:
    made = make_id("event", milliseconds, randomness)
    assert event_id(event_uuid(made)) == made


# --- the catalogue ----------------------------------------------------------------------------
def test_every_action_has_a_schema_of_its_own() -> None:
    assert len({schema.digest for schema in ACTIONS.values()}) == len(ACTIONS)
    for name, schema in ACTIONS.items():
        assert name == schema.name
        assert schema.description.endswith(".")
        assert schema.stages
        assert schema.version >= 1


EXAMPLES: dict[DataKind, Any] = {
    DataKind.TEXT: "x",
    DataKind.INTEGER: 3,
    DataKind.BOOLEAN: True,
    DataKind.TEXTS: ["x"],
    DataKind.FACTS: {"a": 1, "b": None, "c": ["x"]},
    DataKind.ROWS: [{"name": "x", "ok": True}],
}


@pytest.mark.parametrize("name", sorted(ACTIONS))
def test_every_action_can_be_written_with_all_its_fields(name: str) -> None:
    schema = ACTIONS[name]
    for stage in schema.stages:
        event = make_event(
            action=name,
            stage=stage,
            data={key: EXAMPLES[kind] for key, kind in schema.data.items()},
            personal={f"{root}.0.name": "x" for root in schema.personal},
        )
        check_body(body_of(event))
