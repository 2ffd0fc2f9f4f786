"""Looking for texts in everything that a world has kept: tables, files, log lines."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from tests.storage import Storage


def spellings(secret: str | bytes) -> set[str]:
    """Return how a secret could be written: plain, escaped, in hexadecimal digits, in base 64."""
    content = secret.encode() if isinstance(secret, str) else secret
    found = {
        content.hex(),
        base64.b64encode(content).decode().rstrip("="),
        base64.urlsafe_b64encode(content).decode().rstrip("="),
    }
    if isinstance(secret, str):
        escaped = "".join(f"\\u{ord(sign):04x}" for sign in secret)
        found |= {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], escaped}
    return found


def table_texts(storage: Storage) -> Iterator[tuple[str, str]]:
    """Yield each table of the database, of the queue too, with its rows as text.

    Bytes are shown as hexadecimal digits, and what they say as text beside it.
    """
    with psycopg.connect(storage.database.admin) as admin:
        names = admin.execute(
            "SELECT schemaname, tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        for schema, name in names:
            rows = admin.execute(
                sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(schema, name))
            ).fetchall()
            texts = [str(row) for (row,) in rows]
            yield f"{schema}.{name}", "\n".join(texts)


def file_texts(folder: Path, *, but: Iterable[Path] = ()) -> Iterator[tuple[str, str]]:
    """Yield each file below a folder with its content; ``but`` are files meant for secrets."""
    left_out = set(but)
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file not in left_out and not left_out & set(file.parents):
            content = file.read_bytes()
            yield str(file), content.decode(errors="replace") + content.hex()


def hits(texts: Iterable[tuple[str, str]], secrets: dict[str, set[str]]) -> dict[str, list[str]]:
    """Return by place the names of the secrets of which some spelling is there."""
    found: dict[str, list[str]] = {}
    for place, text in texts:
        names = sorted(name for name, each in secrets.items() if any(one in text for one in each))
        if names:
            found[place] = names
    return found
