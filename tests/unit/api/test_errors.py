"""Errors: problem documents with registered codes, and nothing of the inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from api.errors import HTTP, STATUS
from control_plane.domain import errors as facts
from control_plane.domain.actor import Role
from control_plane.domain.errors import DomainError, all_errors
from tests.unit.api.scene import ROOT, Api, Scene, is_problem

INSIDE: Final = ["Traceback", 'File "', ".py", "SELECT ", "INSERT ", "psycopg", "sqlalchemy",
                 "control_plane", "/home", "/usr/", str(ROOT), "object at 0x"]  # fmt: skip
SECRET: Final = "hunter2-correct-horse"


def test_every_fact_has_a_status_and_every_status_a_fact() -> None:
    assert set(STATUS) == {DomainError.code} | {error.code for error in all_errors()}
    assert all(400 <= status < 600 for status in STATUS.values())


def test_codes_of_the_protocol_do_not_mean_other_facts() -> None:
    shared = {code for code, _, _ in HTTP.values()} & set(STATUS)
    assert shared == {"not_found"}


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.code)
def test_every_fact_says_what_to_do(kind: type[DomainError]) -> None:
    assert kind.title
    assert kind.remedy
    assert kind.remedy.endswith((".", "`"))


def test_the_documentation_lists_every_code_with_its_status() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rows = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) >= 4 and cells[2].isdigit():
            rows[cells[1].strip("`")] = int(cells[2])
    expected = STATUS | {code: status for status, (code, _, _) in HTTP.items()}
    assert rows == expected


def _raising(error: BaseException) -> Callable[[], dict[str, str]]:
    def fail() -> dict[str, str]:
        raise error

    return fail


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError(f"psycopg: SELECT failed; password={SECRET} at /home/x.py"),
        KeyError(SECRET),
        ValueError(SECRET),
        facts.SettingInvalid(f"TENANTPLANE_X is {SECRET}"),
        DomainError(SECRET),
    ],
    ids=repr,
)
def test_a_bug_is_answered_without_internals(api: Api, error: BaseException) -> None:
    api.shared.readiness = _raising(error)
    answer = api.call("GET", "/readyz")
    content = is_problem(answer, 500, "internal")
    assert SECRET not in answer.text
    assert not [word for word in INSIDE if word in answer.text]
    assert set(content) == {"type", "title", "status", "detail", "instance", "code"}
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_part_that_is_down_is_named_as_a_fact(api: Api) -> None:
    api.shared.readiness = _raising(facts.Unavailable("the database does not answer"))
    answer = api.call("GET", "/readyz")
    is_problem(answer, 503, "unavailable")
    assert answer.headers["retry-after"] == "2"


def test_not_ready_says_which_part(api: Api) -> None:
    api.parts["database"] = "migrations are missing: 0002"
    answer = api.call("GET", "/readyz")
    assert answer.status_code == 503
    assert answer.json()["parts"]["database"].startswith("migrations")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/bundles/x", "GET, PATCH"),
        ("DELETE", "/v1/tenants/x", "GET"),
        ("GET", "/v1/runs/x/cancel", "POST"),
        ("PATCH", "/v1/provisioning-requests", "GET, POST"),
        ("HEAD", "/v1/tenants", "GET"),
        ("OPTIONS", "/v1/tenants", "GET"),
        ("POST", "/v1/bundles/x/archive", "GET"),
    ],
)
def test_another_method_is_refused_with_those_there_are(
    shown: Scene, method: str, path: str, allowed: str
) -> None:
    answer = shown.api.call(method, path, Role.PLATFORM_ADMIN)
    assert answer.status_code == 405
    if method != "HEAD":  # whose answers have no body
        is_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_can_be_asked_with_head(shown: Scene, path: str) -> None:
    assert shown.api.call("HEAD", path).status_code == 200


def test_no_refusal_holds_anything_of_the_inside(shown: Scene) -> None:
    document = shown.api.app.openapi()
    for path, operations in document["paths"].items():
        for method in operations:
            for role in (None, Role.AUDITOR, Role.SOLUTIONS_ARCHITECT):
                answer = shown.ask(method.upper(), path, role, ids=shown.missing, key=None)
                if answer.status_code >= 400:
                    is_problem(answer, answer.status_code, answer.json()["code"])
                    assert answer.json()["code"] in STATUS
                    assert not [word for word in INSIDE if word in answer.text], answer.text


def test_a_wrong_field_is_answered_without_its_value(shown: Scene) -> None:
    body = shown.body("/v1/hubs") | {"region": SECRET * 3, "x" * 5000: SECRET}
    answer = shown.ask("POST", "/v1/hubs", Role.PLATFORM_ADMIN, json=body)
    is_problem(answer, 422, "invalid_input")
    assert SECRET not in answer.text
    assert len(answer.text) < 2000
