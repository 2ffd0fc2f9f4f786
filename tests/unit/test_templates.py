"""The shipped templates keep their promises, and wrong ones are refused with their line."""

from __future__ import annotations

import shutil
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.rules.loader import load_rules
from control_plane.adapters.rules.templates import samples
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.message import Channel
from control_plane.domain.message_events import EVENTS
from control_plane.domain.message_rules import EVERYONE, MessageRules, Rendered

FOLDER = Path(__file__).parents[2] / "rules"
LOCALES = ("en", "it", "de")
WANTED = [
    ("contract.signed", "executive_sponsor"), ("contract.signed", "it_admin"),
    ("contract.signed", "business_sponsor"), ("portal.link_issued", "it_admin"),
    ("onboarding.code", "it_admin"), ("kickoff.invited", EVERYONE), ("kickoff.moved", EVERYONE),
    ("kickoff.cancelled", EVERYONE), ("chat.invited", EVERYONE), ("tenant.ready", "it_admin"),
    ("tenant.ready", "executive_sponsor"), ("step.blocked", EVERYONE), ("task.reminder", EVERYONE),
]  # fmt: skip


@cache
def rules() -> MessageRules:
    return load_rules(FOLDER).messages


def rendered(event: str, persona: str, locale: str, mode: str = "A", **more: Any) -> Rendered:
    found = rules().template(event, persona, Channel.EMAIL, locale)
    assert found is not None
    given = [each for each in samples(rules(), event, locale) if each["mode"] == mode][-1]
    return found.render({**given, **more})


# --- what is shipped ---------------------------------------------------------------------------
@pytest.mark.requirement("J-033")
def test_every_template_that_is_wanted_is_there_in_every_language_and_no_other():
    assert set(rules().templates) == {
        (event, persona, Channel.EMAIL, locale)
        for (event, persona), locale in product(WANTED, LOCALES)
    }


@pytest.mark.requirement("J-031")
@pytest.mark.parametrize(("event", "persona"), WANTED)
@pytest.mark.parametrize("locale", LOCALES)
def test_every_fact_that_an_event_takes_is_shown(event: str, persona: str, locale: str):
    known = EVENTS[event]
    for mode in ("A", "B", "C", ""):
        mail = rendered(event, persona, locale, mode)
        shown = f"{mail.subject} {mail.text}"
        for name in (*known.takes, *known.secrets):
            is_instant = name.endswith("_at")
            assert is_instant or f"[{name}]" in shown, name
        assert "{{" not in shown
        assert "Ida Example" in mail.text
        assert max(map(len, mail.text.splitlines())) <= 78
        assert f'<html lang="{locale}">' in mail.html


@pytest.mark.requirement("J-031", "J-039")
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("event", ["contract.signed", "tenant.ready"])
def test_the_sponsor_gets_no_link_that_grants_access(event: str, locale: str):
    mail = rendered(event, "executive_sponsor", locale)
    for text in (mail.text, mail.html):
        assert "http" not in text.replace('<meta name="viewport"', ""), "nothing to follow"
        assert "mlk_" not in text
    assert "href" not in mail.html


@pytest.mark.requirement("J-032")
@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("mode", ["A", "B", "C"])
def test_the_it_admin_reads_prerequisites_and_the_steps_of_the_mode(locale: str, mode: str):
    mail, words = rendered("contract.signed", "it_admin", locale, mode), rules().words[locale]
    text = " ".join(mail.text.split())
    assert len(words.prerequisites) == 2
    for each in words.prerequisites:
        assert each in text
    steps = words.portal_steps[mode]
    assert len(steps) == 10
    for number, step in enumerate(steps, 1):
        assert f"{number}. {step}" in text
    for other in {"A", "B", "C"} - {mode}:
        assert words.portal_steps[other][6] not in text


@pytest.mark.requirement("J-039")
@pytest.mark.parametrize("locale", LOCALES)
def test_the_link_mail_says_where_the_hub_stands(locale: str):
    hubs = rules().words[locale].hub
    queued = {"en": "queued", "it": "in coda", "de": "vorgemerkt"}[locale]
    for mode in ("B", "C"):
        text = " ".join(rendered("portal.link_issued", "it_admin", locale, mode).text.split())
        assert hubs[mode] in text
        assert queued in text
    assert queued not in rendered("portal.link_issued", "it_admin", locale, "A").text


def test_only_the_link_is_a_link():
    link = "https://onboarding.example/mlk_1"
    mail = rendered(
        "portal.link_issued", "it_admin", "en", link=link, company="https://evil.example"
    )
    assert mail.html.count("<a ") == 1
    assert f'<a href="{link}"' in mail.html
    assert link in mail.text.splitlines()


