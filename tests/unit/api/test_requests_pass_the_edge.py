"""What every request passes: size limit, request id, security headers, the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from api.edge import MAX_BODY
from api.openapi import FILE
from control_plane.domain.actor import Role
from control_plane.ports.stores import Exposure
from tests.unit.api.scene import Scene, is_problem, written

ADMIN = Role.PLATFORM_ADMIN


def _hub(size: int) -> bytes:
    body = json.dumps({"region": "eu-west-1", "cell": "big"}).encode()
    return body + b" " * (size - len(body))


async def _in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 50_000):
        yield content[start : start + 50_000]


def test_a_body_of_exactly_the_limit_is_taken(scene: Scene) -> None:
    answer = scene.api.call("POST", "/v1/hubs", ADMIN, content=_hub(MAX_BODY))
    assert answer.status_code == 202


@pytest.mark.parametrize("pieces", [False, True])
def test_a_larger_body_is_refused_with_and_without_a_length(shown: Scene, pieces: bool) -> None:
    content = _hub(MAX_BODY + 1)
    before = len(shown.world.rows("hub"))
    answer = shown.api.call(
        "POST", "/v1/hubs", ADMIN, content=_in_pieces(content) if pieces else content
    )
    is_problem(answer, 413, "body_too_large")
    assert len(shown.world.rows("hub")) == before


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_a_compressed_body_is_refused_and_not_read_as_plain(shown: Scene, coding: str) -> None:
    answer = shown.api.call(
        "POST", "/v1/hubs", ADMIN, content=_hub(200), headers={"Content-Encoding": coding}
    )
    is_problem(answer, 415, "unsupported_media_type")


def test_a_length_that_is_no_number_is_refused(shown: Scene) -> None:
    answer = shown.api.call("GET", "/v1/hubs", ADMIN, headers={"Content-Length": "many"})
    is_problem(answer, 413, "body_too_large")


@pytest.mark.parametrize("path", ["/healthz", "/v1/hubs", "/nowhere", "/v1/runs/%00"])
def test_every_answer_has_the_security_headers(shown: Scene, path: str) -> None:
    headers = shown.api.call("GET", path, ADMIN).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["strict-transport-security"].startswith("max-age=")
    assert "server" not in headers


def test_a_request_id_is_echoed_and_logged(scene: Scene) -> None:
    given = "trace-0123:abc.DEF"
    answer = scene.api.call("GET", "/v1/runs/x", ADMIN, headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"] == given
    assert answer.json()["instance"] == given
    scene.api.call("POST", "/v1/hubs", Role.AUDITOR, json={"region": "eu-west-1"},
                   headers={"X-Request-Id": given})  # fmt: skip
    assert scene.world.events()[-1].request_id == given


@pytest.mark.parametrize("given", ["", "short", "x" * 101, "with space!", "a\tb-long-enough"])
def test_a_request_id_that_no_log_wants_is_replaced(shown: Scene, given: str) -> None:
    answer = shown.api.call("GET", "/healthz", headers={"X-Request-Id": given})
    assert answer.headers["x-request-id"].startswith("rq-")


def test_metrics_name_every_run_status(shown: Scene) -> None:
    text = shown.api.call("GET", "/metrics").text
    assert 'tenantplane_runs{status="awaiting_approval"}' in text
    assert "tenantplane_audit_behind 0" in text
    assert "tenantplane_audit_exposed_seconds" not in text


def test_metrics_have_the_exposure_clock_where_witnesses_are_asked(scene: Scene) -> None:
    scene.world.trail.clock = Exposure(
        size=4, newest=6, witnessed_at=datetime(2026, 5, 1, tzinfo=UTC),
        age=timedelta(seconds=70), exposed=timedelta(seconds=20),
    )  # fmt: skip
    text = scene.api.call("GET", "/metrics").text
    assert "\ntenantplane_audit_exposed_seconds 20\n" in text
    assert "\ntenantplane_audit_witnessed_age_seconds 70\n" in text


def test_the_document_is_openapi_3_1_and_the_one_of_the_application(shown: Scene) -> None:
    answer = shown.api.call("GET", "/openapi.json")
    assert answer.json() == json.loads(json.dumps(written()))
    assert answer.json()["openapi"].startswith("3.1.")


def test_the_written_document_is_the_present_one() -> None:
    assert json.loads(FILE.read_text(encoding="utf-8")) == written(), "run `make schemas`"


def test_every_operation_of_the_document_names_its_errors_and_its_token() -> None:
    found = written()
    assert found["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            problem = operation["responses"]["4XX"]["content"]["application/problem+json"]
            assert problem["schema"] == {"$ref": "#/components/schemas/Problem"}, (path, method)
            is_signed = path == "/v1/intake/{source}"  # by the provider, who has no token
            takes_token = path.startswith(("/v1", "/audit")) and not is_signed
            assert ("security" in operation) == takes_token, path
            names = {p["name"].lower() for p in operation.get("parameters", [])}
            assert "authorization" not in names
