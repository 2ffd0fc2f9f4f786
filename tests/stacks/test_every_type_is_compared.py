"""A change by hand of any type of any program is seen by what stands between approval and apply.

`TESTS_TRIALS` sets how many changes are tried one by one; each type of each program is tried at
once in any case. A type of a program without a change in `by_hand.py` fails.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.stacks.by_hand import CHANGES, changed
from tests.stacks.cloud_process import CloudProcess
from tests.stacks.made_stacks import Made, World, make_world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TRIALS = int(os.environ.get("TESTS_TRIALS", "6"))
Resource = dict[str, Any]
PROGRAMS = ("mode_a.hub", "mode_a.slice", "mode_b")


@pytest.fixture(scope="module")
def made(pulumi_cli: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A cloud of its own, since it is changed here."""
    with CloudProcess() as cloud:
        yield make_world(cloud=cloud, cli=pulumi_cli, root=tmp_path_factory.mktemp("compared"))


def by_type(stack: Made) -> dict[str, list[Resource]]:
    """Return what a stack has of AWS, by type."""
    found: dict[str, list[Resource]] = {}
    for resource in stack.desk.state()["resources"]:
        if resource["type"].startswith("aws:"):
            found.setdefault(resource["type"], []).append(resource)
    return found


def compared(stack: Made) -> list[Resource]:
    """Return in what the cloud differs, of everything that the stack has."""
    urns = [each["urn"] for kind in by_type(stack).values() for each in kind]
    return list(stack.desk.result("compare", scope=urns)["differences"])


def is_named(found: list[Resource], resource: Resource, name: str) -> bool:
    """Tell whether the change of a resource is named: a property, or that it is gone."""
    mine = [each for each in found if each["urn"] == resource["urn"]]
    if not name:
        return [each["kind"] for each in mine] == ["missing"]
    return any(each["kind"] == "changed" and each["path"].startswith(name) for each in mine)


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_type_of_a_program_has_a_change_and_each_change_is_seen(
    made: World, program: str
) -> None:
    stack = made.of(program)
    types = by_type(stack)
    assert set(types) <= set(CHANGES), "a new type needs a change in tests/stacks/by_hand.py"
    assert compared(stack) == []
    with ExitStack() as changes:
        wanted = [
            (kind[0], changes.enter_context(changed(made.cloud.client, kind[0])))
            for kind in types.values()
        ]
        found = compared(stack)
    assert [each["urn"] for each, name in wanted if not is_named(found, each, name)] == [], found


def test_each_change_alone_is_seen_and_nothing_else(
    made: World, capsys: pytest.CaptureFixture[str]
) -> None:
    every = [
        (stack, kind, resources)
        for program in PROGRAMS
        for stack in (made.of(program),)
        for kind, resources in sorted(by_type(stack).items())
        if CHANGES[kind][0]  # what was made again has another id
    ]
    seen = set()
    for trial in range(TRIALS):
        stack, kind, resources = every[trial * 7 % len(every)]
        resource = resources[trial // len(every) % len(resources)]
        with changed(made.cloud.client, resource) as name:
            found = compared(stack)
        assert is_named(found, resource, name), (kind, found)
        assert {each["urn"] for each in found} == {resource["urn"]}, (kind, found)
        assert compared(stack) == [], kind
        seen.add(kind)
    with capsys.disabled():
        sys.stdout.write(f"\nsaw {TRIALS} of {TRIALS} changes, over {len(seen)} types\n")
