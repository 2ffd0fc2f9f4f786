"""Bodies are JSON that every part behind the door can hold: the strict subset of RFC 8259.

PostgreSQL takes no NUL, UTF-8 no lone surrogate, and a digest no floating point number, no integer
beyond 2^53-1 and no endless nesting (``domain/canonical.py``). A name that repeats means different
things to different readers. All of that is refused here, before anything looks at it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any, Final, NoReturn

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from api.dependencies import authenticated, bearer, is_guarded
from control_plane.domain.canonical import MAX_INTEGER

MAX_DEPTH: Final = 32
_DIGITS: Final = len(str(-MAX_INTEGER))


class NotStrict(ValueError):
    """A body is not of the strict subset; the message is a sentence for its sender."""


def parse(content: bytes) -> Any:
    """Return the value of a body. Raises ``NotStrict``."""
    try:
        value = _decode(content.decode())
    except NotStrict:
        raise
    except UnicodeDecodeError as error:
        raise NotStrict("the body is not UTF-8") from error
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise NotStrict(f"the body is not valid JSON: see {where}") from error
    except RecursionError as error:
        raise NotStrict(f"the body is nested more than {MAX_DEPTH} levels deep") from error
    _check(value)
    return value


def _integer(spelling: str) -> int:
    if len(spelling) > _DIGITS or not -MAX_INTEGER <= int(spelling) <= MAX_INTEGER:
        raise NotStrict("the body contains an integer beyond 2^53-1; write it as a string")
    return int(spelling)


def _no_float(_spelling: str) -> NoReturn:
    raise NotStrict("the body contains a number with a fraction or exponent; write it as a string")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotStrict("an object in the body has a duplicate name")
    return found


# made once: making it takes as long as reading a body
_decode: Final = json.JSONDecoder(
    parse_int=_integer, parse_float=_no_float, parse_constant=_no_float, object_pairs_hook=_object
).decode


def _check(value: Any) -> None:
    """Check texts and depth, without recursion of our own."""
    waiting = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise NotStrict(f"the body is nested more than {MAX_DEPTH} levels deep")
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, list):
            waiting.extend((child, depth + 1) for child in item)
        elif isinstance(item, dict):
            waiting.extend((name, depth) for name in item)
            waiting.extend((child, depth + 1) for child in item.values())


def _check_text(text: str) -> None:
    if "\0" in text:
        raise NotStrict("a string in the body contains a NUL character")
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise NotStrict("a string in the body contains half of a surrogate pair")


class StrictRequest(Request):
    """A request whose body is read strictly.

    A fault waits in ``state.body_fault`` and the value is one that no body has
    (``errors.py`` tells the fault).
    """

    async def json(self) -> Any:
        """Return the value of the body."""
        try:
            return parse(await self.body())
        except NotStrict as error:
            self.state.body_fault = str(error)
            return []


class StrictRoute(APIRoute):
    """A route that reads its body strictly, and a stranger's not at all."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler over a strict request."""
        handle = super().get_route_handler()
        # FastAPI would read and parse the body before it asks the dependencies who calls
        asks_first = self.body_field is not None and is_guarded(self.dependant)

        async def strictly(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            if asks_first:
                given = await bearer(strict)
                await authenticated(strict, request.app.state.shared, given)
            return await handle(strict)

        return strictly
