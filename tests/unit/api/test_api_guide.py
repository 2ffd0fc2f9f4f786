"""The tables of ``docs/api.md`` say what the code says: each route and each error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

from api import errors
from control_plane.domain.errors import all_errors

DOCS: Final = Path(__file__).resolve().parents[3] / "docs"
GUIDE: Final = (DOCS / "api.md").read_text(encoding="utf-8")


def rows(first: str) -> dict[str, list[str]]:
    """Return the first cell -> the other cells of the table rows that begin like ``first``."""
    found = re.findall(rf"^\| `({first}[^`]*)` \| (.*) \|$", GUIDE, flags=re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in found}


def test_each_error_stands_in_the_guide_with_its_status_sentence_and_remedy() -> None:
    wanted = {"internal": ["500", "Something went wrong."]}
    for error in all_errors():
        text = f"{error.title}. {error.remedy}".strip()
        wanted[error.code] = [str(errors.STATUS[error.code]), text]
    for status, (code, title, remedy) in errors.HTTP.items():
        wanted.setdefault(code, [str(status), f"{title}. {remedy}"])
    listed = {code: cells for code, cells in rows("[a-z_]+").items() if cells[0].isdigit()}
    assert listed == wanted


def test_each_route_stands_in_the_guide_with_its_summary() -> None:
    document = json.loads((DOCS / "openapi.json").read_text(encoding="utf-8"))
    wanted = {
        f"{method.upper()} {path}": route["description"].split("\n\n")[0].removesuffix(".")
        for path, methods in document["paths"].items()
        for method, route in methods.items()
        if method != "head"
    }
    listed = {route: cells[0] for route, cells in rows("[A-Z]+ /").items()}
    assert {route: listed.get(route, "").startswith(text) for route, text in wanted.items()} == (
        dict.fromkeys(wanted, True)
    )
