"""Dossiers of a test's logs, and the offline verifier on them."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from control_plane.adapters.audit import reading
from control_plane.adapters.audit.dossier import Extras, Written, gathered, write_dossier
from control_plane.domain.deployment import PLATFORM, ROOT
from tests.integration.audit_world import ACME, HOST, World

VERIFIER = Path(reading.__file__).parent / "offline" / "audit-verify.py"


def load_verifier() -> Any:
    spec = importlib.util.spec_from_file_location("audit_verify", VERIFIER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VERIFY = load_verifier()


def export(world: World, path: Path, tree: str = ACME, extras: Extras | None = None) -> Written:
    """Write the dossier of a log as the API does."""
    options = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
    with (
        world.auditor.connect().execution_options(**options) as connection,
        connection.begin(),
        path.open("wb") as file,
    ):
        reading.limit_to(connection, [tree, PLATFORM, ROOT])
        extras = extras or gathered(connection, tree)
        return write_dossier(
            connection,
            file,
            tree,
            host=HOST,
            now=datetime.now(UTC),
            extras=extras,
        )


def rewritten(path: Path, changed: Mapping[str, bytes]) -> Path:
    """Return a dossier with other files, and a manifest that fits them."""
    with ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()} | changed
    manifest = json.loads(files["MANIFEST.json"])
    manifest["files"] = {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in files.items() if name != "MANIFEST.json"
    }  # fmt: skip
    manifest.pop("sha256")
    digest = hashlib.sha256(VERIFY.encode(manifest).encode()).hexdigest()
    files["MANIFEST.json"] = VERIFY.encode({**manifest, "sha256": digest}).encode()
    out = path.with_name(f"rewritten-{path.name}")
    with ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out


def verified(path: Path, *arguments: str) -> dict[str, Any]:
    """Run the verifier in this process and return its report; it never raises."""
    out = io.StringIO()
    out.reconfigure = lambda **_: None  # type: ignore[attr-defined]
    with redirect_stdout(out):
        code = VERIFY.main([str(path), "--json", *arguments])
    report: dict[str, Any] = json.loads(out.getvalue())
    assert report["exit_code"] == code
    return report


def run_alone(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the verifier as an auditor does: with nothing of the product in reach."""
    return subprocess.run(
        [sys.executable, "-I", str(VERIFIER), str(path), *arguments],
        capture_output=True, text=True, timeout=120, check=False, env={}, cwd="/",
    )  # fmt: skip
