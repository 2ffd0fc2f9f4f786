"""The team document: what means nothing is refused with its line, a reason and a near name."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.errors import SettingInvalid

FOLDER = Path(__file__).parents[2] / "rules"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(FOLDER, tmp_path / "rules")
    return tmp_path / "rules"


@pytest.mark.parametrize(("old", "new", "reason"), [
    ("    segments: [standard]\n", "    segments: [standart]\n", "did you mean 'standard'?"),
    ("    queue_owners: {solutions_engineer: lead-2}",
     "    queue_owners: {solutions_engineer: led-2}",
     "unknown person 'led-2'; did you mean 'lead-2'?"),
    ("    queue_owners: {solutions_engineer: lead-2}", "    queue_owners: {}",
     "needs an owner of its queue"),
    ("    roles: [solutions_engineer]\n    queue_owners", "    roles: []\n    queue_owners",
     "is not among the roles of the segment"),
    ("    when: {subscriptions: [lite]}\n", "", "those after this one fit nobody"),
    ("  - key: standard\n", "  - key: standard\n    when: {strategic: false}\n",
     "the last segment has no condition"),
    ("  - key: standard\n", "  - key: lite\n", "lite is there twice"),
    ("subscriptions: [lite]", "subscriptions: [light]", "did you mean 'lite'?"),
    ("    time_zone: Europe/Berlin\n", "    time_zone: Europe/Berlim\n",
     "did you mean 'Europe/Berlin'?"),
    ('    country: "DE"\n', '    country: "UK"\n', "did you mean 'GB'?"),
    ('    country: "US"\n', '    country: "US"\n    subdivision: "XX"\n',
     "unknown subdivision 'XX' of US"),
    ('    to: "17:30"\n', '    to: "08:00"\n', "is not after 08:30"),
    ('{from: "2026-12-21", to: "2027-01-06"}', '{from: "2026-12-21", to: "2026-12-20"}',
     "2026-12-20 is before 2026-12-21"),
    ("  - key: csm-2\n", "  - key: csm-1\n", "csm-1 is there twice"),
    ("    email: conrad@team.example.com", "    email: carla@team.example.com", "is there twice"),
    ("    email: conrad@team.example.com", "    email: conrad", "must be an e-mail address"),
    ("most_sponsored: 3", "most_sponsored: 4", "4 is greater than the maximum of 3"),
    ("levels: [3, 7]", "levels: [7, 3]", "needs more points than that before"),
    ("    roles: [csm]\n", "    roles: [cms]\n", "did you mean 'csm'?"),
])  # fmt: skip
def test_what_means_nothing_is_refused_with_its_place(
    folder: Path, old: str, new: str, reason: str
) -> None:
    file = folder / "team.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(SettingInvalid) as refused:
        load_rules(folder)
    assert reason in refused.value.message
    assert "team.yaml is invalid at" in refused.value.message
    assert "(line " in refused.value.message


def test_people_in_the_shipped_document_are_invented(folder: Path) -> None:
    for person in load_rules(folder).team.people:
        assert person.email.endswith(".example.com")
        assert person.name.split()[0].casefold() not in person.key


def test_nobody_is_named_where_rules_are_printed(folder: Path) -> None:
    shown = repr(load_rules(folder).team.people)
    assert "Carla" not in shown
    assert "carla@" not in shown
