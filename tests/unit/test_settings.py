"""Settings: each is documented, and a wrong one is refused by the name of its variable."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from control_plane.config import PREFIX, READ_ELSEWHERE, Installation, Settings, load
from control_plane.domain.errors import SettingInvalid

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
ROW = re.compile(r"^\| `(TENANTPLANE_[A-Z_]+)` \| (.+?) \| ", re.MULTILINE)
PRODUCTION = {
    "INSTALLATION": "production",
    "DATABASE_URL": "postgresql://app@db/tenantplane",
    "DATABASE_SEQUENCER_URL": "postgresql://sequencer@db/tenantplane",
    "STATE_URL": "s3://state",
    "ISSUER": "https://id.example",
    "JWKS_URL": "https://id.example/jwks",
}
WRONG = {
    "INSTALLATION": "staging",
    "PORT": "abc",
    "CLOUD": "azure",
    "SANDBOX_PROVIDER": "heavy",
    "ACCOUNTS_SHARED": "perhaps",
    "WORKERS": "0",
    "RUNS_GLOBALLY": "-1",
    "WORKER_ID": "a b",
    "QUEUE_POLL_SECONDS": "0",
    "PLAN_SECONDS": "soon",
    "APPLY_SECONDS": "0",
    "APPROVAL_HOURS": "0",
    "LINK_HOURS": "721",
    "AUDIT_HOST": "Not A Host",
    "LOG_LEVEL": "loud",
    "LOG_FORMAT": "xml",
    "DATABASE_URL": "mysql://app:s3cret@db/x",
    "DATABASE_OWNER_URL": "s3cret",
    "DATABASE_SEQUENCER_URL": "sqlite:///x",
    "DATABASE_AUDITOR_URL": "file:///x",
}


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def test_the_page_has_every_setting_with_its_default_and_no_other() -> None:
    documented = dict(ROW.findall(PAGE.read_text(encoding="utf-8")))
    fields = {PREFIX + name.upper(): field for name, field in Settings.model_fields.items()}
    assert set(documented) == set(fields) | READ_ELSEWHERE
    for variable, field in fields.items():
        default = field.default
        shown = f"{default:g}" if isinstance(default, float) else str(default)
        wanted = "none" if default is None else f"`{shown.lower()}`"
        assert documented[variable].lower() == wanted, variable
        assert field.description, variable


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_by_name_and_not_repeated(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREFIX + name, WRONG[name])
    with pytest.raises(SettingInvalid) as refused:
        load()
    assert refused.value.message.startswith(f"{PREFIX}{name}: ")
    assert "\n" not in refused.value.message
    assert "s3cret" not in refused.value.message


def test_every_variable_that_the_product_names_is_known() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | READ_ELSEWHERE
    for package in ("api", "control_plane", "policies", "stacks"):
        for file in (PAGE.parents[1] / package).rglob("*.py"):
            for name in re.findall(rf"{PREFIX}[A-Z]+(?:_[A-Z]+)*\b(?!_)", file.read_text("utf-8")):
                assert name in known, f"{file.name} reads {name}, which would be refused"


def test_a_misspelt_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTPLANE_PROT", "1")
    with pytest.raises(SettingInvalid, match="TENANTPLANE_PROT is no setting"):
        load()


@pytest.mark.parametrize("name", sorted(set(PRODUCTION) - {"INSTALLATION"}))
def test_production_names_what_it_lacks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for other, value in PRODUCTION.items():
        monkeypatch.setenv(PREFIX + other, value)
    assert load().installation is Installation.PRODUCTION
    monkeypatch.delenv(PREFIX + name)
    with pytest.raises(SettingInvalid, match=f"production needs {PREFIX}{name}"):
        load()


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTPLANE_PORT", "9000")
    assert load().port == 9000
    assert load({"port": 9001}).port == 9001


def test_secrets_are_not_shown() -> None:
    settings = load({"database_url": "postgresql://app:s3cret@db/tenantplane"})
    assert "s3cret" not in repr(settings)
