"""The onboarding portal over HTTP: what its pages say, and what they never say."""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from api.pages.rendering import language_of
from api.pages.wording import TEXTS
from control_plane.domain.actor import Role
from control_plane.domain.onboarding_link import LinkStatus
from control_plane.services import onboarding
from control_plane.services.performing import perform
from tests.onboarding import Holder
from tests.unit.api.scene import Api, is_problem
from tests.unit.api.served import Served
from tests.world import OPS

FORM = "application/x-www-form-urlencoded"


class Browser:
    """A browser without a screen: it keeps cookies and follows no link by itself."""

    def __init__(self, api: Api, **headers: str) -> None:
        self.api = api
        self.headers = headers
        self.cookies: dict[str, str] = {}

    def get(self, path: str) -> httpx.Response:
        return self._asked("GET", path, None)

    def post(self, path: str, **fields: str) -> httpx.Response:
        return self._asked("POST", path, urlencode(fields).encode())

    def _asked(self, method: str, path: str, content: bytes | None) -> httpx.Response:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        sent = {**self.headers, **({"Cookie": cookie} if cookie else {}), "Content-Type": FORM}
        answer = self.api.call(method, path, content=content, headers=sent, key=None)
        for name, value in answer.cookies.items():
            self.cookies[name] = value
        return answer


@pytest.fixture
def holder(api: Api) -> Holder:
    return Holder(api.world)


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api)


def test_the_way_from_the_mail_to_the_portal(holder: Holder, browser: Browser) -> None:
    path = f"/onboarding/{holder.issued()}"
    shown = browser.get(path)
    assert shown.status_code == 200
    assert TEXTS["it"]["send_code"] in shown.text  # the language of the contact
    assert "Dainese S.p.A." in shown.text
    sent = browser.post(f"{path}/code")
    assert (sent.status_code, sent.headers["location"]) == (303, path)
    wrong = browser.post(f"{path}/redeem", code="000000" if holder.code() != "000000" else "1" * 6)
    assert wrong.status_code == 422
    assert TEXTS["it"]["code_wrong"] in wrong.text
    done = browser.post(f"{path}/redeem", code=holder.code())
    assert (done.status_code, done.headers["location"]) == (303, "/onboarding")
    cookie = done.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    home = browser.get("/onboarding")
    assert home.status_code == 200
    assert "Ida Admin" in home.text
    assert len(re.findall(r"<li[ >]", home.text)) == 10
    assert browser.post("/onboarding/sign-out").status_code == 303
    assert browser.get("/onboarding").status_code == 401


def test_a_form_with_more_fields_than_the_page_has_uses_nothing_up(
    holder: Holder, browser: Browser
) -> None:
    path = f"/onboarding/{holder.issued()}"
    browser.get(path)
    browser.post(f"{path}/code")
    many = {f"field{number}": "x" for number in range(50)}
    assert browser.post(f"{path}/redeem", code=holder.code(), **many).status_code == 422
    assert browser.post(f"{path}/redeem", code=holder.code()).status_code == 303


def test_cookies_are_secure_where_the_portal_is(holder: Holder, api: Api) -> None:
    api.shared.base_url = "https://portal.example.com"
    path = f"/onboarding/{holder.issued()}"
    cookie = Browser(api).get(path).headers["set-cookie"]
    assert cookie.startswith("__Host-onboarding-page=")
    assert "Secure" in cookie
    assert "HttpOnly" in cookie
    assert "Path=/;" in cookie


def test_what_every_page_carries(holder: Holder, browser: Browser) -> None:
    for path in (f"/onboarding/{holder.issued()}", "/onboarding/nothing", "/onboarding"):
        headers = browser.get(path).headers
        assert headers["cache-control"] == "no-store"
        assert headers.get_list("referrer-policy") == ["no-referrer"]
        (policy,) = headers.get_list("content-security-policy")
        assert policy.startswith("default-src 'none'; style-src 'self'")
        assert "unsafe" not in policy
        assert "script" not in policy
        text = browser.get(path).text
        assert "<script" not in text
        assert "style=" not in text
        assert not re.search(r"(src|href|action)=\"(?!/|#)", text)
    for path in re.findall(r'href="(/assets/[^"]+)"', browser.get("/onboarding").text):
        style = browser.get(path)
        assert style.headers["content-type"].startswith("text/css")
        assert "url(" not in style.text
        assert "@import" not in style.text
    assert browser.get("/assets/nothing.css").status_code == 404


