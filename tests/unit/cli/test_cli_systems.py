"""`tenantctl systems` and `tenantctl keys system`, on a home of their own."""

from __future__ import annotations

import io
import json
import shutil
import sys
from pathlib import Path

import pytest

from control_plane.bootstrap import Parts
from control_plane.cli.app import invoke
from control_plane.config import Settings
from tests.systems.stub import served
from tests.systems.stub_slack import TOKEN, Slack

RULES = Path(__file__).parents[3] / "rules"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(RULES, tmp_path / "rules")
    monkeypatch.setenv("TENANTPLANE_RULES_FOLDER", str(tmp_path / "rules"))
    monkeypatch.setenv("TENANTPLANE_HOME", str(tmp_path / "home"))
    assert invoke(["keys", "create", "--json"]) == 0
    return tmp_path / "home"


def with_slack(home: Path, url: str) -> None:
    file = home.parent / "rules" / "systems.yaml"
    text = file.read_text("utf-8").replace(
        "\n  slack: {system: record}",
        f"\n  slack: {{system: slack, credential: slack, url: {url}/api}}",
    )
    file.write_text(text, encoding="utf-8")


def install(text: str, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    return invoke(["keys", "system", "slack", *options])


def test_each_port_is_listed_with_its_credential(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with_slack(home, "https://slack.com")
    capsys.readouterr()
    assert invoke(["systems", "list", "--json"]) == 0
    rows = {row["port"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == ["crm", "tickets", "mail", "slack", "teams"]
    assert rows["crm"]["where"] == str(home / "outside")
    assert (rows["slack"]["credential"], rows["slack"]["installed"]) == ("slack", False)
    assert rows["crm"]["installed"] is None
    assert install(f"{TOKEN}\n", monkeypatch) == 0
    capsys.readouterr()
    assert invoke(["systems", "list"]) == 0
    table = capsys.readouterr().out
    assert "yes" in table
    assert TOKEN not in table


@pytest.mark.requirement("W-010")
def test_a_check_asks_harmlessly_and_fails_with_its_reason(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with served(Slack()) as stub:
        with_slack(home, stub.url)
        assert invoke(["systems", "check", "slack"]) == 1
        assert "tenantctl keys system slack" in capsys.readouterr().out
        assert install("xoxb-other", monkeypatch) == 0
        assert invoke(["systems", "check", "slack", "--json"]) == 1
        assert install(TOKEN, monkeypatch) == 2, "one that is installed stays"
        assert "--replace" in capsys.readouterr().err
        assert install(TOKEN, monkeypatch, "--replace") == 0
        capsys.readouterr()
        assert invoke(["systems", "check", "--json"]) == 0
        rows = {row["port"]: row for row in json.loads(capsys.readouterr().out)}
        assert rows["slack"]["found"] == "the token is that of tenantplane in Vendor"
        assert {row["answer"] for row in rows.values()} == {"ok"}
        assert {each.path for each in stub.asked} == {"/api/auth.test"}


def test_an_unknown_port_is_a_fault_of_use(home: Path) -> None:
    assert invoke(["systems", "check", "fax"]) == 2


def test_readyz_names_what_is_missing_here(home: Path) -> None:
    with_slack(home, "https://slack.com")
    parts = Parts(Settings())
    assert parts.background["systems"]() == (
        "slack: slack needs the credential slack, which is not installed: run `tenantctl keys "
        "system slack`"
    )
