"""People who visit the console without a browser: they keep cookies and follow redirects."""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from control_plane.domain.actor import Role
from tests.unit.api.scene import Api

FORM = "application/x-www-form-urlencoded"
HERE = {"Sec-Fetch-Site": "same-origin"}


class Visitor:
    """A browser without a screen. ``get`` and ``post`` return the page at the end."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.cookies: dict[str, str] = {}
        self.seen: list[str] = []  # paths, in order

    def get(self, path: str) -> httpx.Response:
        """Open a page, through redirects of the console."""
        answer = self.ask("GET", path)
        while answer.status_code == 303 and answer.headers["location"].startswith("/"):
            answer = self.ask("GET", answer.headers["location"])
        return answer

    def post(
        self, path: str, fields: list[tuple[str, str]], *, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send a form, and open the page that its answer names."""
        answer = self.ask("POST", path, fields=fields, headers=HERE if headers is None else headers)
        if answer.status_code == 303:
            return self.get(answer.headers["location"])
        return answer

    def ask(
        self, method: str, path: str, *, fields: list[tuple[str, str]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:  # fmt: skip
        """Ask once."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {**(headers or {}), **({"Cookie": cookie} if cookie else {})}
        content = None if fields is None else urlencode(fields).encode()
        if content is not None:
            sent["Content-Type"] = FORM
        self.seen.append(path)
        answer = self.api.call(method, path, content=content, headers=sent, key=None)
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        for line in answer.headers.get_list("set-cookie"):
            if "Max-Age=0" in line or "expires=Thu, 01 Jan 1970" in line:
                self.cookies.pop(line.partition("=")[0], None)
        return answer

    def sign_in(self, role: Role, *, name: str = "ada") -> httpx.Response:
        """Sign in as somebody with a role; returns the page after it."""
        page = self.get("/console")
        fields = [*fields_of(page), ("name", name), ("role", str(role)),
                  ("code", self.api.local.secret())]  # fmt: skip
        return self.post("/console/who", fields)


def fields_of(page: httpx.Response, action: str | None = None) -> list[tuple[str, str]]:
    """Return the hidden fields of a page's form: of the one with an action, or the last one."""
    forms = re.findall(r"<form([^>]*)>(.*?)</form>", page.text, re.DOTALL)
    wanted = "" if action is None else f'action="{action}"'
    inside = next(text for attributes, text in reversed(forms) if wanted in attributes)
    return [
        (unescape(name), unescape(value))
        for name, value in re.findall(
            r'<input type="hidden" name="([^"]*)" value="([^"]*)"', inside
        )
    ]


def query_of(url: str) -> dict[str, str]:
    """Return the parameters of a URL."""
    return dict(parse_qsl(urlsplit(url).query))
