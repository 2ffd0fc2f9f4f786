"""Comparison of IAM policy documents by meaning instead of by text."""

import json
from typing import Any

_LISTS = frozenset({"Action", "NotAction", "Resource", "NotResource"})


def canonical_policy(text: str) -> Any:
    """Return a form of a policy document that is equal for documents which mean the same.

    AWS may answer with other spacing, order of keys and statements, one-item lists as single values
    and an account id for its root principal. Text that is not a JSON object is returned as is.
    """
    try:
        document = json.loads(text)
    except ValueError:
        return text
    if not isinstance(document, dict):
        return document
    statements = document.get("Statement", [])
    canonical = {key: value for key, value in document.items() if key != "Statement"}
    canonical["Statement"] = _sorted(
        [
            _statement(item)
            for item in (statements if isinstance(statements, list) else [statements])
        ]
    )
    return canonical


def _statement(statement: Any) -> Any:
    if not isinstance(statement, dict):
        return statement
    canonical: dict[str, Any] = {}
    for key, value in statement.items():
        if key in _LISTS:
            canonical[key] = _texts(value)
        elif key in {"Principal", "NotPrincipal"}:
            canonical[key] = _principal(value)
        elif key == "Condition" and isinstance(value, dict):
            canonical[key] = {
                operator: {name: _texts(wanted) for name, wanted in sorted(tests.items())}
                for operator, tests in sorted(value.items())
                if isinstance(tests, dict)
            }
        else:
            canonical[key] = value
    return canonical


def _principal(value: Any) -> Any:
    if value == "*":
        return {"AWS": ["*"]}
    if not isinstance(value, dict):
        return value
    return {
        kind: sorted(_account(name) if kind == "AWS" else name for name in _texts(names))
        for kind, names in value.items()
    }


def _account(name: str) -> str:
    parts = name.split(":")
    return parts[4] if len(parts) == 6 and parts[2] == "iam" and parts[5] == "root" else name


def _texts(value: Any) -> list[str]:
    items = value if isinstance(value, list) else [value]
    return sorted(json.dumps(item) if isinstance(item, bool) else str(item) for item in items)


def _sorted(items: list[Any]) -> list[Any]:
    return sorted(items, key=lambda item: json.dumps(item, sort_keys=True, default=str))
