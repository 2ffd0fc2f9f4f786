"""Which files a program is made of, their digest, and the versions that run them."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

from stacks.engine.values import digest
from stacks.program import MODES

PROGRAM_MODULE = "stacks.program"
LOCK_FILE = "requirements.lock"

_ROOT = Path(__file__).resolve().parents[2]


def program_files(program: str, root: Path = _ROOT) -> list[Path]:
    """Return the source files of ``program``: those that its modules import under ``stacks``.

    Found by reading import statements, so it does not depend on what happens to be loaded. Data
    files beside a module that is used belong to it.
    """
    found: set[Path] = set()
    queue = [PROGRAM_MODULE, MODES[program]]
    while queue:
        path = _file_of(queue.pop(), root)
        if path is None or path in found:
            continue
        found.add(path)
        queue.extend(_imports(path))
    data = {
        file
        for folder in {path.parent for path in found}
        if folder != root / "stacks"
        for file in folder.iterdir()
        if file.is_file() and file.suffix not in (".py", ".pyc")
    }
    return sorted(found | data)


def program_digest(program: str, root: Path = _ROOT) -> str:
    """Return the digest of the program's files and of the lock of its dependencies."""
    files = [*program_files(program, root), root / LOCK_FILE]
    return digest(
        {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest()
         for f in files if f.is_file()}  # an installed package has no lock file
    )  # fmt: skip


def program_digest_of_nothing(program: str) -> str:
    """Return the digest in its place where nothing of a stack of ``program`` is to exist."""
    return digest({"desired": "absent", "program": program})


def versions(cli: str, provider: str) -> dict[str, str]:
    """Return the versions of engine, SDK and provider; ``provider`` says which one."""
    aws = importlib.metadata.version("pulumi_aws")
    return {
        "cli": cli,
        "sdk": importlib.metadata.version("pulumi"),
        "provider": f"aws {aws} ({provider})",
    }


def _file_of(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    for candidate in (base / "__init__.py", base.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


def _imports(path: Path) -> Iterator[str]:
    """Yield the modules under ``stacks`` that a file imports, with the packages above them."""
    tree = ast.parse(path.read_bytes(), filename=path.name)
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from package import module` and `from module import name` look alike
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] == "stacks":
                yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))
