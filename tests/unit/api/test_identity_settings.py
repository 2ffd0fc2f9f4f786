"""From settings to what a token must be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.__main__ import token_rules
from control_plane.adapters.identity.embedded import ISSUER
from control_plane.bootstrap import Parts
from control_plane.config import PREFIX, Settings, load
from control_plane.domain.errors import SettingInvalid

PRODUCTION = {
    "installation": "production",
    "database_url": "postgresql://app@db/tenantplane?sslmode=require",
    "database_sequencer_url": "postgresql://sequencer@db/tenantplane?sslmode=require",
    "state_url": "s3://state",
    "issuer": "https://id.example",
    "jwks_url": "https://id.example/jwks",
}


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize("name", ["issuer", "jwks_url"])
@pytest.mark.parametrize(
    "url",
    ["http://id.example", "HTTP://id.example", "http://localhost:1", "file:///keys", "id", ""],
)
def test_production_trusts_https_alone(name: str, url: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        load({**PRODUCTION, name: url})
    assert f"TENANTPLANE_{name.upper()}" in refused.value.message
    assert load(PRODUCTION).issuer == "https://id.example"
    assert load(dict.fromkeys(("issuer", "jwks_url"), "http://id.example")).jwks_url


@pytest.mark.parametrize("text", ["", " ", ",", " , ", "sub", "amr,sub", "client_id", "iat , amr"])
def test_evidence_that_shows_nobody_is_refused(text: str) -> None:
    with pytest.raises(SettingInvalid) as refused:
        load({"person_evidence": text})
    assert "TENANTPLANE_PERSON_EVIDENCE" in refused.value.message


@pytest.mark.parametrize(
    "wrong", [{"token_hours": 0}, {"token_hours": 169}, {"person_claim": ""}], ids=str
)
def test_other_wrong_values_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingInvalid):
        load(wrong)


def test_settings_become_rules(tmp_path: Path) -> None:
    given = load(
        {
            "home": tmp_path, "issuer": "https://id.example", "jwks_url": "https://id.example/j",
            "audience": "tp", "roles_claim": "r", "tenants_claim": "t",
            "person_claim": "employee", "person_evidence": " acr, amr ,",
            "accept_id_style_tokens": True, "token_hours": 2,
        }
    )  # fmt: skip
    rules = token_rules(Parts(given))
    assert (rules.issuer, rules.audience) == ("https://id.example", "tp")
    assert (rules.roles_claim, rules.tenants_claim) == ("r", "t")
    assert (rules.person_claim, rules.person_evidence) == ("employee", ("acr", "amr"))
    assert rules.accept_id_style
    assert rules.max_life_seconds == 7200


def test_our_own_issuer_has_its_own_way_to_show_a_person(tmp_path: Path) -> None:
    given = Settings(home=tmp_path, person_claim="employee", person_evidence="acr")
    rules = token_rules(Parts(given))
    assert (rules.issuer, rules.person_claim) == (ISSUER, "sub")
    assert "auth_time" in rules.person_evidence
