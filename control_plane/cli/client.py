"""The API as the command line uses it."""

from __future__ import annotations

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import IO, Any, Final, NoReturn
from urllib.parse import quote

import httpx

from control_plane.adapters.loopback import connection_options
from control_plane.cli.errors import FAILED, UNAVAILABLE, USAGE, exit_code
from control_plane.cli.refusing import CONNECTIONS, refuse

DEFAULT_URL: Final = "http://127.0.0.1:8080"
RECONNECT_SECONDS: Final = 30.0  # for which a cut stream of progress is tried again
ENDED: Final = frozenset(
    {"applied", "no_changes", "planned", "policy_failed", "rejected", "expired", "superseded",
     "canceled", "errored"}
)  # fmt: skip
Advise = Callable[[Mapping[str, Any]], str]  # problem -> the command to type, or nothing
_DOWN: Final = frozenset({502, 503, 504})
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,8192}")


class _Down(httpx.TransportError):
    """The API, or what is in front of it, answers that it is down for now."""


def segment(key: str) -> str:
    """Return an id or slug as a segment of a path; what can be neither ends the command."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}", key):
        refuse(f"{key!r} is neither an id nor a slug", USAGE)
    return quote(key, safe="")


@dataclass
class Api:
    """One caller's connection. It sends its token to ``url`` and to no other place.

    Every call takes a path, never a URL, and no redirect is followed. ``download_link`` fetches
    what the API answers as a URL, without a token.
    """

    url: str
    token: str
    timeout: float = 30.0
    _client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        """Open the connection."""
        self._client = _client(
            self.url,
            timeout=self.timeout,
            headers={"Authorization": f"Bearer {self.token}", "Accept": "application/json"},
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a GET."""
        return _json(self._asked("GET", path, params=_given(query)))

    def text(self, path: str) -> str:
        """Return the text of a GET."""
        return self._asked("GET", path).text

    def content(self, path: str, **query: Any) -> httpx.Response:
        """Return the response of a GET for its bytes."""
        return self._asked("GET", path, params=_given(query))

    def save(
        self, path: str, file: IO[bytes], report: Callable[[int], None], **query: Any
    ) -> httpx.Headers:
        """Write the bytes of a GET to a file as they come; ``report`` gets how many arrived."""
        try:
            with self._client.stream("GET", path, params=_given(query), timeout=600.0) as answer:
                if not answer.is_success:
                    answer.read()
                    _refused(answer)
                for block in answer.iter_bytes():
                    file.write(block)
                    report(answer.num_bytes_downloaded)
        except httpx.TransportError as error:
            _unreachable(self.url, error)
        return answer.headers

    def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        advise: Advise | None = None,
        **query: Any,
    ) -> Any:
        """Return the JSON of a POST; a new idempotency key is made unless one is given.

        ``advise`` returns the command to type in place of one that was refused, or nothing.
        """
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(16)}
        return _json(
            self._asked(
                "POST", path, advise=advise, json=body, headers=headers, params=_given(query)
            )
        )

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Read the item's ETag and PATCH it."""
        tag = self._asked("GET", path).headers.get("ETag", "")
        return _json(self._asked("PATCH", path, json=body, headers={"If-Match": tag}))

    def change(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, key: str | None
    ) -> Any:
        """Return the JSON of a PATCH or DELETE that takes an idempotency key."""
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(16)}
        return _json(self._asked(method, path, json=body, headers=headers))

    def pages(self, path: str, *, most: int, **query: Any) -> list[dict[str, Any]]:
        """Return up to ``most`` items of a list, over as many pages as it takes."""
        items: list[dict[str, Any]] = []
        token: str | None = None
        while len(items) < most:
            page = self.get(path, limit=min(most - len(items), 200), page_token=token, **query)
            items += page["items"]
            token = page["next_page_token"]
            if token is None:
                break
        return items

    def events(
        self,
        run_id: str,
        *,
        on_quiet: Callable[[], None] = lambda: None,
        on_cut: Callable[[], None] = lambda: None,
    ) -> Iterator[dict[str, Any]]:
        """Yield a run's progress lines as they come, until its end; as ``follow``."""
        path = f"/v1/runs/{segment(run_id)}/events"
        return self.follow(path, on_quiet=on_quiet, on_cut=on_cut)

    def follow(
        self,
        path: str,
        *,
        last: int = 0,
        on_quiet: Callable[[], None] = lambda: None,
        on_cut: Callable[[], None] = lambda: None,
    ) -> Iterator[dict[str, Any]]:
        """Yield the lines of a stream after the number ``last`` as they come, until its end.

        ``on_quiet`` is called now and then while none comes. A stream that was cut is taken up
        where it was, for up to half a minute of silence; ``on_cut`` is called when it was.
        """
        lost, opened, is_cut = 0.0, False, False
        while True:
            cut: Exception | None = None
            try:
                for kind, event in self._stream(path, last, is_again=opened):
                    lost, opened, is_cut = 0.0, True, False
                    if kind == "end":
                        return
                    if kind == "quiet":
                        on_quiet()
                    elif kind != "open":
                        last = event["seq"]
                        yield event
            except httpx.TransportError as error:
                cut = error
                if not opened:
                    _unreachable(self.url, error)
            if cut is not None and not is_cut:
                is_cut = True
                on_cut()
            lost = lost or time.monotonic()
            if time.monotonic() - lost > RECONNECT_SECONDS:
                _unreachable(self.url, cut or EOFError())
            time.sleep(0.5)

    def _stream(
        self, path: str, last: int, *, is_again: bool
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
        with self._client.stream("GET", path, headers=headers, timeout=60.0) as answer:
            if is_again and answer.status_code in _DOWN:
                raise _Down(str(answer.status_code))
            if answer.status_code != 200:
                answer.read()
                _refused(answer)
            yield "open", {}
            kind = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    yield kind, json.loads(line[6:])
                elif line.startswith(":"):
                    yield "quiet", {}

    def _asked(
        self,
        method: str,
        path: str,
        *,
        advise: Advise | None = None,
        **details: Any,
    ) -> httpx.Response:
        if not path.startswith("/") or path.startswith("//"):
            raise ValueError("a call of the API takes a path")
        return _answered(self.url, partial(self._ask, method, path, **details), advise=advise)

    def _ask(self, method: str, path: str, **details: Any) -> httpx.Response:
        """Ask, and once more what only reads, on a connection of its own.

        A server may close a connection that lay idle just as it is used again (RFC 9112, 9.3.1).
        """
        try:
            return self._client.request(method, path, **details)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            if method != "GET":
                raise
            return self._client.request(method, path, **details)


def download_link(url: str, **query: Any) -> httpx.Response:
    """Return the response of a download link, which needs no token and is sent none."""
    parsed = _parsed(url, "the link")
    server = str(parsed.copy_with(raw_path=b"/")).rstrip("/")
    given = parsed.copy_merge_params(_given(query))
    with _client(server, timeout=60.0, headers={}) as client:
        return _answered(server, lambda: client.get(given))


def from_environment() -> Api:
    """Return the connection that ``TENANTPLANE_URL`` and ``TENANTPLANE_TOKEN`` describe."""
    token = os.environ.get("TENANTPLANE_TOKEN", "").strip()
    if not token:
        refuse(
            "TENANTPLANE_TOKEN is not set; with `tenantctl serve`, create one: "
            "export TENANTPLANE_TOKEN=$(tenantctl token --role ops_approver --subject you)",
            exit_code("not_authenticated"),
        )
    if not _TOKEN.fullmatch(token):
        refuse("TENANTPLANE_TOKEN is not a valid token; create a new one", USAGE)
    url = os.environ.get("TENANTPLANE_URL", "").strip() or DEFAULT_URL
    _parsed(url, "TENANTPLANE_URL")
    api = Api(url=url.rstrip("/"), token=token)
    CONNECTIONS.callback(api.close)
    return api


def _parsed(url: str, what: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        refuse(f"{what} must be a URL such as {DEFAULT_URL}", USAGE)
    return parsed


def _client(url: str, *, timeout: float, headers: Mapping[str, str]) -> httpx.Client:
    """Return a connection; what is on this machine is never asked through a proxy."""
    return httpx.Client(
        base_url=url,
        timeout=httpx.Timeout(timeout, connect=5.0),
        headers=dict(headers),
        follow_redirects=False,
        **connection_options(url),
    )


def _given(query: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value is not None}


def _answered(
    url: str,
    ask: Callable[[], httpx.Response],
    *,
    advise: Advise | None = None,
) -> httpx.Response:
    try:
        answer = ask()
    except httpx.TransportError as error:
        _unreachable(url, error)
    if not answer.is_success:
        _refused(answer, advise)
    return answer


def _unreachable(url: str, error: Exception) -> NoReturn:
    why = str(error) if isinstance(error, _Down) else type(error).__name__
    refuse(
        f"{url} does not respond ({why}); is `tenantctl serve` running, and is "
        f"TENANTPLANE_URL correct?",
        UNAVAILABLE,
    )


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        refuse(
            f"the server at {answer.url.host} is not the API; is TENANTPLANE_URL correct?",
            UNAVAILABLE,
        )


def _refused(answer: httpx.Response, advise: Advise | None = None) -> NoReturn:
    """Print the problem's sentence and remedy, and end with its exit code."""
    try:
        problem = answer.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict) or "code" not in problem:
        code = UNAVAILABLE if answer.status_code in _DOWN else FAILED
        refuse(f"unexpected answer {answer.status_code} from {answer.url.host}", code)
    lines = [f"{problem.get('detail') or problem.get('title')} [{problem['code']}]"]
    others = (problem.get("fields") or [])[1:10]
    lines += [f"  {item['field']}: {item['reason']}" for item in others]
    lines += [f"  {name}: {problem[name]}" for name in sorted(problem) if name.endswith("_id")]
    if problem.get("remedy"):
        lines.append(str(problem["remedy"]))
    command = advise(problem) if advise is not None else ""
    if command:
        lines.append(f"  {command}")
        problem = {**problem, "command": command}
    if problem["code"] == "internal":
        lines.append(f"The API's log has details under {problem.get('instance')}.")
    refuse("\n".join(lines), exit_code(str(problem["code"])), problem=problem)
