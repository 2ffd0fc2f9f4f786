"""`tenantctl template`: templates are checked and shown without an installation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from control_plane.cli.app import invoke
from control_plane.cli.messages import next_steps

RULES = Path(__file__).parents[3] / "rules"


def test_the_shipped_templates_are_valid(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["template", "check"]) == 0
    assert "templates of 10 events are valid, in de, en, it" in capsys.readouterr().out


def test_a_wrong_template_is_refused_with_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(RULES, tmp_path / "rules")
    file = tmp_path / "rules" / "templates" / "step.blocked.yaml"
    text = file.read_text("utf-8")
    file.write_text(text.replace("{{ missing }}", "{{ misssing }}", 1), encoding="utf-8")
    monkeypatch.setenv("TENANTPLANE_RULES_FOLDER", str(tmp_path / "rules"))
    assert invoke(["template", "check"]) == 2
    assert "(line 13): step.blocked has no 'misssing'; did you mean 'missing'?" in (
        capsys.readouterr().err
    )


def test_a_template_is_shown_in_a_language_and_mode(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["template", "show", "contract.signed", "it_admin", "--locale", "it", "--mode", "C"]
    assert invoke(command) == 0
    shown = capsys.readouterr().out
    assert "Subject: I primi passi con Tenantplane" in shown
    assert "7. Applicare il pacchetto" in shown
    assert invoke([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["template"] == "contract.signed/1"


def test_a_template_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["template", "show", "contract.signed", "auditor"]) != 0
    assert "no template of contract.signed for auditor in en" in capsys.readouterr().err


def test_what_may_be_done_with_a_message_is_said() -> None:
    found = {"id": "msg_1", "allowed_actions": ["preview", "send_again", "cancel"]}
    assert [line.partition("tenantctl ")[2].split()[:2] for line in next_steps(found)] == [
        ["message", "preview"], ["message", "send-again"], ["message", "cancel"],
    ]  # fmt: skip
