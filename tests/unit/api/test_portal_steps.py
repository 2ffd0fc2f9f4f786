"""The steps in the portal over HTTP: forms that lose nothing, in three languages."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import Any

import httpx
import pytest

from api.pages.steps import as_text
from api.pages.wording import TEXTS
from control_plane.domain.onboarding_document import StepCheck
from tests.onboarding import Holder
from tests.onboarding_answers import ORDER, answers_to, metadata
from tests.unit.api.scene import Api
from tests.unit.api.test_onboarding_over_http import Browser
from tests.workflows.onboarded import Walk

EN = TEXTS["en"]
FIRST = "/portal/steps/verify_identity"


def as_form(answers: dict[str, Any]) -> dict[str, str]:
    """Return answers as a browser sends them: a box that is not ticked is not there."""
    return {
        key: "yes" if value is True else as_text(value)
        for key, value in answers.items()
        if value is not False
    }


class Admin:
    """An IT admin with a browser in the portal of the first tenant of a world."""

    def __init__(self, api: Api, language: str = "en") -> None:
        self.walk = Walk(api.world)
        api.world.work()
        self.browser = Browser(api, **{"Accept-Language": language})
        self.browser.cookies["onboarding"] = self.walk.holder.signed_in()

    def get(self, path: str) -> httpx.Response:
        return self.browser.get(path)

    def hidden(self, path: str) -> dict[str, str]:
        """Return the hidden fields of the form of a page."""
        found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', self.get(path).text)
        return {name: unescape(value) for name, value in found}

    def send(self, path: str, answers: dict[str, Any], act: str = "save", **other: str) -> Any:
        fields = {**self.hidden(path), **as_form(answers), "act": act, **other}
        return self.browser.post(path, **fields)

    def answers(self, key: str, **changes: Any) -> dict[str, Any]:
        return {**answers_to(key, company=self.walk.company), **changes}

    def do(self, *keys: str) -> None:
        for key in keys:
            path = f"/portal/steps/{key}"
            first = self.send(path, self.answers(key))  # what it asks may follow from it
            assert first.status_code == 303, first.text
            done = self.send(path, self.answers(key), "complete")
            assert done.status_code == 303, (key, done.text)


@pytest.fixture
def admin(api: Api) -> Admin:
    return Admin(api)


@pytest.mark.requirement("J-027")
def test_a_step_is_saved_resumed_completed_and_read(admin: Admin) -> None:
    saved = admin.send(FIRST, {"name": "Ida <b>Admin</b>", "position": "Head of IT"})
    assert (saved.status_code, saved.headers["location"]) == (303, FIRST)
    page = admin.get(FIRST).text
    assert 'value="Ida &lt;b&gt;Admin&lt;/b&gt;"' in page
    missing = admin.send(FIRST, {"name": "Ida Admin", "position": "Head of IT"}, "complete")
    assert missing.status_code == 422
    assert "COUNT" not in missing.text
    assert EN["step_missing"].replace("COUNT", "2") in missing.text
    assert "This has to be confirmed." in missing.text
    assert 'aria-describedby="email-help email-error" aria-invalid="true"' in missing.text
    done = admin.send(FIRST, admin.answers("verify_identity"), "complete")
    assert done.headers["location"] == "/portal/steps/confirm_tenant_and_mode"
    read = admin.get(FIRST).text
    assert EN["step_is_complete"] in read
    assert "<input" not in read
    home = admin.get("/portal").text
    assert f'<em class="good">{EN["status_complete"]}</em>' in home
    assert home.count(EN["status_waits"]) == 8


def test_what_is_wrong_stands_beside_its_field_and_is_not_lost(admin: Admin) -> None:
    wrong = admin.send(FIRST, {"name": "Ida", "email": "ida@rival.example.org"})
    assert wrong.status_code == 422
    assert 'value="ida@rival.example.org"' in wrong.text
    assert f"This address has to belong to {admin.walk.company}." in wrong.text
    assert admin.walk.world.rows("onboarding_step") == {}


@pytest.mark.parametrize("language", ["en", "de", "it"])
def test_pages_and_faults_are_in_the_language_of_the_browser(api: Api, language: str) -> None:
    admin = Admin(api, language)
    rules = api.world.core.rules.onboarding
    page = admin.get("/portal").text
    for step in rules.steps[:6]:
        assert step.title[language] in unescape(page)
    wrong = admin.send(FIRST, {"email": "ida"}).text
    assert f'<html lang="{language}">' in wrong
    assert rules.by_key["verify_identity"].fields[2].label[language] in unescape(wrong)
    says = {"en": "Please enter an e-mail", "de": "Bitte eine E-Mail", "it": "Inserisca un indiriz"}
    assert says[language] in wrong


def test_a_step_cannot_be_skipped_by_its_address(admin: Admin) -> None:
    path = "/portal/steps/sso"
    page = admin.get(path)
    assert page.status_code == 409
    assert EN["step_waits"] in page.text
    assert "/portal/steps/residency_and_legal" in page.text
    assert "<textarea" not in page.text
    fields = {**admin.hidden(FIRST), "protocol": "later", "waiver_reason": "x", "act": "complete"}
    assert admin.browser.post(path, **fields).status_code == 409
    assert admin.walk.world.rows("onboarding_step") == {}
    assert admin.get("/portal/steps/nothing").status_code == 404
    assert admin.get("/portal/steps/nothing/reopen").status_code == 404


def test_two_admins_see_both_values(admin: Admin) -> None:
    seen = admin.hidden(FIRST)
    admin.send(FIRST, {"name": "Ada Other", "position": "Chief"})
    late = admin.browser.post(FIRST, **{**seen, "name": "Ida Admin", "position": "Chief",
                                        "act": "save"})  # fmt: skip
    assert late.status_code == 409
    assert EN["step_changed_title"] in late.text
    for text in ("Ada Other", "Ida Admin"):
        assert text in late.text
    again = {
        name: unescape(value)
        for name, value in re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', late.text)
    }
    assert again["version"] == "1"
    done = admin.browser.post(FIRST, **{**again, "name": "Ida Admin", "position": "Chief",
                                        "act": "save"})  # fmt: skip
    assert done.status_code == 303
    assert admin.walk.state("verify_identity").answers["name"] == "Ida Admin"


@pytest.mark.requirement("J-051")
def test_a_form_without_a_session_or_of_an_earlier_one_comes_back(admin: Admin) -> None:
    fields = {**admin.hidden(FIRST), "name": "Ida 'Admin'", "act": "save"}
    stale = admin.browser.post(FIRST, **{**fields, "mark": "0" * 64})
    assert stale.status_code == 409
    assert "Ida &#39;Admin&#39;" in stale.text
    cookie = admin.browser.cookies.pop("onboarding")
    out = admin.browser.post(FIRST, **fields)
    assert out.status_code == 401
    assert "Ida &#39;Admin&#39;" in out.text
    assert admin.get("/portal").status_code == 401
    assert admin.get(FIRST).status_code == 401
    assert admin.walk.world.rows("onboarding_step") == {}
    admin.browser.cookies["onboarding"] = cookie
    assert admin.browser.post(FIRST, **fields).status_code == 303


def test_a_form_of_another_site_is_refused(admin: Admin) -> None:
    fields = {**admin.hidden(FIRST), "name": "Ida", "act": "save"}
    admin.browser.headers["Sec-Fetch-Site"] = "cross-site"
    assert admin.browser.post(FIRST, **fields).status_code == 400
    assert admin.walk.world.rows("onboarding_step") == {}


def test_the_form_of_one_tenant_changes_no_other(api: Api, admin: Admin) -> None:
    fields = {**admin.hidden(FIRST), "name": "Ida", "act": "save"}
    other = Walk(api.world, holder=type(admin.walk.holder)(api.world, "A", 9))
    admin.browser.cookies["onboarding"] = other.holder.signed_in()
    assert admin.browser.post(FIRST, **fields).status_code == 409  # the mark is of the session
    assert api.world.rows("onboarding_step") == {}


def test_opening_again_names_what_follows(admin: Admin) -> None:
    admin.walk.do("verify_identity", "confirm_tenant_and_mode", "residency_and_legal")
    path = f"{FIRST}/reopen"
    page = admin.get(path).text
    titles = [each.title["en"] for each in admin.walk.world.core.rules.onboarding.steps[1:3]]
    for title in titles:
        assert f"<li>{title}</li>" in page
    assert admin.hidden(path)["resets"] == "confirm_tenant_and_mode residency_and_legal"
    unnamed = admin.send(path, {"reason": "it changed"}, resets="")
    assert unnamed.status_code == 409
    blank = admin.send(path, {"reason": " "})
    assert blank.status_code == 422
    assert set(admin.walk.statuses().values()) == {"complete", "open"}
    assert admin.send(path, {"reason": "it changed"}).status_code == 303
    assert admin.walk.state("verify_identity").status == "reopened"
    page = admin.get("/portal").text
    assert EN["status_reopened"] in page


def test_saml_metadata_of_others_and_too_much_of_it(admin: Admin) -> None:
    admin.walk.do("verify_identity", "confirm_tenant_and_mode", "residency_and_legal")
    path = "/portal/steps/sso"
    admin.send(path, {"protocol": "saml"})
    assert 'name="issuer"' not in admin.get(path).text  # asked of OpenID Connect alone
    other = admin.send(
        path, {"protocol": "saml", "metadata": metadata(host="idp.rival.example.org")}
    )
    assert other.status_code == 422
    assert "idp.rival.example.org does not belong to" in other.text
    private = admin.send(
        path, {"protocol": "oidc", "issuer": "https://10.0.0.7/", "client_id": "x"}
    )
    assert "not reachable from the internet" in private.text
    much = admin.send(path, {"protocol": "saml", "metadata": "x" * 130_000})
    assert "more than 128000 characters" in much.text
    huge = admin.send(path, {"protocol": "saml", "metadata": "x" * 3_000_000})
    assert huge.status_code == 413
    assert EN["large_title"] in huge.text
    assert admin.walk.state("sso").answers == {"protocol": "saml"}  # as it was saved before
    good = metadata(host=f"idp.{admin.walk.company}")
    assert admin.send(path, {"protocol": "saml", "metadata": good}, "complete").status_code == 303


HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "${7*7}",
    '=HYPERLINK("http://evil")', "' OR 1=1 --", "%s%n", "../../etc/passwd",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_shown_as_they_are(admin: Admin, text: str) -> None:
    admin.send(FIRST, admin.answers("verify_identity", name=text, position=text))
    page = admin.get(FIRST).text
    assert text not in page or "<" not in text
    assert (
        unescape(re.findall(r'id="name" name="name" type="text" value="([^"]*)"', page)[0]) == text
    )
    admin.walk.complete("verify_identity")
    assert text in unescape(admin.get(FIRST).text)


@pytest.mark.parametrize("text", ["a\x00b", "\u202egnp.exe", "x" * 5000, "\x1b[31m"])
def test_texts_that_nobody_can_read_are_refused_and_come_back(admin: Admin, text: str) -> None:
    answer = admin.send(FIRST, admin.answers("verify_identity", name=text))
    assert answer.status_code == 422
    assert "readable text without control characters" in answer.text


@pytest.mark.requirement("J-051")
def test_every_step_leads_to_the_launch(api: Api) -> None:
    api.world.ready_hub()
    admin = Admin(api)
    path = "/portal/steps/review_and_launch"
    admin.do(*ORDER[:6])
    early = admin.get(path)
    assert early.status_code == 409
    assert "/portal/steps/network_and_hub" in early.text
    admin.do(*ORDER[6:-1])
    page = admin.get(path).text
    for answer in ("Bruna Boss", "Head of IT", f"https://login.{admin.walk.company}"):
        assert answer in page  # every answer is read once more
    with api.world.core.uow() as uow:
        tenant = uow.tenants.need(admin.walk.tenant_id, lock=True)
        uow.tenants.save(replace(tenant, drifted=True, version=tenant.version + 1))
        uow.commit()
    refused = admin.send(path, {"launch": True}, "complete")
    assert refused.status_code == 409
    assert api.world.core.rules.onboarding.checks[StepCheck.NO_DRIFT]["en"] in refused.text
    with api.world.core.uow() as uow:
        tenant = uow.tenants.need(admin.walk.tenant_id, lock=True)
        uow.tenants.save(replace(tenant, drifted=False, version=tenant.version + 1))
        uow.commit()
    done = admin.send(path, {"launch": True}, "complete")
    assert (done.status_code, done.headers["location"]) == (303, "/portal")
    assert EN["launched_title"] in admin.get("/portal").text


def test_the_hub_of_mode_b_shows_that_it_waits_for_a_review(api: Api) -> None:
    walk = Walk(api.world, "B", Holder(api.world, "B", 8))
    api.world.work()
    browser = Browser(api, **{"Accept-Language": "en"})
    browser.cookies["onboarding"] = walk.holder.signed_in()
    walk.do(*ORDER[:3])
    page = browser.get("/portal/steps/network_and_hub").text
    assert EN["ops_text"] in page
    assert 'name="networks"' in page
    assert api.world.core.rules.onboarding.checks[StepCheck.TENANT_READY]["en"] in page
