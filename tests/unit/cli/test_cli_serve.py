"""What keeps an installation from starting is said in one sentence, before anything starts."""

from __future__ import annotations

import fcntl
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from api.__main__ import main as api_main
from control_plane.adapters.audit.keys import KeyFileSigner
from control_plane.adapters.audit.signer_process import TickReport
from control_plane.adapters.home import Home, Key
from control_plane.cli.demo import demo_settings
from control_plane.cli.local import parts_of_this_installation
from control_plane.cli.serving import (
    EmbeddedInstallation,
    _answers,
    _clean_environment,
    _write_endpoints,
)
from control_plane.config import ProcessRole, Settings, load
from control_plane.domain.errors import SettingInvalid, Unavailable
from tests.unit.cli.terminal import run

PRODUCTION = {
    "INSTALLATION": "production",
    "DATABASE_URL": "postgresql://app@db/tenantplane?sslmode=require",
    "ISSUER": "https://id.example",
    "JWKS_URL": "https://id.example/jwks",
}


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    """`serve` takes SIGTERM; the process of the tests has it back afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("TENANTPLANE_URL")
    monkeypatch.delenv("TENANTPLANE_TOKEN")
    folder = tmp_path / "home"
    monkeypatch.setenv("TENANTPLANE_HOME", str(folder))
    return folder


def test_a_port_that_is_taken_is_named_with_the_setting(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        answer = run("serve", "--port", str(port))
    assert (answer.code, answer.out) == (5, "")
    assert answer.err.startswith(f"port {port} on 127.0.0.1 cannot be used")
    assert "TENANTPLANE_PORT" in answer.err
    assert not (home / "postgres").exists()


def test_an_api_alone_is_told_its_port_since_its_links_name_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Home(home).create_keys([Key.PAGE])
    for name in ("DATABASE_URL", "DATABASE_AUDITOR_URL"):
        monkeypatch.setenv(f"TENANTPLANE_{name}", "postgresql://someone@127.0.0.1:1/x")
    monkeypatch.setenv("TENANTPLANE_PORT", "0")
    assert api_main() == 2
    assert "TENANTPLANE_PORT" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_2_and_named(home: Path) -> None:
    home.parent.mkdir(exist_ok=True)
    home.write_text("a file")  # below a file nobody can make a folder, root neither
    answer = run("serve", "--home", str(home / "below"))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("TENANTPLANE_HOME: the folder cannot be created")


def test_a_second_serve_on_the_same_folder_is_refused(home: Path) -> None:
    home.mkdir()
    with (home / "serve.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = run("serve")
    assert (answer.code, answer.out) == (5, "")
    assert answer.err.startswith("an installation is already running in ")


def test_a_second_demo_leaves_the_data_of_the_running_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "var" / "demo"
    (folder / "postgres").mkdir(parents=True)
    with (folder / "serve.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        answer = run("demo")
    assert answer.code == 5
    assert answer.err.startswith("an installation is already running in ")
    assert (folder / "postgres").is_dir()


def test_serve_is_refused_in_production(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(f"TENANTPLANE_{name}", value)
    answer = run("serve")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("serve is for one machine")
    token = run("token", "--role", "auditor")
    assert (token.code, token.out) == (2, "")
    assert "TENANTPLANE_ISSUER" in token.err


def test_settings_of_a_role_are_its_own_and_show_no_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABASE_URL", "DATABASE_AUDITOR_URL"):
        monkeypatch.setenv(f"TENANTPLANE_{name}", "postgresql://a:s3cret@db/x")
    shown = {
        item["variable"]: item["value"] for item in run("settings", "--role", "api", "--json").json
    }
    assert shown["TENANTPLANE_DATABASE_URL"] == "**********"
    assert shown["TENANTPLANE_REHEARSAL"] == "false"
    assert "TENANTPLANE_DATABASE_SEQUENCER_URL" not in shown
    assert "TENANTPLANE_STATE_URL" not in shown
    monkeypatch.setenv(
        "TENANTPLANE_ACCOUNTS", "111122223333=arn:aws:iam::111122223333:role/p|s3cret"
    )
    monkeypatch.setenv("TENANTPLANE_STATE_URL", "postgres://state:s3cret@db/state")
    every = run("settings")
    assert "111122223333=arn:aws:iam::111122223333:role/p|*****" in every.out
    assert "s3cret" not in every.out
    refused = run("settings", "--role", "api")
    assert (refused.code, "STATE_URL" in refused.out) == (2, False)
    assert "TENANTPLANE_STATE_URL must not be set for the api process" in refused.err


def test_keys_are_made_by_a_command_and_kept(home: Path) -> None:
    made = run("keys", "create", "--only", "page", "--json")
    assert made.json == {"page": "made"}
    again = run("keys", "create")
    assert (again.code, again.err) == (0, "")
    assert [line.split()[:2] for line in again.out.splitlines()] == [
        ["master", "made"], ["bundle", "made"], ["audit", "made"], ["page", "kept"],
        ["onboarding", "made"], ["issuer", "made"],
    ]  # fmt: skip


def test_production_has_no_key_of_an_issuer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTPLANE_INSTALLATION", "production")
    assert run("keys", "create", "--only", "issuer").code == 2
    assert not Home(home).key(Key.ISSUER).exists()


def test_a_further_host_in_production_gets_no_key_that_is_not_its_own(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Home(tmp_path / "first")
    first.create_keys([Key.PAGE, Key.AUDIT])
    (home / "keys").mkdir(parents=True)
    copied = {"page.key", "audit.key.pub"}
    for name in copied:
        shutil.copy(first.part("keys") / name, home / "keys" / name)
    monkeypatch.setenv("TENANTPLANE_INSTALLATION", "production")
    refused = run("keys", "create")
    assert (refused.code, refused.out) == (2, "")
    for words in (
        "--only audit for the signer",
        "--only master --only bundle for a worker",
        "--only page --only onboarding for the API",
    ):
        assert words in refused.err
    assert not Home(home).is_marked
    assert {file.name for file in (home / "keys").iterdir()} == copied
    marked = run("keys", "create", "--only", "page", "--json")
    assert (marked.code, marked.json) == (0, {"page": "kept"})
    assert Home(home).is_marked
    assert {file.name for file in (home / "keys").iterdir()} == copied


@pytest.mark.parametrize("command", [("open", "dep_1"), ("convert",)])
def test_a_stack_needs_the_home_with_its_master_secret(
    home: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("TENANTPLANE_DATABASE_URL", "postgresql://someone@127.0.0.1:1/x")
    answer = run("stack", *command)
    assert (answer.code, answer.out) == (2, "")
    assert "not a home folder" in answer.err


@pytest.mark.parametrize(
    ("command", "secret"),
    [
        ("worker", "DATABASE_SEQUENCER_URL"),
        ("worker", "DATABASE_OWNER_URL"),
        ("api", "DATABASE_SEQUENCER_URL"),
        ("api", "STATE_URL"),
        ("signer", "DATABASE_URL"),
    ],
)
def test_a_process_that_holds_a_secret_of_another_role_does_not_start(
    home: Path, command: str, secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TENANTPLANE_{secret}", "postgres://somebody:s3cret@db/x")
    answer = run(command)
    assert (answer.code, answer.out) == (2, "")
    assert f"TENANTPLANE_{secret} must not be set for the {command} process" in answer.err
    assert "s3cret" not in answer.err


def test_help_has_a_short_form_and_completion_can_be_installed() -> None:
    assert run("-h").code == 0
    assert "--install-completion" in run("--help").out


def test_verifying_without_an_installation_is_5(home: Path) -> None:
    answer = run("audit", "verify")
    assert (answer.code, answer.out) == (5, "")
    assert f"no installation is running in {home}" in answer.err


@pytest.mark.parametrize("command", ["worker", "signer"])
def test_a_process_without_its_database_setting_is_2(home: Path, command: str) -> None:
    answer = run(command)
    assert (answer.code, answer.out) == (2, "")
    assert "TENANTPLANE_DATABASE_" in answer.err


def test_a_database_that_is_not_there_is_5_and_its_password_is_not_shown(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://someone:s3cret@127.0.0.1:1/tenantplane"
    for variable, command in (
        ("TENANTPLANE_DATABASE_AUDITOR_URL", ("audit", "verify", "platform")),
        ("TENANTPLANE_DATABASE_OWNER_URL", ("database", "upgrade")),
        ("PGADMIN_URL", ("database", "roles")),
    ):
        with monkeypatch.context() as settings:
            settings.setenv(variable, url)
            answer = run(*command)
        assert (answer.code, answer.out) == (5, ""), command
        assert "the database" in answer.err
        assert "s3cret" not in answer.err


@pytest.mark.parametrize("url", ["", "s3cret"])
def test_the_administrators_url_is_read_from_its_variable_alone_and_named(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGADMIN_URL", url)
    answer = run("database", "roles")
    assert (answer.code, answer.out) == (2, "")
    assert "PGADMIN_URL" in answer.err
    assert "TENANTPLANE_" not in answer.err
    assert "s3cret" not in answer.err
    given = run("database", "roles", "--admin-url", "postgresql://admin:s3cret@db/x")
    assert (given.code, given.out) == (2, "")
    assert "No such option" in given.err


def test_the_demo_uses_nothing_outside_whatever_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = tmp_path / "rules"
    wanted = Settings(home=Path("var/demo"), port=0, log_level="warning", rules_folder=rules)
    outside = {
        "CLOUD": "aws", "STATE_URL": "s3://states", "OBJECTS_URL": "s3://objects",
        "DATABASE_URL": "postgresql://app@db/x", "DATABASE_OWNER_URL": "postgresql://own@db/x",
        "DATABASE_AUDITOR_URL": "postgresql://aud@db/x", "SANDBOX_URL": "https://sts.example",
        "DATABASE_SEQUENCER_URL": "postgresql://seq@db/x", "PUBLIC_URL": "https://cp.example",
        "ISSUER": "https://id.example", "JWKS_URL": "https://id.example/jwks",
    }  # fmt: skip
    ours = {
        "INSTALLATION": "production", "HOST": "0.0.0.0", "ACCOUNTS": "999", "ACCOUNTS_SHARED": "no",
        "RULES_FOLDER": "/rules", "APPROVAL_HOURS": "0.001", "WORKERS": "16", "PERSON_CLAIM": "x",
    }  # fmt: skip
    for name, value in (outside | ours | {"TERRAFORM": "tofu", "PULUMI": "/bin/pulumi"}).items():
        monkeypatch.setenv(f"TENANTPLANE_{name}", value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    settings = demo_settings(rules)
    assert settings.model_copy(update={"pulumi": None, "terraform": "terraform"}) == wanted
    children = _clean_environment(settings, tmp_path)
    assert children["TENANTPLANE_TERRAFORM"] == "tofu"
    assert children["TENANTPLANE_PULUMI"] == "/bin/pulumi"
    assert children["TENANTPLANE_CLOUD"] == "sandbox"
    assert not {f"TENANTPLANE_{name}" for name in outside if name != "CLOUD"} & set(children)
    assert "AWS_ACCESS_KEY_ID" not in children


def test_a_slug_without_the_means_to_look_it_up_is_2(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "TENANTPLANE_DATABASE_AUDITOR_URL", "postgresql://someone@127.0.0.1:1/tenantplane"
    )
    answer = run("audit", "verify", "dainese")
    assert (answer.code, answer.out) == (2, "")
    assert "TENANTPLANE_TOKEN" in answer.err


def test_a_kept_file_that_is_none_is_2_and_named(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "TENANTPLANE_DATABASE_AUDITOR_URL", "postgresql://someone@127.0.0.1:1/tenantplane"
    )
    junk = tmp_path / "junk"
    junk.write_bytes(b"\x85\x86\x87")
    for option in ("--checkpoint", "--public-key"):
        answer = run("audit", "verify", "platform", option, str(junk))
        assert (answer.code, answer.out) == (2, "")
        assert "junk" in answer.err
        assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("host", "warns"),
    [("0.0.0.0", True), ("::", True), ("127.0.0.1", False), ("::1", False), ("localhost", False)],
)
def test_who_opens_the_api_to_the_network_is_warned(
    host: str, warns: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keys(*_: object) -> None:
        raise Unavailable("far enough")

    monkeypatch.setattr(EmbeddedInstallation, "_keys", keys)
    monkeypatch.setenv("TENANTPLANE_HOST", host)
    monkeypatch.setenv("TENANTPLANE_PORT", "0")
    answer = run("serve")
    assert (answer.code, answer.err.splitlines()[0]) == (5, "far enough")
    assert (f"listens on {host} without TLS" in answer.out) is warns


@pytest.mark.parametrize("host", ["192.0.2.1", "nobody.invalid", "[::1"])
def test_a_host_that_is_not_this_machines_is_named_by_its_own_setting(
    host: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTPLANE_HOST", host)
    answer = run("serve")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"TENANTPLANE_HOST: {host} is not an address of this machine\n")
    assert "PORT" not in answer.err


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("::1", "http://[::1]:8080"),
        ("10.0.0.5", "http://10.0.0.5:8080"),
    ],
)
def test_the_url_of_an_api_is_one_that_can_be_called(host: str, url: str) -> None:
    assert Settings(host=host).base_url == url


def test_the_api_of_this_machine_is_asked_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    class Api(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("0.0.0.0", 0), Api) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        assert _answers(f"http://0.0.0.0:{server.server_address[1]}")
        server.shutdown()
        thread.join(10)


def test_a_terraform_below_the_folder_of_serve_is_found_by_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for given, wanted in (
        ("./bin/terraform", str(tmp_path / "bin" / "terraform")),
        ("tofu", "tofu"),
    ):
        children = _clean_environment(load({"terraform": given}), tmp_path)
        assert children["TENANTPLANE_TERRAFORM"] == wanted


def test_credentials_of_a_bucket_reach_the_processes_that_use_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    assert "AWS_ACCESS_KEY_ID" not in _clean_environment(load(), tmp_path)
    serve = EmbeddedInstallation(load({"objects_url": "s3://bucket/objects"}), print)
    serve.environment = _clean_environment(serve.settings, tmp_path)
    show = "import os; print('AWS_ACCESS_KEY_ID' in os.environ, flush=True); input()"
    with ExitStack() as serve._stack:
        for role in (ProcessRole.API, ProcessRole.WORKER, ProcessRole.SIGNER, None):
            child = serve._launch(str(role), [sys.executable, "-c", show], role, tmp_path)
            child.wait_until_ready(30)
            assert child.line == str(role in {ProcessRole.API, ProcessRole.WORKER})


def test_the_host_of_the_audit_logs_is_left_for_other_commands(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    database = {"TENANTPLANE_DATABASE_AUDITOR_URL": "postgresql://someone@127.0.0.1:1/x"}
    _write_endpoints(home, database, "http://127.0.0.1:8080", "audit.example")
    assert parts_of_this_installation().settings.audit_host == "audit.example"


def test_an_error_without_a_variable_advises_to_correct_none(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run("token", "--role", "auditor")
    assert answer.code == 2
    assert "issuer.pem" in answer.err
    assert "environment variable" not in answer.err
    monkeypatch.setenv("TENANTPLANE_PORT", "many")
    assert "environment variable" in run("serve").err


def test_an_error_is_json_for_programs_whoever_says_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = run("audit", "verify", "--json")
    assert (answer.code, answer.out) == (5, "")
    said = json.loads(answer.err)
    assert said["code"] == "unavailable"
    assert said["detail"].startswith("no installation is running in ")
    assert "remedy" not in said
    monkeypatch.setenv("TENANTPLANE_PORT", "many")
    said = json.loads(run("settings", "--json").err)
    assert (said["code"], said["remedy"]) == ("setting_invalid", SettingInvalid.remedy)
    assert run("settings").err.startswith("TENANTPLANE_PORT: ")


def test_an_administrators_url_asks_for_tls_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTPLANE_INSTALLATION", "production")
    monkeypatch.setenv("PGADMIN_URL", "postgresql://postgres:s3cret@db.internal/postgres")
    answer = run("database", "roles")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("in production PGADMIN_URL must ask for TLS")
    assert "s3cret" not in answer.err


def test_a_slug_is_not_looked_up_in_a_database_that_is_not_there(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTPLANE_DATABASE_URL", "postgresql://someone@127.0.0.1:1/x")
    file = tmp_path / "audit.key.pub"
    file.write_bytes(KeyFileSigner.from_seed(bytes(32)).public_pem())
    answer = run("audit", "key", "dainese", "--public-key", str(file))
    assert (answer.code, answer.out) == (5, "")
    assert answer.err.startswith("the database is unreachable: ")


def test_a_signer_that_cannot_work_does_not_say_that_it_is_ready(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Home(home).create_keys([Key.AUDIT])
    monkeypatch.setenv("TENANTPLANE_DATABASE_SEQUENCER_URL", "postgresql://someone@127.0.0.1:1/x")
    signer = subprocess.Popen(
        [sys.executable, "-m", "control_plane.cli", "signer"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert signer.stderr is not None
    while "signer.tick_failed" not in signer.stderr.readline():
        assert signer.poll() is None
    signer.terminate()
    out, _ = signer.communicate(timeout=60)
    assert (signer.returncode, out) == (0, "")


def test_a_refused_log_does_not_keep_a_signer_from_being_ready() -> None:
    ready = {
        error: TickReport(error=error).is_working
        for error in (None, "signing_refused", "database_operationalerror", "read_back_failed")
    }
    assert list(ready.values()) == [True, True, False, False]
