"""The digest of the rules by what they mean: a part of what an approval binds."""

from __future__ import annotations

import ast
import hashlib
import json
from pathlib import Path


def rules_code_digest(root: Path = Path(__file__).parent) -> str:
    """Return ``sha256:<hex>`` over every Python file below ``root``, by path and meaning.

    Comments, docstrings and the layout of the code are left out: a reworded one must not
    invalidate every approval that waits. Names, constants and messages count. The version of Python
    does not: two hosts may have different ones.
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
        elif isinstance(
            node, ast.JoinedStr
        ):  # Python 3.12.0 and 3.12.1 end some with an empty text
            node.values = [each for each in node.values if getattr(each, "value", None) != ""]
    return json.dumps(_plain(tree))


def _plain(node: object) -> object:
    """Return a syntax tree as lists and texts.

    ``ast.dump`` and ``ast.unparse`` write the same tree differently from one Python to the next.
    Empty fields are left out, since later Pythons have more of them; ``ascii`` does not depend on
    the version of Unicode, as ``repr`` does.
    """
    if isinstance(node, ast.AST):
        fields = ((name, getattr(node, name, None)) for name in node._fields)
        filled = [[name, _plain(value)] for name, value in fields if value not in (None, [])]
        return [type(node).__name__, *filled]
    if isinstance(node, list):
        return [_plain(each) for each in node]
    return ascii(node)


def _is_text(node: ast.stmt) -> bool:
    """Tell whether a statement is a text alone, which does nothing: a docstring, usually."""
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
