"""The approval rules document: what is wrong in it is refused where it stands, and says why."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from control_plane.adapters.rules.loader import load_rules
from control_plane.domain.errors import SettingInvalid
from tests.world import SOURCE


def office(**changes: object) -> str:
    """Return a section of windows with one of them, in JSON, which is YAML."""
    window = {"weekdays": ["mon"], "from": "09:00", "to": "16:00", "time_zone": "UTC", **changes}
    return f"windows: {json.dumps({'office': window})}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(SOURCE / "rules", tmp_path / "rules")
    return tmp_path / "rules"


def change(folder: Path, old: str, new: str) -> list[str]:
    """Replace a text of the document once; returns its lines."""
    file = folder / "approval_rules.yaml"
    text = file.read_text("utf-8")
    assert old in text
    text = text.replace(old, new, 1)
    file.write_text(text, encoding="utf-8")
    return text.splitlines()


NO_WINDOW = "windows: {}"
DESTROY = "    runs: [destroy]\n    decisions: 2"
SHARED = "    roles: [{}]\n    because: A shared"
WRONG = [
    ("risks: [irreversible,", "risks: [irreversable,", "rules.2.risks.0",
     "did you mean 'irreversible'?"),
    ("roles: [ops_approver]", "roles: [ops_aprover]", "rules.0.roles.0",
     "did you mean 'ops_approver'?"),
    (DESTROY, DESTROY.replace("2", "1"), "rules.3.decisions", "a destroy needs 2 people at least"),
    (DESTROY, "    runs: [destroy]", "rules.3.runs", "asks for 1"),
    ("runs: [update]", "runs: [destroy]", "harmless.0.runs", "never harmless"),
    ("types: [aws_vpc,", "types: [aws_vcp,", "types.0", "did you mean 'aws_vpc'?"),
    (NO_WINDOW, office(time_zone="Europe/Roma"), "windows.office.time_zone", "'Europe/Rome'?"),
    (NO_WINDOW, office(to="09:00"), "windows.office.to", "must not end when it begins"),
    (NO_WINDOW, office(to="24:00"), "windows.office.to", "24:00"),
    (NO_WINDOW, office(weekdays=["monday"]), "weekdays.0", "did you mean 'mon'?"),
    (NO_WINDOW, office(blackouts=[{"from": "2026-12-24", "to": "2026-12-23"}]), "blackouts.0.to",
     "is before"),
    ("    because: Operations", "    window: ofice\n    because: Operations", "rules.0.window",
     "there is no window 'ofice'"),
    (SHARED.format("ops_approver"), SHARED.format("platform_admin"), "rules.2.roles",
     "no role may decide by all the rules that fit together: hub, risky"),
    ("  - id: dedicated", "  - id: tags-only", "rules.0.id", "tags-only is the id of another rule"),
    ('db.t4g.micro: "0.016"', "db.t4g.micro: 0.016", "instance_classes.db", "0.016"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "where", "what"), WRONG)
def test_what_is_wrong_is_refused_with_line_reason_and_nearest_name(
    folder: Path, old: str, new: str, where: str, what: str
) -> None:
    lines = change(folder, old, new)
    with pytest.raises(SettingInvalid) as caught:
        load_rules(folder)
    message = caught.value.message
    assert where in message
    assert what in message
    found = re.search(r"\(line (\d+)\)", message)
    assert found is not None, message
    line = lines[int(found[1]) - 1]
    assert any(word in line for word in re.findall(r"[\w./-]{3,}", new)), line


def test_a_near_window_is_named_and_one_for_nobody_is_refused(folder: Path) -> None:
    change(folder, NO_WINDOW, office())
    change(folder, "    because: Operations", "    window: ofice\n    because: Operations")
    with pytest.raises(SettingInvalid, match="did you mean 'office'"):
        load_rules(folder)
    change(folder, "    window: ofice\n", "    decisions: 0\n    window: office\n")
    with pytest.raises(SettingInvalid, match=r"rules\.0\.window.*asks for none"):
        load_rules(folder)
    change(folder, "    decisions: 0\n    window: office\n", "    window: office\n")
    assert load_rules(folder).approvals.rules[0].window == "office"


def test_a_document_of_the_release_before_is_refused(folder: Path) -> None:
    change(folder, "    risks: [", "    irreversible_only: true\n    risks: [")
    with pytest.raises(SettingInvalid, match="irreversible_only"):
        load_rules(folder)
