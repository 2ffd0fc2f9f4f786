"""Requests generated from the OpenAPI document are answered as it says, never by a bug."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlencode

import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core import NotSet

from api.errors import HTTP, STATUS
from control_plane.domain.actor import Role
from tests.unit.api.scene import PROBLEM, Scene, written
from tests.unit.api.test_permission_matrix import TABLE

EXAMPLES: Final = 4
DOCUMENT: Final = written()
CODES: Final = set(STATUS) | {code for code, _, _ in HTTP.values()}
OPERATIONS: Final[list[Any]] = [
    found.ok()  # type: ignore[union-attr]  # a document that is faulty fails here, as it should
    for found in schemathesis.openapi.from_dict(DOCUMENT).get_all_operations()
]


def _check(case: Any, answer: Any) -> None:
    assert answer.status_code < 500, answer.text
    kind = answer.headers.get("content-type", "")
    if answer.status_code >= 400:
        assert kind == PROBLEM
        assert answer.json()["code"] in CODES
        return
    operation = DOCUMENT["paths"][case.path][case.method.lower()]
    declared = operation["responses"][str(answer.status_code)].get("content", {})
    if kind == "application/json":
        schema = declared[kind]["schema"]
        jsonschema.validate(answer.json(), {**schema, "components": DOCUMENT["components"]})


@pytest.mark.requirement("J-017")
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_a_generated_request_is_answered_as_documented(shown: Scene, operation: Any) -> None:
    who = min(TABLE[operation.method.upper(), operation.path], default=Role.AUDITOR)

    @settings(
        max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(case=operation.as_strategy())
    def generated(case: Any) -> None:
        query = f"?{urlencode(dict(case.query), doseq=True)}" if case.query else ""
        body = None if isinstance(case.body, NotSet) else case.body
        headers = {"If-Match": '"1"'} if case.method == "PATCH" else {}
        existing = case.path.format(**shown.ids)
        for address, role in ((case.formatted_path, Role.PLATFORM_ADMIN), (existing, who)):
            answer = shown.api.call(case.method, address + query, role, json=body, headers=headers)
            _check(case, answer)

    generated()
