"""Live parts of pages: rendered again on the server when a run has news, at most once a second."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Final

from fastapi import Response

from api.dependencies import Shared
from api.streams import ProgressResponse
from control_plane.domain.run import RunEvent

_PAUSE_SECONDS: Final = 1.0


async def live_part(
    have: Shared,
    run_id: str,
    *,
    read: Callable[[int], tuple[bool, Sequence[RunEvent]]],
    may: Callable[[], object],
    still_holds: Callable[[], object],
    render: Callable[[], str],
) -> Response:
    """Answer a stream of the events ``part``, with the part in HTML, and ``end``.

    ``may`` raises for whom it is not; when ``still_holds`` raises, the stream is cut. Raises
    ``Unavailable`` when too many are open.
    """
    await asyncio.to_thread(may)
    have.streams.enter()
    news = have.streams.follow(run_id, 0, read=read, still_holds=still_holds)
    return ProgressResponse(have.streams, _parts(news, render))


async def _parts(news: AsyncIterator[str], render: Callable[[], str]) -> AsyncIterator[str]:
    waits: asyncio.Future[str] | None = None
    is_old = False
    try:
        while True:
            waits = waits or asyncio.ensure_future(anext(news, ""))
            done, _ = await asyncio.wait({waits}, timeout=_PAUSE_SECONDS if is_old else None)
            if not done:
                yield await _part(render)
                is_old = False
                continue
            line, waits = waits.result(), None
            if not line:
                return
            if line.startswith("event: end"):
                yield await _part(render)
                yield line
                return
            if line.startswith(":"):
                yield line
            else:
                is_old = True
    finally:
        if waits is not None:
            waits.cancel()
            with suppress(asyncio.CancelledError, StopAsyncIteration):
                await waits


async def _part(render: Callable[[], str]) -> str:
    text = await asyncio.to_thread(render)
    lines = "".join(f"data: {line}\n" for line in text.splitlines() if line.strip())
    return f"event: part\n{lines}\n"
