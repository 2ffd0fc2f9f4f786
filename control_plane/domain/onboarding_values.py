"""What is taken of one field of a step, by its type: one spelling, or why it is not taken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from control_plane.domain import spellings
from control_plane.domain.onboarding_document import LONGEST_LINE, FaultCode, Field, FieldType

_F: Final = FaultCode


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of the tenant whose answers are examined.

    ``domain`` is its verified one; ``domains`` are others that it named. ``known_regions`` are
    those of the regions document, ``allowed_regions`` those that were promised, None for any.
    """

    domain: str
    mode: str | None
    region: str | None
    now: datetime
    domains: tuple[str, ...] = ()
    known_regions: frozenset[str] = frozenset()
    allowed_regions: frozenset[str] | None = None


class Wrong(Exception):
    """A value that is not taken."""

    def __init__(self, code: FaultCode, **given: Any) -> None:
        super().__init__(str(code))
        self.code = code
        self.given = given


# --- types ----------------------------------------------------------------------------------------
def typed(each: Field, value: Any) -> Any:
    """Return a value of a field in its one spelling. Raises ``Wrong``."""
    return _TYPED[each.type](each, value)


def _flag(_: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Wrong(_F.KIND)
    return value


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise Wrong(_F.KIND)
    return value


def _choice(each: Field, value: Any) -> str:
    if _string(value) not in {option.value for option in each.options}:
        raise Wrong(_F.CHOICE)
    return str(value)


def _xml(each: Field, value: Any) -> str:
    if len(_string(value)) > each.longest:
        raise Wrong(_F.TOO_LARGE, most=each.longest)
    return str(value).strip()


def _number(each: Field, value: Any) -> int:
    least, most = each.span or (0, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(_F.KIND if not isinstance(value, str) else _F.NUMBER, least=least, most=most)
    if not least <= value <= most:
        raise Wrong(_F.NUMBER, least=least, most=most)
    return value


def _lines(each: Field, value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise Wrong(_F.KIND)
    found = [line_of(line) for line in value if line.strip()]
    least, most = each.count or (0, 1)
    if not least <= len(found) <= most:
        raise Wrong(_F.COUNT, least=least, most=most, count=len(found))
    folded = [line.casefold() for line in found]
    for number, line in enumerate(folded):
        if line in folded[:number]:
            raise Wrong(_F.TWICE, line=number + 1)
    return found


def line_of(value: str) -> str:
    """Return one line of readable text. Raises ``Wrong``."""
    try:
        return spellings.name(value)
    except ValueError:
        raise Wrong(_F.TEXT, most=LONGEST_LINE) from None


def _long(each: Field, value: Any) -> str:
    lines = _string(value).replace("\r\n", "\n").strip().split("\n")
    try:
        text = "\n".join(spellings.name(line) if line.strip() else "" for line in lines)
    except ValueError:
        raise Wrong(_F.TEXT, most=each.longest) from None
    if len(text) > each.longest:
        raise Wrong(_F.TEXT, most=each.longest)
    return text


def email_of(value: str, **line: int) -> str:
    """Return an e-mail address; ``line`` says where it is. Raises ``Wrong``."""
    try:
        return spellings.email(line_of(value))
    except ValueError:
        raise Wrong(_F.EMAIL, **line) from None


_TYPED: Final[Mapping[FieldType, Callable[[Field, Any], Any]]] = {
    FieldType.TEXT: lambda _, value: line_of(_string(value)),
    FieldType.URL: lambda _, value: line_of(_string(value)),
    FieldType.EMAIL: lambda _, value: email_of(_string(value)),
    FieldType.LONG: _long,
    FieldType.NUMBER: _number,
    FieldType.CHOICE: _choice,
    FieldType.FLAG: _flag,
    FieldType.LINES: _lines,
    FieldType.XML: _xml,
}
