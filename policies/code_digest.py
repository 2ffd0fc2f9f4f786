"""The digest of the rules by what they mean: a part of what an approval binds."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path


def rules_code_digest(root: Path = Path(__file__).parent) -> str:
    """Return ``sha256:<hex>`` over every Python file below ``root``, by path and meaning.

    Comments, docstrings and the layout of the code are left out: a reworded one must not
    invalidate every approval that waits. Names, constants and messages count.
    """
    total = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        meaning = hashlib.sha256(_meaning(file.read_bytes()).encode()).hexdigest()
        total.update(f"{file.relative_to(root).as_posix()} {meaning}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _meaning(source: bytes) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [each for each in node.body if not _is_text(each)] or [ast.Pass()]
    return ast.dump(tree)


def _is_text(node: ast.stmt) -> bool:
    """Tell whether a statement is a text alone, which does nothing: a docstring, usually."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
