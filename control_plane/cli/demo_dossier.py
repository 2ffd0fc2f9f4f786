"""The end of the demo: a dossier, verified by its own verifier with the network off."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from control_plane.cli.client import Api
from control_plane.cli.telling import say


def export_and_verify(api: Api, tenant_id: str) -> list[str]:
    """Export the log of a tenant and verify the file alone; returns what is wrong."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dossier.zip"
        with file.open("wb") as opened:
            headers = api.save(f"/v1/audit/{tenant_id}/dossier", opened, lambda _: None)
        say(f"  {file.stat().st_size / 1000:.0f} kB, manifest {headers['X-Manifest-Digest']}")
        with zipfile.ZipFile(file) as archive:
            verifier = archive.extract("audit-verify.py", folder)
        alone = _without_network()
        say(f"  the network is {'off' if alone else 'on: this machine cannot turn it off'}")
        command = [*alone, sys.executable, "-I", verifier, str(file)]
        ended = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        for line in ended.stdout.splitlines():
            say(f"  {line}")
    return [] if ended.returncode == 0 else [f"the dossier of {tenant_id} does not verify"]


def _without_network() -> list[str]:
    """Return what starts a program without a network, where this machine can, or nothing."""
    unshare = shutil.which("unshare")
    if unshare is None:
        return []
    command = [unshare, "-rn"]
    tried = subprocess.run([*command, "true"], capture_output=True, check=False)
    return command if tried.returncode == 0 else []
