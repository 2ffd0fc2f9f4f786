"""Every schema that any release wrote events of stays known, so that old logs stay verifiable."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from control_plane.domain.audit_catalogue import ACTIONS, is_known_schema

WRITTEN = Path(__file__).with_name("audit_schemas.txt")
LINES = [
    line.split() for line in WRITTEN.read_text().splitlines() if line and not line.startswith("#")
]


@pytest.mark.parametrize("action", sorted(ACTIONS))
def test_a_schema_does_not_change_without_a_new_version(action: str) -> None:
    schema = ACTIONS[action]
    written = {digest for name, version, digest in LINES if (name, int(version)) == (
        schema.name, schema.version)}  # fmt: skip
    line = f"{schema.name} {schema.version} {schema.digest}"
    if not written:
        pytest.fail(f"a new schema: add this line to {WRITTEN.name}: {line}")
    assert schema.digest in written, (
        f"{action} changed: give it version {schema.version + 1}, and keep its digest of before "
        "in RETIRED_SCHEMAS"
    )


def test_an_event_of_any_release_verifies() -> None:
    unknown = [line for line in LINES if not is_known_schema(line[0], int(line[1]), line[2])]
    assert unknown == []


def test_a_version_has_one_schema() -> None:
    versions = Counter((name, version) for name, version, _ in LINES)
    twice = {version for version, number in versions.items() if number > 1}
    assert twice == {("receipt.registered", "1")}  # the fault that this file is there against
