"""Streams of a run's progress: server-sent events that wait for news instead of asking."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol, TypeVar

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from control_plane.domain.errors import DomainError, Unavailable

T = TypeVar("T")
L = TypeVar("L")  # a line of a stream
HEARTBEAT_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 5.0  # at the rows, whatever was heard
TOKEN_SECONDS: Final = 30.0  # between two looks at whether the caller's token still holds
_READERS: Final = 4  # threads of their own: streams take none from other requests


class News(Protocol):
    """The source of news that a run, or a tenant, has new lines."""

    def subscribe(self, run_id: str, tell: Callable[[], object]) -> Callable[[], None]:
        """Call ``tell`` in some thread when there is news; returns what ends that."""


class Silence:
    """News for a process that hears nothing: its streams look at the rows now and then."""

    def subscribe(self, run_id: str, tell: Callable[[], object]) -> Callable[[], None]:  # noqa: ARG002 - nothing is told
        """Tell nothing."""
        return lambda: None


@dataclass
class Streams:
    """The open streams of a process, at most ``most``."""

    news: News = field(default_factory=Silence)
    most: int = 200
    look_seconds: float = LOOK_SECONDS
    token_seconds: float = TOKEN_SECONDS
    _open: int = 0
    _pool: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_READERS, thread_name_prefix="stream")
    )

    def enter(self) -> None:
        """Count a stream in. Raises ``Unavailable`` when there are too many."""
        if self._open >= self.most:
            raise Unavailable("too many progress streams are open; request pages instead")
        self._open += 1

    def leave(self) -> None:
        """Count a stream out."""
        self._open -= 1

    async def follow(
        self,
        subject: str,
        after: int,
        *,
        read: Callable[[int], tuple[bool, Sequence[L]]],
        line: Callable[[L], tuple[int, str]],
        still_holds: Callable[[], object],
        end: str,
    ) -> AsyncIterator[str]:
        """Yield the lines after ``after`` as they come; ends with what is followed.

        ``read`` returns whether that has ended, and its lines after a number, ``line`` the number
        of one and its text; ``end`` is the text of the end. When ``still_holds`` raises, the stream
        is cut: who opens it again learns why.
        """
        heard, loop = asyncio.Event(), asyncio.get_running_loop()
        unsubscribe = self.news.subscribe(subject, lambda: loop.call_soon_threadsafe(heard.set))
        quiet_since = checked = time.monotonic()
        try:
            while True:
                heard.clear()  # before the look: what comes during it is heard
                ended, events = await self._read(partial(read, after))
                for event in events:
                    after, said = line(event)
                    yield said
                if events:
                    quiet_since = time.monotonic()
                    continue
                if ended:
                    yield end
                    return
                if time.monotonic() - checked >= self.token_seconds:
                    checked = time.monotonic()
                    try:
                        await self._read(still_holds)
                    except DomainError:
                        return
                if time.monotonic() - quiet_since >= HEARTBEAT_SECONDS:
                    quiet_since = time.monotonic()
                    yield ": still here\n\n"
                await _wait(heard, self.look_seconds)
        finally:
            unsubscribe()

    async def _read(self, ask: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, ask)


class ProgressResponse(StreamingResponse):
    """A stream that entered, and leaves when it is over: also one that nobody waited for."""

    def __init__(self, streams: Streams, lines: AsyncIterator[str]) -> None:
        super().__init__(
            lines,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; a caller who is gone already may end this before the first line is asked for."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.leave()


async def _wait(heard: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(heard.wait(), seconds)
    except TimeoutError:
        return


def event_text(name: str, data: str, *, seq: int | None = None) -> str:
    """Return a server-sent event; its data is one line."""
    number = "" if seq is None else f"id: {seq}\n"
    return f"{number}event: {name}\ndata: {data}\n\n"