def comparable(answer: httpx.Response) -> tuple[int, bytes, dict[str, str]]:
    """Return an answer without what differs at each: the request's id."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
    headers.pop("set-cookie", None)
    return answer.status_code, answer.content, headers


def unusable(api: Api) -> dict[str, str]:
    """Return a token for each reason why a link is not taken."""
    tokens = {"unknown": "mlk_01JD0000000000000000000000." + "a" * 43, "malformed": "x"}
    used = Holder(api.world, number=1)
    used.signed_in()
    token = Holder(api.world, number=2)
    tokens["revoked"] = token.issued()
    perform(api.world.core, OPS, onboarding.revoke_link, token.tenant_id, reason="left")
    locked = Holder(api.world, number=3)
    tokens["locked"] = locked.issued()
    code = locked.with_code(tokens["locked"])
    wrong = "000000" if code != "000000" else "111111"
    for _ in range(5):
        locked.redeem(tokens["locked"], wrong)
    known = Holder(api.world, number=4)
    tokens["wrong secret"] = f"{known.issued().partition('.')[0]}.{'b' * 43}"
    expired = Holder(api.world, number=5)
    tokens["expired"] = expired.issued()
    again = Holder(api.world, number=6)
    tokens["used"] = again.issued()
    again.redeem(tokens["used"], again.with_code(tokens["used"]))
    api.world.clock.advance(hours=24)
    return tokens


def test_links_that_cannot_be_used_look_alike(api: Api) -> None:
    tokens = unusable(api)
    for language in ("de", "en-GB,en;q=0.8"):
        shown, posted, asked, code = {}, {}, {}, {}
        for reason, token in tokens.items():
            api.world.clock.advance(minutes=1)
            browser = Browser(api, **{"Accept-Language": language})
            path = f"/onboarding/{token}"
            shown[reason] = comparable(browser.get(path))
            posted[reason] = comparable(browser.post(f"{path}/redeem", code="123456"))
            code[reason] = comparable(browser.post(f"{path}/code"))
            for answers in (posted, code):
                status, content, headers = answers[reason]
                assert headers["location"] == path  # the caller's own
                answers[reason] = status, content, {**headers, "location": ""}
            asked[reason] = comparable(browser.post(path))
        for answers in (shown, posted, asked, code):
            assert len({repr(answer) for answer in answers.values()}) == 1, answers
        assert shown["unknown"][0] == 410
    reasons = {str(e.data["why"]) for e in api.world.events() if e.action == "onboarding.rejected"}
    assert {"unknown", "expired", "used", "revoked", "locked"} <= reasons  # the log has the truth


def test_a_scanner_uses_nothing_up(holder: Holder, api: Api) -> None:
    path = f"/onboarding/{holder.issued()}"
    for _ in range(50):
        scanner = Browser(api)
        assert scanner.get(path).status_code == 200
        scanner.cookies.clear()
        assert scanner.post(f"{path}/redeem", code="123456").status_code == 400
        assert scanner.post(f"{path}/code").status_code == 400
    with_cookies = Browser(api)
    with_cookies.get(path)
    assert with_cookies.post(f"{path}/redeem").status_code == 422
    assert (holder.link.status, holder.link.failures) == (LinkStatus.ISSUED, 0)
    person = Browser(api)
    person.get(path)
    person.post(f"{path}/code")
    assert person.post(f"{path}/redeem", code=holder.code()).status_code == 303
    assert holder.link.status is LinkStatus.USED


def test_a_page_of_one_link_posts_to_no_other(holder: Holder, api: Api) -> None:
    other = Holder(api.world, number=2)
    mine, theirs = holder.issued(), other.issued()
    browser = Browser(api)
    browser.get(f"/onboarding/{mine}")
    assert browser.post(f"/onboarding/{theirs}/code").status_code == 400
    foreign = Browser(api, **{"Sec-Fetch-Site": "cross-site"})
    foreign.get(f"/onboarding/{mine}")
    assert foreign.post(f"/onboarding/{mine}/code").status_code == 400
    assert not holder.link.code_number


def test_the_eleventh_attempt_in_a_minute_waits(holder: Holder, browser: Browser) -> None:
    path = f"/onboarding/{holder.issued()}"
    browser.get(path)
    answers = [browser.post(f"{path}/redeem", code="").status_code for _ in range(11)]
    assert answers == [422] * 10 + [429]
    assert browser.get(path).status_code == 200


class Proxied(Served):
    """The real server behind a proxy that names who calls."""

    trusted = "127.0.0.1"


@pytest.fixture
def served(api: Api) -> Iterator[Proxied]:
    running = Proxied(api)
    yield running
    running.stop()


def raw(port: int, path: str, cookie: str, address: str, code: str) -> tuple[int, str]:
    """Redeem over a socket of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(
        "POST", path, urlencode({"code": code}),
        {"Content-Type": FORM, "Cookie": cookie, "X-Forwarded-For": address},
    )  # fmt: skip
    answer = connection.getresponse()
    answer.read()
    found = answer.status, answer.headers["location"] or ""
    connection.close()
    return found


