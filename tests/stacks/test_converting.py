"""A state that an earlier release left in the engine's own layout is taken over."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from psycopg.sql import SQL, Identifier

from control_plane.adapters.pulumi.converting import converted
from control_plane.domain.errors import EngineFailed
from stacks.engine.sdk import VERSION
from stacks.engine.stores import BucketStore, FolderStore, store_for
from stacks.engine.values import SECRET, SIGNATURE
from tests.stacks.runner_calls import PASSPHRASE, ROOT, Desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

SECRET_OUTPUT = "hunter2hunter2"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@pytest.fixture
def stored(make_desk: Callable[..., Desk], store_url: str) -> Desk:
    """A desk whose state lies in each kind of store."""
    return make_desk(stack=f"acme-{os.urandom(3).hex()}.production.a", backend_url=store_url)


def old_state(desk: Desk, folder: Path) -> None:
    """Make a stack with a secret as earlier releases had the engine make it."""
    environ = {
        "PATH": os.environ["PATH"], "HOME": str(folder), "PULUMI_HOME": str(folder / "home"),
        "PULUMI_BACKEND_URL": url_of(desk), "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true", **CREDENTIALS,
    }  # fmt: skip
    stack = {
        "urn": f"urn:pulumi:{desk.stack}::tenantplane::pulumi:pulumi:Stack::tenantplane-acme",
        "custom": False,
        "type": "pulumi:pulumi:Stack",
        "outputs": {
            "region": "eu-west-1",
            "token": {SIGNATURE: SECRET, "plaintext": json.dumps(SECRET_OUTPUT)},
        },
    }
    manifest = {"time": "2026-11-20T08:00:00Z", "version": f"v{VERSION}",
                "magic": hashlib.sha256(f"v{VERSION}".encode()).hexdigest()}  # fmt: skip
    if url_of(desk).startswith("file://"):
        Path(url_of(desk).removeprefix("file://")).mkdir(exist_ok=True)
    work = folder / "work"
    work.mkdir()
    (work / "Pulumi.yaml").write_text("name: tenantplane\nruntime: python\n")

    def pulumi(*arguments: str, given: str = "") -> None:
        command = [
            str(desk.cli),
            "--non-interactive",
            *arguments,
            "--stack",
            f"organization/tenantplane/{desk.stack}",
        ]
        subprocess.run(command, cwd=work, env=environ, input=given, text=True, check=True)

    pulumi("stack", "init", "--secrets-provider", "passphrase")
    settings = yaml.safe_load((work / f"Pulumi.{desk.stack}.yaml").read_text())
    sealed = {"type": "passphrase", "state": {"salt": settings["encryptionsalt"]}}
    deployment = {"manifest": manifest, "secrets_providers": sealed, "resources": [stack]}
    pulumi("stack", "import", given=json.dumps({"version": 3, "deployment": deployment}))
    assert SECRET_OUTPUT not in repr(everything_in(url_of(desk)))


def url_of(desk: Desk) -> str:
    return desk.backend_url or f"file://{desk.backend}"


def everything_in(url: str) -> dict[str, bytes]:
    """Return all that is in a store by name: files and folders, objects, tables and their rows."""
    store = store_for(url)
    if isinstance(store, FolderStore):
        found = sorted(store.root.parent.rglob("*"))
        found = [p for p in found if p == store.root or store.root in p.parents]
        return {str(p): p.read_bytes() if p.is_file() else b"" for p in found}
    if isinstance(store, BucketStore):
        bucket = {"Bucket": store.bucket}
        keys = [each["Key"] for each in store.client.list_objects_v2(**bucket).get("Contents", ())]
        return {key: store.client.get_object(**bucket, Key=key)["Body"].read() for key in keys}
    with psycopg.connect(url, sslmode="prefer") as connection:
        tables = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
        )
        named = {str(name): b"" for (name,) in tables}
        for table in named.keys() & {"pulumi_state", "stack_record"}:
            rows = connection.execute(SQL("SELECT t::text FROM {} t").format(Identifier(table)))
            named[table] = repr(sorted(rows.fetchall())).encode()
        return named


def order_for(desk: Desk, **changes: Any) -> dict[str, Any]:
    return {
        "call_id": "", "stack": desk.stack, "backend_url": url_of(desk),
        "endpoint": None, "engine": f"v{VERSION}", "passphrase": PASSPHRASE, **changes,
    }  # fmt: skip


def convert(desk: Desk, **changes: Any) -> int | None:
    environ = {"PATH": os.environ["PATH"], "HOME": str(desk.root), **CREDENTIALS}
    return converted(order_for(desk, **changes), cli=desk.cli, source=ROOT, environment=environ)


def test_where_there_is_no_old_state_nothing_is_left(stored: Desk) -> None:
    before = everything_in(url_of(stored))
    assert convert(stored) is None
    assert everything_in(url_of(stored)) == before


def test_an_old_state_is_taken_over_once_with_its_secrets(stored: Desk, tmp_path: Path) -> None:
    old_state(stored, tmp_path)
    before = everything_in(url_of(stored))
    absent = replace(stored, stack="acme-0.production.a")
    assert convert(absent) is None
    assert everything_in(url_of(stored)) == before
    assert convert(stored) == 1
    state = stored.state()
    token = state["resources"][0]["outputs"]["token"]
    assert stored.sealer.decrypt(token["ciphertext"]) == json.dumps(SECRET_OUTPUT).encode()
    after = everything_in(url_of(stored))
    assert SECRET_OUTPUT not in repr(after)
    added = after.keys() - before.keys()
    assert [name for name in added if not re.search("/stacks|^stack_record", name)] == []
    assert [name for name in added if ".pulumi" in name] == []
    assert [name for name in before if name != "stack_record" and after[name] != before[name]] == []
    seen = stored.result("inspect")
    assert (seen["locks"], seen["pending"], seen["written_by"]) == ([], [], "converted")
    assert convert(stored) is None  # it has a state of this release
    assert everything_in(url_of(stored)) == after
    assert stored.state() == state


def test_an_old_state_is_not_taken_over_with_another_key(desk: Desk, tmp_path: Path) -> None:
    old_state(desk, tmp_path)
    with pytest.raises(EngineFailed, match="cannot be exported"):
        convert(desk, passphrase="quite another passphrase")
    assert desk.stored.state() is None
