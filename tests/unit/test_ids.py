"""Ids and names are of their form to the last character."""

from __future__ import annotations

import pytest

from control_plane.domain.deployment import stack_name
from control_plane.domain.ids import is_id, make_id


def test_an_id_ends_where_it_ends() -> None:
    run = make_id("run", 1_800_000_000_000, bytes(10))
    assert is_id("run", run)
    assert not is_id("run", run + "\n")


def test_a_part_of_a_stack_name_has_no_line_end() -> None:
    assert stack_name("acme", "production", "b") == "acme.production.b"
    with pytest.raises(ValueError, match="not a part"):
        stack_name("acme\n", "production", "b")
