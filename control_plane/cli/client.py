"""The API as the command line uses it."""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import typer

from control_plane.cli.errors import FAILED, UNAVAILABLE, exit_code

DEFAULT_URL: Final = "http://127.0.0.1:8080"
ENDED: Final = frozenset(
    {"applied", "no_changes", "policy_failed", "rejected", "expired", "superseded", "canceled",
     "errored"}
)  # fmt: skip


class Refused(typer.Exit):
    """The API said no; the sentence has been printed."""


@dataclass
class Api:
    """One caller's connection. ``token`` may be a function that makes one when it is needed."""

    url: str
    token: str
    timeout: float = 30.0
    _client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        """Open the connection."""
        self._client = httpx.Client(
            base_url=self.url,
            timeout=self.timeout,
            headers={"Authorization": f"Bearer {self.token}", "Accept": "application/json"},
        )

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a GET."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._answered(lambda: self._client.get(path, params=given)).json()

    def text(self, path: str) -> str:
        """Return the text of a GET."""
        return self._answered(lambda: self._client.get(path)).text

    def content(self, path: str, **query: Any) -> httpx.Response:
        """Return the response of a GET for its bytes."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._answered(lambda: self._client.get(path, params=given))

    def post(
        self,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        **query: Any,
    ) -> Any:
        """Return the JSON of a POST; a new idempotency key is made unless one is given."""
        headers = {"Idempotency-Key": key or secrets.token_urlsafe(16)}
        given = {name: value for name, value in query.items() if value is not None}
        return self._answered(
            lambda: self._client.post(path, json=body, headers=headers, params=given)
        ).json()

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        """Read the item's ETag and PATCH it."""
        tag = self._answered(lambda: self._client.get(path)).headers.get("ETag", "")
        return self._answered(
            lambda: self._client.patch(path, json=body, headers={"If-Match": tag})
        ).json()

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

    def events(self, run_id: str) -> Iterator[dict[str, Any]]:
        """Yield a run's progress lines as they come, until its end; reconnects where it was cut."""
        last = 0
        while True:
            try:
                for event in self._stream(run_id, last):
                    if event is None:
                        return
                    last = event["seq"]
                    yield event
            except httpx.TransportError:
                time.sleep(0.5)

    def _stream(self, run_id: str, last: int) -> Iterator[dict[str, Any] | None]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
        with self._client.stream(
            "GET", f"/v1/runs/{run_id}/events", headers=headers, timeout=60.0
        ) as answer:
            if answer.status_code != 200:
                answer.read()
                _refuse(answer)
            kind = ""
            for line in answer.iter_lines():
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: "):
                    if kind == "end":
                        yield None
                        return
                    yield json.loads(line[6:])

    def _answered(self, ask: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            answer = ask()
        except httpx.TransportError as error:
            sys.stderr.write(
                f"{self.url} does not answer ({type(error).__name__}); is `tenantctl serve` "
                "running, and is TENANTPLANE_URL right?\n"
            )
            raise Refused(UNAVAILABLE) from None
        if answer.is_error:
            _refuse(answer)
        return answer


def _refuse(answer: httpx.Response) -> None:
    """Print the problem's sentence and what to do, and raise its exit code."""
    try:
        problem = answer.json()
    except ValueError:
        sys.stderr.write(f"the API answered {answer.status_code}\n")
        raise Refused(FAILED) from None
    sys.stderr.write(f"{problem.get('detail', problem.get('title'))} [{problem.get('code')}]\n")
    if problem.get("remedy"):
        sys.stderr.write(f"{problem['remedy']}\n")
    raise Refused(exit_code(str(problem.get("code", ""))))


def from_environment() -> Api:
    """Return the connection that ``TENANTPLANE_URL`` and ``TENANTPLANE_TOKEN`` describe."""
    token = os.environ.get("TENANTPLANE_TOKEN", "")
    if not token:
        sys.stderr.write(
            "TENANTPLANE_TOKEN is not set; with `tenantctl serve` make one: "
            "export TENANTPLANE_TOKEN=$(tenantctl token --role ops_approver --subject you)\n"
        )
        raise Refused(exit_code("not_authenticated"))
    return Api(url=os.environ.get("TENANTPLANE_URL", DEFAULT_URL).rstrip("/"), token=token)
