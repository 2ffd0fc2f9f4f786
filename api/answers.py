"""Shaping answers: created things with their Location, repeated requests with the first one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel

from api.dependencies import Shared
from control_plane.services.idempotency import Answer, once
from control_plane.workflows.core import Act, Caller


class _Sorted(JSONResponse):
    """JSON whose keys are in one order: the database does not keep that of the first answer."""

    def render(self, content: Any) -> bytes:
        """Return the bytes of the body."""
        text = json.dumps(
            content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True
        )
        return text.encode()


def etag(version: int) -> str:
    """Return the ETag of a version."""
    return f'"{version}"'


def keyed(
    have: Shared,
    who: Caller,
    route: str,
    body: Mapping[str, Any],
    do: Callable[[Act], BaseModel],
    location: str | None,
    *,
    may: Callable[[Act], object],
    status: int = 202,
    hide: frozenset[str] = frozenset(),
) -> JSONResponse:
    """Do ``do`` once per key and answer with its view; ``may`` refuses who has no right to it.

    A repetition is answered with the very bytes of the first answer.

    ``location`` is a collection to which the view's id is added, or the item's own URL when the
    view has none. ``hide`` names fields that are answered once and not stored: a repetition gets
    null for them.
    """
    shown: dict[str, Any] = {}

    def first(act: Act) -> Answer:
        view = do(act)
        content = view.model_dump(mode="json")
        shown.update({name: content[name] for name in hide})
        headers = {}
        if location is not None:
            own = content.get("id")
            headers["Location"] = f"{location}/{own}" if own else location
        return Answer(status=status, body=content | dict.fromkeys(hide, None), headers=headers)

    answer = once(have.core, who, route=route, body=body, act=first, may=may)
    headers = dict(answer.headers)
    if answer.replayed:
        headers["Idempotency-Replayed"] = "true"
    return _Sorted({**answer.body, **shown}, status_code=answer.status, headers=headers)
