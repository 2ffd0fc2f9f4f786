"""A provider with the small listing of docs/intake.md is asked over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from control_plane.adapters.intake.listing_reading import ListingReading
from control_plane.adapters.rules.loader import load_rules
from control_plane.bootstrap import SOURCE
from control_plane.domain.intake import ReadBack
from control_plane.domain.system_errors import SystemRefused, SystemUnavailable
from tests.integration.docusign_stub import say
from tests.signed import signing

BEGIN = datetime(2026, 11, 20, 12, tzinfo=UTC)
ITEMS = [
    {"changed_at": f"2026-11-20T13:0{number}:00Z", "event": signing(number)}
    for number in range(1, 4)
]


class Handler(BaseHTTPRequestHandler):
    """Two pages of items, and each item by its document."""

    pages: dict[str, Any] = {}  # noqa: RUF012 - set by each test

    def do_GET(self) -> None:
        path = urlsplit(self.path)
        if self.headers["authorization"] != "Bearer secret":
            return say(self, 401, {})
        if path.path == "/contracts":
            cursor = parse_qs(path.query).get("cursor", [""])[0]
            return say(self, 200, self.pages[cursor])
        found = [each for each in ITEMS if path.path.endswith(_document(each))]
        return say(self, 200, found[0]) if found else say(self, 404, {})

    def log_message(self, *_: object) -> None:
        pass


def _document(item: dict[str, Any]) -> str:
    return str(item["event"]["data"]["document_id"])


@pytest.fixture
def reader() -> Iterator[ListingReading]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/contracts"
    source = load_rules(SOURCE / "rules").intake.sources["signing"]
    back = ReadBack(url=url, credential="signing-read", since=BEGIN)
    yield ListingReading(source, back, lambda: "secret")
    server.shutdown()
    server.server_close()


def test_pages_are_read_in_order_and_an_envelope_is_found(reader: ListingReading) -> None:
    Handler.pages = {
        "": {"items": ITEMS[:2], "next": "b"}, "b": {"items": ITEMS[2:], "next": None},
    }  # fmt: skip
    found = list(reader.changed_since(BEGIN))
    assert [each.envelope_id for each in found] == ["doc_0001", "doc_0002", "doc_0003"]
    assert found[0].payload == signing(1)
    assert reader.find("doc_0002") == found[1]
    assert reader.find("doc_0009") is None


@pytest.mark.parametrize(("pages", "error"), [
    ({"": {"items": [ITEMS[0]]}}, None),
    ({"": {"items": "x", "next": None}}, SystemUnavailable),
    ({"": {"items": [{"changed_at": "2026-11-20T13:00:00Z"}], "next": None}}, SystemUnavailable),
    ({"": {"items": [ITEMS[1], ITEMS[0]], "next": None}}, SystemRefused),
    ({"": {"items": [], "next": "b"}, "b": {"items": [], "next": "b"}}, SystemRefused),
])  # fmt: skip
def test_half_a_page_and_a_wrong_order_are_told_apart(
    reader: ListingReading, pages: Any, error: type[Exception] | None
) -> None:
    Handler.pages = pages
    if error is None:
        assert len(list(reader.changed_since(BEGIN))) == 1
        return
    with pytest.raises(error):
        list(reader.changed_since(BEGIN))