@pytest.mark.requirement("J-025")
def test_of_a_hundred_side_by_side_one_succeeds(
    holder: Holder, served: Proxied, api: Api, browser: Browser
) -> None:
    path = f"/onboarding/{holder.issued()}"
    browser.get(path)
    code = holder.with_code(path.rpartition("/")[2])
    (cookie,) = (f"{name}={value}" for name, value in browser.cookies.items())
    with ThreadPoolExecutor(100) as pool:
        answers = list(
            pool.map(
                lambda number: raw(
                    served.port, f"{path}/redeem", cookie, f"192.0.2.{number}", code
                ),
                range(100),
            )
        )
    assert [status for status, _ in answers] == [303] * 100
    assert [where for _, where in answers].count("/onboarding") == 1
    assert [where for _, where in answers].count(path) == 99
    assert len(api.world.rows("onboarding_session")) == 1
    assert api.world.actions().count("onboarding.redeemed:completed") == 1


def test_no_log_line_has_a_token(
    holder: Holder, browser: Browser, logged: list[MutableMapping[str, Any]]
) -> None:
    token = holder.issued()
    browser.get(f"/onboarding/{token}")
    browser.post(f"/onboarding/{token}/code")
    browser.post(f"/onboarding/{token}/redeem", code=holder.code())
    lines = [repr(event) for event in logged]
    assert any("/onboarding/mlk_" in line for line in lines)
    assert not any(token.partition(".")[2] in line for line in lines)


def test_the_api_shows_and_issues_and_revokes(api: Api, holder: Holder) -> None:
    path = f"/v1/tenants/{holder.tenant_id}/onboarding-link"
    assert is_problem(api.call("GET", path, Role.OPS_APPROVER), 404, "not_found")
    issued = api.call("POST", path, Role.OPS_APPROVER)
    assert issued.status_code == 201
    assert set(issued.json()["allowed_actions"]) == {"issue", "revoke"}
    assert holder.token().partition(".")[2] not in issued.text
    soon = api.call("POST", path, Role.OPS_APPROVER)
    assert (soon.status_code, soon.json()["code"]) == (429, "link_too_soon")
    ended = api.call("DELETE", path, Role.OPS_APPROVER, json={"reason": "the wrong person"})
    assert (ended.json()["status"], ended.json()["end_reason"]) == ("revoked", "by_person")
    assert api.call("GET", path, Role.AUDITOR).json()["allowed_actions"] == []


@pytest.mark.parametrize(
    ("accepted", "known", "expected"),
    [("de-CH,de;q=0.9,en;q=0.8", "it", "de"), ("fr,it;q=0.5", None, "it"), ("fr", "de-AT", "de"),
     (None, None, "en"), ("en;q=0.1,it;q=0.9", "de", "it"), ("de;q=0", "it", "it"), (";;q=x", "",
      "en")],
)  # fmt: skip
def test_the_language_is_that_of_the_reader(
    accepted: str | None, known: str | None, expected: str
) -> None:
    assert language_of(accepted, known) == expected


def test_every_language_says_everything() -> None:
    keys = {language: set(texts) for language, texts in TEXTS.items()}
    assert keys["de"] == keys["en"] == keys["it"]
    texts: Mapping[str, str] = TEXTS["de"]
    assert all(texts.values())


@pytest.mark.parametrize("mode", ["A", "B", "C"])
def test_the_page_says_where_each_mode_stands(api: Api, mode: str) -> None:
    holder = Holder(api.world, mode, number=7)
    api.world.work()
    browser = Browser(api, **{"Accept-Language": "en"})
    browser.cookies["onboarding"] = holder.signed_in()
    shown = browser.get("/onboarding").text
    expected = {"A": "working", "B": "ops", "C": "architect"}[mode]
    assert TEXTS["en"][f"{expected}_text"] in shown
    title = api.world.core.rules.onboarding.by_key["network_and_hub"].titles[mode]["en"]
    assert title in shown
