"""Settings: each is documented, and a wrong one is refused by the name of its variable."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from control_plane.adapters.home import Key
from control_plane.bootstrap import Parts
from control_plane.config import (
    PREFIX,
    READ_ELSEWHERE,
    Installation,
    ProcessRole,
    Settings,
    foreign_secrets,
    load,
    secret_settings,
    used_by,
)
from control_plane.domain.errors import SettingInvalid

PAGE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
ROW = re.compile(r"^\| `(TENANTPLANE_[A-Z_]+)` \| (.+?) \| ", re.MULTILINE)
API, WORKER, SIGNER, MIGRATE = ProcessRole
COMMON = {"INSTALLATION": "production", "HOME": "/srv/tenantplane"}
AUDITING = COMMON | {"AUDIT_HOST": "audit.example"}
SERVING = AUDITING | {
    "DATABASE_URL": "postgresql://app@db/tenantplane?sslmode=verify-full",
    "OBJECTS_URL": "s3://objects",
    "PUBLIC_URL": "https://control.example",
    "DATABASE_AUDITOR_URL": "postgresql://auditor@db/tenantplane?sslmode=verify-ca",
}
WORKING = {name: SERVING[name] for name in ("DATABASE_URL", "DATABASE_AUDITOR_URL")}
PRODUCTION = {
    API: SERVING
    | {
        "ISSUER": "https://id.example",
        "JWKS_URL": "https://id.example/jwks",
    },
    WORKER: SERVING | {"CLOUD": "aws", "STATE_URL": "s3://state"},
    SIGNER: AUDITING
    | {"DATABASE_SEQUENCER_URL": "postgresql://sequencer@db/tenantplane?sslmode=require"},
    MIGRATE: {
        "INSTALLATION": "production",
        "DATABASE_OWNER_URL": "postgresql://owner@/tenantplane?host=/run/postgresql",
    },
}
WRONG = {
    "INSTALLATION": "staging",
    "REHEARSAL": "perhaps",
    "PORT": "abc",
    "CLOUD": "azure",
    "SANDBOX_PROVIDER": "heavy",
    "ACCOUNTS_SHARED": "perhaps",
    "WORKERS": "0",
    "RUNS_GLOBALLY": "-1",
    "WORKER_ID": "a b",
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
    "STATE_URL": "https://app.pulumi.example/s3cret",
    "OBJECTS_URL": "gs://bucket",
}


@pytest.fixture(autouse=True)
def no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


def given(monkeypatch: pytest.MonkeyPatch, values: dict[str, str]) -> None:
    for name, value in values.items():
        monkeypatch.setenv(PREFIX + name, value)


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


def test_the_page_says_which_process_reads_a_setting() -> None:
    row = re.compile(r"^\| `TENANTPLANE_([A-Z_]+)` \| .+? \| ([a-z, ]+) \| ", re.MULTILINE)
    documented = dict(row.findall(PAGE.read_text(encoding="utf-8")))
    for name in Settings.model_fields:
        readers = [str(role) for role in ProcessRole if name in used_by(role)]
        wanted = "all" if len(readers) == len(ProcessRole) else ", ".join(readers) or "serve"
        assert documented[name.upper()] == wanted, name


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
    with pytest.raises(SettingInvalid, match="TENANTPLANE_PROT is not a setting"):
        load()


@pytest.mark.parametrize("role", ProcessRole)
def test_a_process_starts_with_its_own_settings_and_names_what_it_lacks(
    role: ProcessRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, PRODUCTION[role])
    assert load(role=role).installation is Installation.PRODUCTION
    for name in sorted(set(PRODUCTION[role]) - {"INSTALLATION"}):
        with monkeypatch.context() as without:
            without.delenv(PREFIX + name)
            with pytest.raises(SettingInvalid, match=f"the {role} process needs {PREFIX}{name}"):
                load(role=role)


@pytest.mark.parametrize("role", ProcessRole)
def test_a_process_refuses_every_secret_of_another_role(
    role: ProcessRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, PRODUCTION[role])
    own = {name for name in secret_settings() if name in used_by(role)}
    assert set(foreign_secrets(role)) == set(secret_settings()) - own
    for name in foreign_secrets(role):
        with monkeypatch.context() as more:
            more.setenv(PREFIX + name.upper(), "postgres://somebody:s3cret@localhost/tenantplane")
            with pytest.raises(SettingInvalid) as refused:
                load(role=role)
        assert f"{PREFIX}{name.upper()} must not be set for the {role}" in refused.value.message
        assert "s3cret" not in refused.value.message


def test_who_holds_which_database_role() -> None:
    urls = {"database_url", "database_owner_url", "database_sequencer_url", "database_auditor_url"}
    assert {role: sorted(urls & set(used_by(role))) for role in ProcessRole} == {
        API: ["database_auditor_url", "database_url"],
        WORKER: ["database_auditor_url", "database_url"],
        SIGNER: ["database_sequencer_url"],
        MIGRATE: ["database_owner_url"],
    }


@pytest.mark.parametrize(
    ("role", "name", "value"),
    [
        (API, "PUBLIC_URL", "http://control.example"),
        (API, "PUBLIC_URL", "https://"),
        (API, "ISSUER", "http://id.example"),
        (API, "JWKS_URL", "http://id.example/jwks"),
        (API, "JWKS_URL", "file:///etc/keys"),
        (API, "AUDIT_HOST", "localhost"),
        (SIGNER, "AUDIT_HOST", "localhost"),
        (WORKER, "HOME", "var/production"),
        (SIGNER, "HOME", "keys"),
        (WORKER, "CLOUD", "sandbox"),
        (WORKER, "ACCOUNTS", "111122223333"),
        (WORKER, "STATE_URL", "postgresql://state:s3cret@db/state"),
        (WORKER, "STATE_URL", "postgres://state:s3cret@db/state"),
        (WORKER, "DATABASE_URL", "postgresql://app:s3cret@db/tenantplane"),
        (API, "DATABASE_URL", "postgresql://app:s3cret@db/tenantplane?sslmode=prefer"),
        (API, "DATABASE_AUDITOR_URL", "postgresql://a:s3cret@[2001:db8::1]/tenantplane"),
        (SIGNER, "DATABASE_SEQUENCER_URL", "postgres://s:s3cret@/tenantplane?host=db"),
        (MIGRATE, "DATABASE_OWNER_URL", "postgresql://o:s3cret@db,127.0.0.1/tenantplane"),
        (API, "DATABASE_URL", "postgresql://a:s3cret@localhost/tenantplane?host=db.internal"),
        (API, "DATABASE_URL", "postgresql://a:s3cret@localhost/tenantplane?hostaddr=10.0.0.5"),
        (WORKER, "STATE_URL", "postgres://s:s3cret@/state?host=10.0.0.1&host=/tmp"),
        (WORKER, "STATE_URL", "postgres://s:s3cret@/state?host=/tmp,db.internal"),
        (WORKER, "STATE_URL", "postgres://s:s3cret@db/s?sslmode=disable&sslmode=require"),
        (SIGNER, "DATABASE_SEQUENCER_URL", "postgresql://s:s3cret@127.0.0.1,db:5433/tenantplane"),
        (WORKER, "OBJECTS_URL", "file://relative/folder"),
    ],
)
def test_production_refuses_what_is_good_enough_for_one_laptop(
    role: ProcessRole, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, PRODUCTION[role] | {name: value})
    with pytest.raises(SettingInvalid) as refused:
        load(role=role)
    assert f"{PREFIX}{name}" in refused.value.message
    assert refused.value.data["name"] == f"{PREFIX}{name}"
    assert "s3cret" not in refused.value.message


def test_the_emulated_cloud_is_for_a_rehearsal_that_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch, PRODUCTION[WORKER] | {"CLOUD": "sandbox", "REHEARSAL": "true"})
    with pytest.raises(SettingInvalid, match="SANDBOX_URL is not set"):
        load(role=WORKER)
    monkeypatch.setenv(f"{PREFIX}SANDBOX_URL", "http://127.0.0.1:5000")
    assert load(role=WORKER).rehearsal
    monkeypatch.setenv(f"{PREFIX}INSTALLATION", "embedded")
    with pytest.raises(SettingInvalid, match="REHEARSAL"):
        load(role=WORKER)


def test_a_worker_on_the_emulated_cloud_without_its_endpoint_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given(monkeypatch, WORKING)
    with pytest.raises(SettingInvalid, match="SANDBOX_URL is not set"):
        load(role=WORKER)


def test_a_worker_is_named_after_its_host_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().worker_name == "worker-1"
    given(monkeypatch, PRODUCTION[WORKER])
    named = load(role=WORKER).worker_name
    assert re.fullmatch(r"worker-[A-Za-z0-9_.-]+", named)
    assert named != "worker-1"
    assert load({"worker_id": "w-eu-7"}, role=WORKER).worker_name == "w-eu-7"


def test_two_hosts_with_long_names_are_two_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, PRODUCTION[WORKER])
    names = set()
    pod = "tenantplane-worker-blue-deployment-7d4b9c6f5d-eu-west-1a"
    for host in (f"{pod}-x2v7q", f"{pod}-k9s4t", "a b", "a-b"):
        monkeypatch.setattr("socket.gethostname", lambda host=host: host)
        named = load(role=WORKER).worker_name
        assert load({"worker_id": named}, role=WORKER).worker_name == named
        names.add(named)
    assert len(names) == 4


@pytest.mark.parametrize("name", ["HOME", "PORT", "SANDBOX_URL", "STATE_URL", "DATABASE_URL"])
def test_an_empty_variable_counts_as_not_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + name, "")
    assert load() == Settings()


def test_a_worker_whose_endpoint_is_empty_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, WORKING | {"SANDBOX_URL": ""})
    with pytest.raises(SettingInvalid, match="SANDBOX_URL is not set"):
        load(role=WORKER)


def test_options_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTPLANE_PORT", "9000")
    assert load().port == 9000
    assert load({"port": 9001}).port == 9001


def test_secrets_are_not_shown() -> None:
    settings = load(
        {"database_url": "postgresql://app:s3cret@db/x", "state_url": "postgres://a:s3cret@db/y"}
    )
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app@/tenantplane?host=/run/postgresql",
        "postgresql://app@127.0.0.1:5433/tenantplane",
        "postgres://app@localhost/tenantplane",
        "postgresql://app@%2Frun%2Fpostgresql/tenantplane",
        "postgresql://app@[::1]:5433,localhost/tenantplane?hostaddr=::1,127.0.0.1",
        "postgresql://app@db.internal/tenantplane?connect_timeout=3&sslmode=verify-full",
    ],
)
def test_a_database_on_this_machine_or_behind_tls_is_taken(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, PRODUCTION[WORKER] | {"DATABASE_URL": url})
    assert load(role=WORKER).database_url is not None


@pytest.mark.parametrize(
    ("given_only", "words"),
    [
        ({"ISSUER": "https://id.example"}, "must be set together"),
        ({"JWKS_URL": "https://id.example/jwks"}, "must be set together"),
        ({"ISSUER": "id", "JWKS_URL": "id.example/jwks"}, "JWKS_URL must be an https"),
    ],
)
def test_an_issuer_whose_keys_nobody_could_ask_for_is_refused_at_the_start(
    given_only: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given(monkeypatch, given_only)
    with pytest.raises(SettingInvalid, match=words):
        load()


@pytest.mark.parametrize("name", ["STATE_URL", "OBJECTS_URL"])
def test_a_worker_does_not_start_on_a_volume_that_is_not_there(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(PREFIX + name, f"file://{tmp_path / 'volume'}")
    parts = Parts(load({"home": tmp_path / "home"}))
    parts.home.make()
    parts.home.create_keys(list(Key))
    with pytest.raises(SettingInvalid, match="or mount the volume") as refused:
        parts.prepare_work()
    assert refused.value.data["name"] == PREFIX + name
    (tmp_path / "volume").mkdir()
    parts.prepare_work()
    kept = {"STATE_URL": "objects", "OBJECTS_URL": "state"}[name]  # the other one is in the home
    assert (tmp_path / "home" / kept).is_dir()
