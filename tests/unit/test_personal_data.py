"""Every place that can hold personal data is known, with how that ends."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Boolean, Date, DateTime, Integer, Uuid

from control_plane.adapters.db import audit_tables, tables
from control_plane.adapters.db.columns import Choice, Moment
from control_plane.domain.personal_data import FILES, PERSONAL, WITHOUT, How, Kind

PLAIN = (Boolean, Choice, Date, DateTime, Integer, Moment, Uuid)  # these hold no text
PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"


def columns() -> set[str]:
    return {
        f"{table.name}.{column.name}"
        for table in (*tables.BUSINESS_TABLES, *audit_tables.AUDIT_TABLES)
        for column in table.columns
        if not isinstance(column.type, PLAIN)
    }


def test_every_column_of_text_is_in_one_of_the_lists() -> None:
    listed = Counter([*PERSONAL, *WITHOUT])
    assert [name for name, times in listed.items() if times > 1] == []
    missing, unknown = columns() - listed.keys(), listed.keys() - columns()
    assert (missing, unknown) == (set(), set()), (
        "say in domain/personal_data.py whether it can hold personal data, and how that ends"
    )


@pytest.mark.parametrize("place", sorted(PERSONAL))
def test_what_names_people_at_customers_ends(place: str) -> None:
    found = PERSONAL[place]
    assert found.ends
    if found.kind is Kind.PERSON:
        assert How.NEVER not in found.ends


@pytest.mark.parametrize("folder", sorted(FILES))
def test_the_page_for_operators_has_every_folder(folder: str) -> None:
    assert f"{folder.rpartition('/')[2]}/`" in PAGE.read_text()
