"""As whom the server runs: PostgreSQL refuses root, and root is what containers often give us."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from control_plane.domain.errors import Unavailable

ORDINARY: Final = "self"
_LAUNCH: Final = Path(__file__).with_name("launch.py")
_PROBE_SECONDS: Final = 20.0


def launch_command(
    identity: str, folder: Path, program: Path, arguments: Sequence[str]
) -> list[str]:
    """Return the command that runs ``program`` in ``folder`` as ``identity``, tied to us."""
    return [
        sys.executable, "-I", "-S", str(_LAUNCH),
        identity, str(os.getpid()), str(folder), str(program), *arguments,
    ]  # fmt: skip


def choose_identity(folder: Path, program: Path, wanted: Sequence[str] = ()) -> str:
    """Return the first identity under which ``program`` runs with ``folder`` as its own.

    An ordinary user is ``self``. Root tries a user namespace, then the user nobody, then nobody
    with the capability to pass through folders of others; ``wanted`` limits the kinds. Ownership
    of ``folder`` and what is in it follows. Raises ``Unavailable`` with what to do.
    """
    if os.geteuid() != 0:
        if folder.stat().st_uid != os.geteuid():
            raise Unavailable(
                "the data folder belongs to another user: start as that user, take the "
                "folder over with chown -R, or choose another folder"
            )
        return ORDINARY
    refusals: list[str] = []
    for identity, own in _candidates():
        if wanted and identity.partition(":")[0] not in wanted:
            continue
        own(folder)
        refusal = _probe(identity, folder, program)
        if refusal is None:
            return identity
        refusals.append(refusal)
    raise Unavailable(
        "PostgreSQL does not run as root, and this system lets root neither enter a user namespace"
        " nor become the user nobody: start as an ordinary user, or set"
        " TENANTPLANE_DATABASE_URL and the other three TENANTPLANE_DATABASE_…_URL",
        tried=refusals,
    )


def environment(folder: Path) -> dict[str, str]:
    """Return the server's whole environment: nothing of ours, least of all credentials."""
    return {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "LC_ALL": "C.UTF-8" if sys.platform == "linux" else "C",
        "TZ": "UTC",
    }


def _candidates() -> Iterator[tuple[str, Callable[[Path], None]]]:
    others = sorted({entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid != 0})
    if sys.platform == "linux" and others:
        # inside the namespace initdb looks up its user's name, so the number must have one
        yield f"namespace:{others[0]}", lambda folder: _give(folder, 0, 0)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return
    uid, gid = nobody.pw_uid, nobody.pw_gid
    yield f"user:{uid}:{gid}", lambda folder: _give(folder, uid, gid)
    if sys.platform == "linux":
        yield f"reaching:{uid}:{gid}", lambda folder: _give(folder, uid, gid)


def _give(folder: Path, uid: int, gid: int) -> None:
    """Make ``uid`` the owner of a folder and all in it, where it is not already."""
    for path in (folder, *folder.rglob("*")):
        status = path.lstat()
        if (status.st_uid, status.st_gid) != (uid, gid):
            os.lchown(path, uid, gid)


def _probe(identity: str, folder: Path, program: Path) -> str | None:
    """Return why ``program`` cannot run as ``identity`` in ``folder``, or None."""
    done = subprocess.run(
        launch_command(identity, folder, program, ["--version"]),
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PROBE_SECONDS,
        check=False,
    )
    return None if done.returncode == 0 else (done.stderr.strip() or f"exit {done.returncode}")