def test_names_stay_text_in_html():
    name = """Smith & <b>Sons</b> "Ltd" 'x'"""
    mail = rendered("contract.signed", "it_admin", "en", company=name, recipient="<i>Ida</i>")
    assert name in mail.text
    assert "Smith &amp; &lt;b&gt;Sons&lt;/b&gt; &quot;Ltd&quot; &#x27;x&#x27;" in mail.html
    assert "<b>" not in mail.html
    assert "<i>" not in mail.html


def test_a_name_is_not_a_template_and_no_line_break_gets_into_a_subject():
    mail = rendered(
        "contract.signed", "executive_sponsor", "en", company="{{ brand }}\r\nBcc: all@example.com"
    )
    assert mail.subject == "Welcome to Tenantplane, {{ brand }} Bcc: all@example.com"


def test_languages_are_found_by_what_people_and_companies_speak():
    found = rules()
    assert found.spoken("de-AT", "it") == "de"
    assert found.spoken("IT_it") == "it"
    assert found.spoken("fr", found.of_country("LI")) == "de"
    assert found.spoken(None, found.of_country("SE")) == "en"


# --- what is refused ---------------------------------------------------------------------------
@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER, tmp_path / "rules")
    return tmp_path / "rules"


REFUSED = [
    ("templates/step.blocked", "{{ missing }}", "{{ misssing }}",
     ["step.blocked.yaml", "line 13", "missing"]),
    ("templates/step.blocked", "{{ missing }}", "{{ missing", ["step.blocked.yaml", "line 1"]),
    ("templates/step.blocked", "{{ missing }}", "{{ missing.what.of }}", ["personas.everyone.en"]),
    ("templates/step.blocked", "{{ missing }}", "{{ ''.__class__ }}", ["personas.everyone.en"]),
    ("templates/step.blocked", "    it:\n", "    fr:\n", ["fr", "language"]),
    ("templates/step.blocked", "  everyone:", "  it_admim:", ["it_admim", "it_admin"]),
    ("templates/step.blocked", "key: step.blocked", "key: step.bloked", ["step.blocked"]),
    ("templates/step.blocked", "status: active", "status: draft", ["document.status"]),
    ("templates/step.blocked", "channel: email", "channel: fax", ["channel"]),
    ("templates/portal.link_issued", "{{ link }}", "see the portal", ["link"]),
    ("templates/portal.link_issued", "subject: Your link", "subject: '{{ link }}' #", ["secret"]),
    ("messages", "locale: en ", "locale: fr ", ["locale"]),
    ("messages", '"{day} {month} {year}"', '"{day} {mnth}"', ["words.en.date"]),
    ("messages", "brand: Tenantplane", 'brand: "Tenant\\nplane"', ["brand"]),
    ("messages", "  - en: An administrator of your id", "  - fr: An administrator of your id",
     ["prerequisites.0", "en"]),
    ("playbooks/day-0", "event: tenant.ready,", "event: tenant.redy,",
     ["day-0.yaml", "tenant.ready"]),
    ("playbooks/day-0", "contract.signed, persona: it_admin", "contract.signed, persona: it_admn",
     ["line", "it_admin"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "says"), REFUSED)
def test_what_is_wrong_is_refused_with_its_place(
    folder: Path, name: str, old: str, new: str, says: list[str]
):
    file = folder / f"{name}.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SettingInvalid) as refusal:
        load_rules(folder)
    for each in says:
        assert each in refusal.value.message


@pytest.mark.requirement("J-033")
def test_a_template_that_is_missing_is_refused_where_a_playbook_sends_it(folder: Path):
    (folder / "templates" / "tenant.ready.yaml").unlink()
    with pytest.raises(SettingInvalid, match=r"day-0\.yaml.*tenant\.ready"):
        load_rules(folder)


def test_html_of_its_own_is_escaped(folder: Path):
    file = folder / "templates" / "step.blocked.yaml"
    text = file.read_text(encoding="utf-8")
    html = "    en:\n      html: <h1>{{ company }}</h1>\n"
    file.write_text(text.replace("    en:\n", html, 1), encoding="utf-8")
    found = load_rules(folder).messages
    template = found.template("step.blocked", "it_admin", Channel.EMAIL, "en")
    assert template is not None
    given = next(iter(samples(found, "step.blocked", "en")))
    mail = template.render({**given, "company": "A & <B>"})
    assert "<h1>A &amp; &lt;B&gt;</h1>" in mail.html
    assert "A & <B>" in mail.text
