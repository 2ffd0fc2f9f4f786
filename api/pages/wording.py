"""What the pages say, in the languages that they have: one document each, with the same keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal, get_args

Language = Literal["en", "de", "it"]
_FOLDER: Final = Path(__file__).resolve().parent / "texts"


def _read(language: str) -> Mapping[str, str]:
    found: Mapping[str, str] = json.loads((_FOLDER / f"{language}.json").read_text("utf-8"))
    return found


TEXTS: Final[Mapping[Language, Mapping[str, str]]] = {
    language: _read(language) for language in get_args(Language)
}
