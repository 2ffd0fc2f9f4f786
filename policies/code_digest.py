"""The digest of the rules as they are written: a part of what an approval binds."""

from __future__ import annotations

import hashlib
from pathlib import Path


def rules_code_digest() -> str:
    """Return ``sha256:<hex>`` over every Python file of this package, by path and content."""
    root = Path(__file__).parent
    total = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        total.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())
    return f"sha256:{total.hexdigest()}"
