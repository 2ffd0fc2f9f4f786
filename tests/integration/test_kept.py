"""Every table has a bound that somebody thought of: the page for operators names each."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from tests.databases import Database

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations.md"
pytestmark = pytest.mark.timeout(120)


def test_the_page_says_of_every_table_how_long_its_rows_are_kept(database: Database) -> None:
    with psycopg.connect(database.admin) as admin:
        rows = admin.execute(
            "SELECT tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
    section = PAGE.read_text().partition("## What is kept")[2].partition("\n## ")[0]
    first_table = section.partition("| folder or store |")[0]
    named = re.findall(r"`([a-z_]+)`", " ".join(
        line.split("|")[1] for line in first_table.splitlines() if line.startswith("| `")
    ))  # fmt: skip
    assert sorted(name for name in named if name != "dbos") == sorted(name for (name,) in rows)
