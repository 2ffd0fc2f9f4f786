"""A production installation as an operator makes one: commands and processes, never `serve`."""

from __future__ import annotations

import datetime as dt
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from control_plane.adapters.cache import cache_folder
from control_plane.adapters.db import roles
from control_plane.adapters.postgres import SUPERUSER, EmbeddedPostgres
from control_plane.cli.client import Api
from tests.end_to_end.identity_provider import MACHINES, PASSWORD, REDIRECT
from tests.end_to_end.installation import PROXIES, WAIT_SECONDS

ROOT = Path(__file__).resolve().parents[2]
AUDIT_HOST = "audit.example.test"
OBJECTS = "tenantplane-objects"


@dataclass
class Production:
    """Separate processes with their own homes and settings, over somebody's PostgreSQL."""

    folder: Path
    cli: Path
    stack: ExitStack
    url: str = ""
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    apis: dict[str, Api] = field(default_factory=dict)
    server_settings: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Have what a company has before: a database, a cloud, an identity provider."""
        short = self.stack.enter_context(_short_folder(self.folder))
        self.server = self.stack.enter_context(
            EmbeddedPostgres(
                self.folder / "postgres",
                short_folder=short,
                durable=False,
                settings=self.server_settings,
            )
        )
        self.certificate, key = certificate(self.folder)
        self.cloud = self._cloud()
        provider = self._spawn(
            "idp",
            [
                "-m", "tests.end_to_end.identity_provider",
                "--certificate", str(self.certificate), "--key", str(key),
            ],
            {},
        )  # fmt: skip
        self.issuer = f"https://localhost:{int(self._first_line(provider))}"

    # --- what an operator does ---------------------------------------------------------------
    def install(self) -> None:
        """Make database, homes and keys by commands, as docs/operations.md says."""
        admin = {"PGADMIN_URL": self.server.url(SUPERUSER, "postgres")}
        self.tenantctl("database", "roles", settings=admin)
        self.tenantctl("database", "upgrade", settings=self.production(
            DATABASE_OWNER_URL=self.server.url(roles.OWNER, roles.DATABASE)
        ))  # fmt: skip
        for role, keys in (
            ("api", ["page", "onboarding"]),
            ("worker", ["master", "bundle"]),
            ("signer", ["audit"]),
        ):
            only = [word for key in keys for word in ("--only", key)]
            self.tenantctl("keys", "create", *only, settings=self.production(HOME=self.home(role)))
        shutil.copy(self.home("api") / "keys" / "onboarding.key", self.home("worker") / "keys")
        shutil.copy(self.public_key, self.home("worker") / "keys")
        (self.folder / "state").mkdir(mode=0o700)
        shutil.copy(self.public_key, self.home("api") / "keys")  # it shows the log as verified

    def start(self) -> None:
        """Start signer, worker and API, each with its own settings, and wait for them."""
        for role in ("signer", "worker"):
            self.launch(role)
            assert self._first_line(self.processes[role]) == "ready"
        self.launch("api")
        self.until(self._answers, "the API answers")

    def launch(self, role: str) -> None:
        """Start one process."""
        command = ["-m", "api"] if role == "api" else ["-m", "control_plane.cli", role]
        self._spawn(role, command, self.settings(role))

    def settings(self, role: str) -> dict[str, str]:
        """Return the environment of a process of ours: what its role needs and no more."""
        if role == "signer":
            return self.production(
                HOME=self.home(role),
                AUDIT_HOST=AUDIT_HOST,
                DATABASE_SEQUENCER_URL=self.server.url(roles.SEQUENCER, roles.DATABASE),
            )
        serving = self.production(
            HOME=self.home(role),
            REHEARSAL="true",
            PUBLIC_URL="https://control.example.test",
            DATABASE_URL=self.server.url(roles.APP, roles.DATABASE),
            OBJECTS_URL=f"s3://{OBJECTS}/production?region=eu-west-1&endpoint={self.cloud}",
        ) | {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}
        if role == "worker":
            return (
                self.auditors()
                | serving
                | self.production(
                    CLOUD="sandbox",
                    SANDBOX_URL=self.cloud,
                    STATE_URL=f"file://{self.folder / 'state'}",
                    PULUMI=self.cli,
                    CACHE=cache_folder(),
                )
            )
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        return (
            serving
            | self.auditors()
            | self.production(
                HOME=self.home(role),
                PORT=self.port,
                ISSUER=self.issuer,
                JWKS_URL=f"{self.issuer}/jwks",
            )
            | {"SSL_CERT_FILE": str(self.certificate)}
        )

    def auditors(self) -> dict[str, str]:
        """Return the environment of somebody who verifies the audit log."""
        return self.production(
            HOME=self.folder / "auditor",
            AUDIT_HOST=AUDIT_HOST,
            DATABASE_AUDITOR_URL=self.server.url(roles.AUDITOR, roles.DATABASE),
        )

    @staticmethod
    def production(**given: object) -> dict[str, str]:
        """Return settings of a production installation."""
        settings = {"INSTALLATION": "production", "LOG_FORMAT": "json", **given}
        return {f"TENANTPLANE_{name}": str(value) for name, value in settings.items()}

    def home(self, role: str) -> Path:
        """Return the home folder of a process."""
        return self.folder / "homes" / role

    @property
    def public_key(self) -> Path:
        """The public key of the audit log."""
        return self.home("signer") / "keys" / "audit.key.pub"

    def tenantctl(self, *arguments: str, settings: Mapping[str, str]) -> str:
        """Run a command that must succeed, with these settings alone, and return its stdout."""
        done = subprocess.run(
            [sys.executable, "-m", "control_plane.cli", *arguments],
            env=self._environment(settings), cwd=self.folder, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def pulumi(self, *arguments: str, stack: str, fails: bool = False) -> str:
        """Run the plain `pulumi` command as an operator does, and return what it said."""
        project = self.folder / "project"  # as the product's own folder
        project.mkdir(exist_ok=True)
        shutil.copy(ROOT / "Pulumi.yaml", project)
        done = subprocess.run(
            [sys.executable, "-m", "control_plane.cli", "stack", "open", stack, "--", "pulumi",
             *arguments, "--non-interactive"],
            env=self._environment(self.settings("worker")), cwd=project, capture_output=True,
            text=True, timeout=120, check=False,
        )  # fmt: skip
        assert (done.returncode != 0) is fails, (arguments, done.stderr)
        return done.stderr if fails else done.stdout

    def as_person(self, name: str) -> dict[str, str]:
        """Return the settings of somebody's commands."""
        return {"TENANTPLANE_URL": self.url, "TENANTPLANE_TOKEN": self.token(name)}

    # --- identity ----------------------------------------------------------------------------
    def api(self, name: str) -> Api:
        """Return somebody's connection, with a token of the identity provider."""
        if name not in self.apis:
            self.apis[name] = Api(self.url, self.token(name), timeout=90.0)
            self.stack.callback(self.apis[name].close)
        return self.apis[name]

    def token(self, name: str) -> str:
        """Return an access token: a machine shows its secret, a person signs in."""
        import ssl

        context = ssl.create_default_context(cafile=str(self.certificate))
        with httpx.Client(
            base_url=self.issuer, verify=context, trust_env=False, timeout=60.0
        ) as client:
            if name in MACHINES:
                body, secret = {"grant_type": "client_credentials"}, (name, PASSWORD)
            else:
                signed_in = client.post(
                    "/authorize",
                    params={
                        "response_type": "code", "client_id": "console", "redirect_uri": REDIRECT,
                    },
                    data={"username": name, "password": PASSWORD},
                )  # fmt: skip
                code = parse_qs(urlsplit(signed_in.headers["location"]).query)["code"][0]
                body = {
                    "grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT,
                }  # fmt: skip
                secret = ("console", PASSWORD)
            answer = client.post("/token", data=body, auth=secret)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["access_token"])

    # --- waiting -----------------------------------------------------------------------------
    def until(self, holds: Callable[[], Any], what: str, *, pause: float = 0.1) -> Any:
        """Wait until something holds and return it; a process that ended fails at once.

        ``pause`` is in seconds between two looks.
        """
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            for name, process in self.processes.items():
                assert process.poll() is None, f"{name} ended: {self.said(name)}"
            found = holds()
            if found:
                return found
            assert time.monotonic() < deadline, f"waited too long until {what}"
            time.sleep(pause)

    def said(self, name: str) -> str:
        """Return the end of a process's log."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz", trust_env=False).is_success
        except httpx.HTTPError:
            return False

    # --- processes ---------------------------------------------------------------------------
    def _cloud(self) -> str:
        command = ["-m", "stacks.sandbox.cloud", "--port", "0", "--parent-stdin",
                   "--journal", str(self.folder / "journal.jsonl")]  # fmt: skip
        endpoint = json.loads(self._first_line(self._spawn("cloud", command, {})))["endpoint"]
        client = boto3.client(
            "s3", region_name="eu-west-1", endpoint_url=endpoint,
            aws_access_key_id="testing", aws_secret_access_key="testing",
        )  # fmt: skip
        client.create_bucket(
            Bucket=OBJECTS, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"}
        )
        return str(endpoint)

    def _spawn(
        self, name: str, arguments: list[str], settings: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        return self._spawn_command(name, [sys.executable, *arguments], settings)

    def _spawn_command(
        self, name: str, command: list[str], settings: Mapping[str, str]
    ) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                env=self._environment(settings), cwd=ROOT,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        self.processes[name] = process
        self.stack.callback(_end, process)
        return process

    def _first_line(self, process: subprocess.Popen[bytes]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline().decode().strip()
        assert line, {name: self.said(name) for name in self.processes}
        return line

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        passed = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        proxies = dict.fromkeys(PROXIES, "http://127.0.0.1:9")  # nothing of this needs one
        home = self.folder / "nobody"
        home.mkdir(exist_ok=True)
        return {**passed, **proxies, "HOME": str(home), **settings}


def certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate for ``localhost`` and its key; returns the files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "idp.pem", folder / "idp.key"
    files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return files


@contextmanager
def _short_folder(folder: Path) -> Iterator[Path]:
    """Have a folder whose path is short enough for a socket's name."""
    short = Path("/tmp") / f"tp-{secrets.token_hex(4)}"
    short.mkdir(mode=0o700)
    try:
        yield short
    finally:
        shutil.rmtree(short, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()
