"""Build witnesses by other authors, to try ours against: ``python -m tools.witness_software``.

``litewitness`` of filippo.io/torchwood and ``omniwitness`` of github.com/transparency-dev/witness
are built with Go from the modules that ``tools/witnesses`` pins, once, into
``var/witness-software``. No installation needs them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from control_plane.adapters.pulumi.build import BuildFailed, GoProgram, build_program, find_go

_ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = _ROOT / "var" / "witness-software"
_MODULES: Final = _ROOT / "tools" / "witnesses"
_PACKAGES: Final = {
    "litewitness": ("litewitness", "filippo.io/torchwood/cmd/litewitness"),
    "witnessctl": ("litewitness", "filippo.io/torchwood/cmd/witnessctl"),
    "omniwitness": ("omniwitness", "github.com/transparency-dev/witness/cmd/omniwitness"),
}


def ensure(
    report: Callable[[str], None],
    folder: Path = FOLDER,
    environ: Mapping[str, str] = os.environ,
) -> dict[str, Path]:
    """Return the programs by name, built where they are missing; one process builds at a time.

    A folder belongs to one content of the pins. Raises ``BuildFailed``: Go is missing, or cannot
    get the modules or build them.
    """
    found: dict[str, Path] = {}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, (module, package) in _PACKAGES.items():
            found[name] = path = folder / _pins(_MODULES / module) / name
            if path.exists():
                continue
            path.parent.mkdir(exist_ok=True)
            report(f"building {name}")
            draft = path.with_name(f".{name}")
            build_program(
                GoProgram(
                    module=_MODULES / module, package=package, version_symbol="main.version"
                ),
                version="pinned", go=find_go(environ.get("PATH")), output=draft,
                environ=environ, modules=folder / "go", report=lambda _: None,
            )  # fmt: skip
            draft.replace(path)
    return found


def _pins(module: Path) -> str:
    content = b"".join((module / name).read_bytes() for name in ("go.mod", "go.sum"))
    return hashlib.sha256(content).hexdigest()[:16]


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def main() -> int:
    """Build and print the paths."""
    try:
        found = ensure(_say)
    except BuildFailed as error:
        sys.stderr.write(f"the witnesses cannot be built: {error}\n")
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in found.values()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
