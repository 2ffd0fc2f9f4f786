"""The document of systems: what cannot be used is refused with its line and the reason."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from control_plane.adapters.home import Home, Key
from control_plane.adapters.rules.loader import load_rules
from control_plane.adapters.systems.credentials import FileCredentials
from control_plane.adapters.systems.opening import Surroundings, open_systems
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.system_errors import SystemRefused
from control_plane.domain.systems import KNOWN, SystemPort, SystemRules
from control_plane.ports.systems import Company
from control_plane.production import refuse_recording
from tests.systems.mails import noon

FOLDER = Path(__file__).parents[2] / "rules"
SALESFORCE = "url: https://x.my.salesforce.com, client_id: c, credential: sf"
TEAMS = (
    "client_id: 00000000-0000-0000-0000-000000000000, team: 00000000-0000-0000-0000-000000000000, "
    "owner: 00000000-0000-0000-0000-000000000000"
)
REAL = {
    "crm: {system: record}": "crm: {system: hubspot, credential: hubspot, fields: {mode: mode}}",
    "tickets: {system: record}":
        "tickets: {system: zendesk, url: https://x.zendesk.com, email: a@b.example, "
        "credential: zd}",
    "mail: {system: record}":
        "mail: {system: smtp, host: smtp.example.com, port: 587, security: starttls, "
        "username: u, credential: smtp}",
    "slack: {system: record}": "slack: {system: slack, credential: slack, private: false}",
    "teams: {system: record}":
        f"teams: {{system: teams, directory: x.example, credential: teams, {TEAMS}}}",
}  # fmt: skip
OTHERS = {
    "crm: {system: record}":
        f"crm: {{system: salesforce, grant: client_credentials, {SALESFORCE}}}",
    "mail: {system: record}": "mail: {system: ses, region: eu-west-1}",
    "tickets: {system: record}": "tickets: {system: none}",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER, tmp_path / "rules")
    return tmp_path / "rules"


def changed(folder: Path, changes: dict[str, str]) -> SystemRules:
    file = folder / "systems.yaml"
    text = file.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert f"\n{old}" in text.replace("\n  ", "\n"), "the test would change nothing"
        text = text.replace(f"\n{old}", f"\n{new}").replace(f"\n  {old}", f"\n  {new}")
    file.write_text(text, encoding="utf-8")
    return load_rules(folder).systems


def around(tmp_path: Path) -> Surroundings:
    credentials = FileCredentials(tmp_path / "keys" / "systems")
    return Surroundings(credentials=credentials, folder=tmp_path / "outside", now=noon)


@pytest.mark.parametrize(("port", "new", "reason"), [
    ("crm", "{system: hubspott, credential: a}", "did you mean 'hubspot'?"),
    ("crm", "{system: zendesk, url: https://x.example, email: a@b.c, credential: a}",
     "zendesk is not a system of crm"),
    ("crm", "{system: hubspot}", "'credential' is a required property"),
    ("crm", "{system: hubspot, credential: ../../etc/passwd}", "does not match"),
    ("crm", "{system: hubspot, credential: a, token: secret}", "'token' was unexpected"),
    ("crm", "{system: hubspot, credential: a, url: http://a.example}", "must be an https:// URL"),
    ("crm", "{system: hubspot, credential: a, url: https://u:p@a.example}", "must have no user"),
    ("crm", "{system: hubspot, credential: a, url: https://}", "must be an https:// URL"),
    ("crm", "{system: hubspot, credential: a, key_property: 'a b'}", "does not match"),
    ("crm", "{system: hubspot, credential: a, fields: {colour: x}}", "is not one of"),
    ("crm", f"{{system: salesforce, grant: jwt, {SALESFORCE}}}", "needs `username`"),
    ("crm", f"{{system: salesforce, grant: password, {SALESFORCE}}}", "is not one of"),
    ("crm", f"{{system: salesforce, grant: jwt, {SALESFORCE}, key_field: 'Id FROM'}}",
     "does not match"),
    ("mail", "{system: smtp, host: mail.example.com, port: 25, security: plain}", "loopback alone"),
    ("mail", "{system: smtp, host: a.example, port: 25, security: tls, username: u}",
     "belong together"),
    ("mail", "{system: smtp, host: a.example, port: 99999, security: tls}", "maximum"),
    ("mail", "{system: ses, region: Frankfurt}", "does not match"),
    ("tickets", "record", "is not of type 'object'"),
    ("tickets", "{system: no}", "in quotes, since YAML reads"),
    ("tickets", "{system: record, url: https://x.example}", "was unexpected"),
])  # fmt: skip
def test_what_cannot_be_used_is_refused_with_its_place(
    folder: Path, port: str, new: str, reason: str
) -> None:
    with pytest.raises(SettingInvalid) as refused:
        changed(folder, {f"{port}: {{system: record}}": f"{port}: {new}"})
    assert reason in refused.value.message
    assert "systems.yaml" in refused.value.message
    assert "line " in refused.value.message


@pytest.mark.parametrize("changes", [{}, REAL, OTHERS], ids=["shipped", "real", "others"])
def test_each_port_gets_the_system_that_the_document_names(
    folder: Path, tmp_path: Path, changes: dict[str, str]
) -> None:
    rules = changed(folder, changes)
    found = open_systems(rules, around(tmp_path))
    made = {
        SystemPort.CRM: found.crm, SystemPort.TICKETS: found.tickets, SystemPort.MAIL: found.mailer,
        SystemPort.SLACK: found.chats.get("slack"), SystemPort.TEAMS: found.chats.get("teams"),
    }  # fmt: skip
    named = {entry.port: entry.system for entry in rules}
    assert {port: "none" if each is None else each.system for port, each in made.items()} == named
    assert not (tmp_path / "outside").exists(), "nothing is done yet"


def test_every_system_can_be_opened_by_one_of_the_examples(folder: Path) -> None:
    opened = [text.partition("system: ")[2] for text in [*REAL.values(), *OTHERS.values()]]
    names = {text.replace("}", ",").partition(",")[0] for text in opened}
    assert names - {"none"} == {name for known in KNOWN.values() for name in known}


def test_a_credential_that_is_missing_is_a_refusal_of_its_system(
    folder: Path, tmp_path: Path
) -> None:
    crm = open_systems(changed(folder, REAL), around(tmp_path)).crm
    assert crm is not None
    company = Company(key="k", name="n", domain="d", country="FI", slug="s", contract_id="c")
    with pytest.raises(SystemRefused, match="tenantctl keys system hubspot"):
        crm.upsert_company(company)


def test_production_refuses_to_only_write_down(folder: Path) -> None:
    shipped = changed(folder, {})
    with pytest.raises(SettingInvalid, match="crm, tickets, mail, slack, teams: `record` only"):
        refuse_recording(shipped.recorded)
    refuse_recording(changed(folder, REAL).recorded)


@pytest.mark.parametrize("rehearsal", ["false", "true"])
def test_a_production_api_starts_with_record_only_as_a_rehearsal(
    tmp_path: Path, rehearsal: str
) -> None:
    passed = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    settings = {
        "HOME": str(tmp_path / "home"), "INSTALLATION": "production", "AUDIT_HOST": "a.example",
        "OBJECTS_URL": "s3://objects", "PUBLIC_URL": "https://a.example", "REHEARSAL": rehearsal,
        "ISSUER": "https://id.example", "JWKS_URL": "https://id.example/jwks",
        "DATABASE_URL": "postgresql://app@db.example/t?sslmode=verify-full",
        "DATABASE_AUDITOR_URL": "postgresql://auditor@db.example/t?sslmode=verify-full",
    }  # fmt: skip
    Home(tmp_path / "home").create_keys([Key.PAGE])
    code = "from control_plane.bootstrap import start_process; start_process('api')"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120,
        env=passed | {f"TENANTPLANE_{name}": value for name, value in settings.items()},
        cwd=FOLDER.parent,
    )  # fmt: skip
    if rehearsal == "true":
        assert done.returncode == 0, done.stderr
    else:
        assert "SettingInvalid: in production rules/systems.yaml must name" in done.stderr


# --- credentials ----------------------------------------------------------------------------------
def test_a_credential_is_installed_once_or_replaced(tmp_path: Path) -> None:
    credentials = FileCredentials(tmp_path / "keys" / "systems")
    assert not credentials.has("hubspot")
    credentials.install("hubspot", b"one\n")
    with pytest.raises(SettingInvalid, match="--replace"):
        credentials.install("hubspot", b"two\n")
    assert credentials.read("hubspot") == "one"
    credentials.install("hubspot", b"two\n", replaces=True)
    assert credentials.read("hubspot") == "two"
    pem = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    credentials.install("salesforce", pem)
    assert credentials.read("salesforce") == pem.decode().strip()
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "keys/systems").iterdir()} == {
        0o600
    }


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe", b"a\x00b", b"x" * 20_000])
def test_what_is_no_credential_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(SettingInvalid, match="plain text"):
        FileCredentials(tmp_path / "systems").install("a", content)


@pytest.mark.parametrize("name", ["", "../a", "A", "a/b", "a" * 61])
def test_a_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingInvalid):
        FileCredentials(tmp_path).read(name)


def test_a_credential_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    credentials = FileCredentials(tmp_path)
    credentials.install("a", b"secret")
    credentials.file("a").chmod(0o644)
    with pytest.raises(SettingInvalid, match="chmod 600"):
        credentials.read("a")
