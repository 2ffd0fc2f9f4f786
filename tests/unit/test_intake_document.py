"""The intake document: what means nothing is refused with its line, a reason and a near name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.intake import REQUIRED, TARGETS

FOLDER = Path(__file__).parents[2] / "rules"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER, tmp_path / "rules")
    return tmp_path / "rules"


@pytest.mark.parametrize(("old", "new", "reason"), [
    ("      contract.seats:", "      contract.seat:", "did you mean 'contract.seats'?"),
    ("      company.country:", "      company.nation:", "is not a field of a request"),
    ("      contract.contract_id:", "      contract.envelope_id:", "is not a field of a request"),
    ("    kind: docusign\n", "    kind: docusing\n", "did you mean 'docusign'?"),
    ("envelope-voided: voided", "envelope-voided: void", "did you mean 'voided'?"),
    ("envelope-completed: signed", "envelope-completed: ignored", "no event means signed"),
    ("textCustomFields[name=Seats].value", "textCustomFields[name=Seats.value",
     "the path cannot be read from its character"),
    ("{Lite: lite, Standard: standard, Enterprise: enterprise}",
     "{Lite: lite, LITE: standard, Enterprise: enterprise}", "differ in upper and lower case"),
    ("{Lite: lite, Standard: standard, Enterprise: enterprise}", "{Lite: 1}", "is not a text"),
    ("      requirements.cloud: {default: aws}", "      requirements.cloud: {default: true}",
     "is not a text"),
    ("      requirements.cloud: {default: aws}", "      requirements.cloud: {}", "not valid"),
    ("      requirements.cloud: {default: aws}",
     "      requirements.cloud: {default: aws, values: {a: aws}}", "name `from` as well"),
    ("      requirements.cloud: {default: aws}",
     "      requirements.cloud: {default: aws, separator: ';'}", "only a list has a separator"),
    ("      requirements.cloud: {default: aws}",
     "      requirements.cloud: {default: aws, required: true}", "takes no default"),
    ("    keys: [docusign-1, docusign-2]", "    keys: []", "should be non-empty"),
    ("    keys: [docusign-1, docusign-2]", "    keys: [../../etc/passwd]", "does not match"),
    ("    accounts: []  #", "    # ", "name those that are yours"),
    ("    accounts: []  #", "    event: x\n    accounts: []  #", "is known of docusign"),
    ("    event: type\n", "", "needs `event`"),
    ("    envelope: data.document_id\n", "    envelope: data.document_id\n    accounts: [a]\n",
     "belong together"),
    ("    provider: signing", "    provider: '!'", "must be the name of the provider"),
    ("  signing:\n", "  Signing:\n", "does not match"),
    ("      company.country: {from: data.company.country}\n", "", "company.country is missing"),
    ("      company.country: {from: data.company.country}\n",
     "      company.country: {from: a}\n      company.country: {from: b}\n", "is duplicated"),
])  # fmt: skip
def test_what_means_nothing_is_refused_with_its_place(
    folder: Path, old: str, new: str, reason: str
) -> None:
    file = folder / "intake.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text, "the test would change nothing"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SettingInvalid) as refused:
        load_rules(folder)
    assert reason in refused.value.message
    assert "intake.yaml" in refused.value.message
    assert "line " in refused.value.message


def test_the_shipped_sources_map_fields_that_there_are() -> None:
    for source in load_rules(FOLDER).intake.sources.values():
        targets = [rule.target for rule in source.fields]
        assert REQUIRED <= set(targets) <= set(TARGETS)
