"""The catalogue of audit events has no dead words: each action is recorded, each field written."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from control_plane.domain.audit_catalogue import _COMMON_DATA, ACTIONS

ROOT = Path(__file__).resolve().parents[2]
# events whose fields are put together in another module than the one that names the action
ELSEWHERE = {
    "approval.expired": "ending",
    "approval.superseded": "ending",
    "authn.failed": "permission",
    "authz.denied": "permission",
    "bundle.accepted": "recording",
    "bundle.build_requested": "recording",
    "bundle.built": "recording",
    "bundle.downloaded": "recording",
    "bundle.edited": "recording",
    "bundle.handed_over": "recording",
    "bundle.queued": "recording",
    "console.refused": "permission",
    "delivery.decided": "deliveries",
    "delivery.denied": "permission",
    "delivery.received": "deliveries",
    "delivery.replayed": "deliveries",
    "link.refused": "permission",
    "meeting.moved": "inviting",
    "onboarding.rejected": "permission",
    "onboarding.replay_rejected": "permission",
    "request.refused": "permission",
    "run.requested": "recording",
    "run.resumed": "settling",
    "run.retried": "moving",
    "run.unblocked": "moving",
    "task.reassigned": "tasks",
}


@dataclass(frozen=True)
class Module:
    """The texts in a module, and those of them that are keywords of calls or keys of mappings."""

    texts: frozenset[str]
    words: frozenset[str]


@cache
def modules() -> dict[Path, Module]:
    """Return the product's modules that may record; the catalogue is none of them."""
    return {
        file: _read(ast.parse(file.read_text(encoding="utf-8")))
        for part in ("control_plane", "api")
        for file in sorted((ROOT / part).rglob("*.py"))
        if file.name != "audit_catalogue.py"
    }


def _read(tree: ast.Module) -> Module:
    texts, words = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.add(node.value)
        elif isinstance(node, ast.keyword) and node.arg is not None:
            words.add(node.arg)
        elif isinstance(node, ast.Dict):
            words |= {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
            words.add(str(node.slice.value))
    return Module(frozenset(texts), frozenset(words))


@pytest.mark.parametrize("action", list(ACTIONS))
def test_every_action_is_recorded_and_every_field_of_it_written(action: str) -> None:
    naming = [module for module in modules().values() if action in module.texts]
    assert naming, "nobody records it"
    naming += [m for file, m in modules().items() if file.stem == ELSEWHERE.get(action)]
    written = frozenset[str]().union(*(module.words for module in naming))
    assert sorted(ACTIONS[action].data.keys() - _COMMON_DATA.keys() - written) == []


def test_common_fields_are_written_but_one() -> None:
    written = frozenset[str]().union(*(module.words for module in modules().values()))
    # it is in every schema, so that without it all of them would be others
    assert sorted(_COMMON_DATA.keys() - written) == ["duration_ms"]
