from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from policies.catalog import CATALOG, KIND_OF_TOKEN


def sdk_file(token: str) -> Path:
    """Return the SDK's file of a type; the SDK itself takes seconds to import."""
    spec = importlib.util.find_spec("pulumi_aws")
    assert spec is not None
    assert spec.origin is not None
    module, _, name = re.split("[:/]", token)[1:]
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    return Path(spec.origin).parent / module / f"{snake}.py"


@pytest.mark.parametrize("kind", sorted(CATALOG))
def test_token_and_taggable_agree_with_the_sdk(kind):
    facts = CATALOG[kind]
    text = sdk_file(facts.token).read_text(encoding="utf-8")
    assert f"'{facts.token}'" in text
    assert ("def tags(" in text) is facts.taggable


@pytest.mark.parametrize("kind", sorted(CATALOG))
def test_the_inputs_that_the_catalog_names_exist_in_the_sdk(kind):
    facts = CATALOG[kind]
    text = sdk_file(facts.token).read_text(encoding="utf-8")
    backwards = {terraform: pulumi for pulumi, terraform in facts.renames.items()}
    for name in (*facts.names, *facts.buckets, *(p.partition(".")[0] for p in facts.policies)):
        assert f"def {backwards.get(name, name)}(self)" in text, name
    for pulumi in facts.renames:
        assert f"def {pulumi}(self)" in text, pulumi


def test_every_type_has_one_token():
    assert len(KIND_OF_TOKEN) == len(CATALOG)
