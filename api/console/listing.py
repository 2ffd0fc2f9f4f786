"""Pages of lists: the same marked tokens as the API's, bound to the address and its filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import Depends, Query, Request

from api.console.visiting import Visitor, VisitorDep
from api.dependencies import Paging, opened_token, scope_of


def before(
    request: Request, who: VisitorDep, page: Annotated[str, Query(max_length=600)] = ""
) -> str | None:
    """Return after which id a page begins. Raises ``InvalidPageToken``."""
    return opened_token(page, scope_of(request, who.actor), who.have.page_key) if page else None


TokenDep = Annotated[str | None, Depends(before)]


def next_token(request: Request, who: Visitor, ids: Sequence[str], limit: int) -> str | None:
    """Return the token of the next page, None when this one was not full."""
    scope = scope_of(request, who.actor)
    return Paging(limit=limit, before=None, scope=scope, key=who.have.page_key).token(ids)
