"""``tenantctl tenant onboarding``, over the API in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from control_plane.cli.errors import HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from tests.onboarding_answers import answers_to
from tests.unit.cli.helped import flags_of
from tests.unit.cli.terminal import Terminal
from tests.workflows.onboarded import Walk

ARCHITECT, AUDITOR = Role.SOLUTIONS_ARCHITECT, Role.AUDITOR
STEP = "verify_identity"


@pytest.fixture
def walk(tenantctl: Terminal) -> Walk:
    walk = Walk(tenantctl.world)
    walk.holder.signed_in()
    return walk


def test_the_commands_say_what_they_take() -> None:
    assert flags_of("tenant", "onboarding", "save") >= {"--answers", "--version", "--json"}
    assert flags_of("tenant", "onboarding", "reopen") >= {"--reason", "--reset", "--json"}


def test_a_step_is_saved_completed_shown_and_opened_again(
    tenantctl: Terminal, walk: Walk, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text(json.dumps({**answers_to(STEP, company=walk.company), "terms": False}))
    steps = ("tenant", "onboarding")
    saved = tenantctl(*steps, "save", walk.tenant_id, STEP, "--answers", str(answers),
                      who=ARCHITECT).out  # fmt: skip
    assert "This has to be confirmed." in saved
    tenantctl(*steps, "complete", walk.tenant_id, STEP, who=ARCHITECT, code=USAGE)
    answers.write_text(json.dumps(answers_to(STEP, company=walk.company)))
    tenantctl(*steps, "save", walk.tenant_id, STEP, "--answers", str(answers), who=ARCHITECT)
    done = tenantctl(*steps, "complete", walk.tenant_id, STEP, "--json", who=ARCHITECT).json
    assert (done["status"], done["version"], done["allowed_actions"]) == ("complete", 3, ["reopen"])
    assert [each["number"] for each in done["versions"]] == [1, 2, 3]
    assert done["answers_schema"]["additionalProperties"] is False
    listed = tenantctl(*steps, "show", walk.tenant_id, who=ARCHITECT).out
    assert "complete" in listed.splitlines()[1]
    again = tenantctl(*steps, "reopen", walk.tenant_id, STEP, "--reason", "left", who=ARCHITECT)
    assert "reopened" in again.out
    shown = tenantctl(*steps, "show", walk.tenant_id, "--json", who=ARCHITECT).json
    assert [each["status"] for each in shown["items"]] == ["reopened"] + ["open"] * 9


def test_what_cannot_be_asked_is_refused(tenantctl: Terminal, walk: Walk, tmp_path: Path) -> None:
    answers = tmp_path / "answers.json"
    answers.write_text("{}")
    steps = ("tenant", "onboarding")
    save = (*steps, "save", walk.tenant_id)
    tenantctl(*save, "scim", "--answers", str(answers), who=ARCHITECT, code=REFUSED)
    tenantctl(*save, STEP, "--answers", str(answers), "--version", "4", who=ARCHITECT,
              code=REFUSED)  # fmt: skip
    tenantctl(*save, "nothing", "--answers", str(answers), who=ARCHITECT, code=HIDDEN)
    tenantctl(*save, STEP, "--answers", str(answers), who=AUDITOR, code=HIDDEN)
    tenantctl(*steps, "show", walk.tenant_id, who=AUDITOR, code=HIDDEN)
    answers.write_text(json.dumps({"email": "ida@rival.example.org"}))
    wrong = tenantctl(*save, STEP, "--answers", str(answers), who=ARCHITECT, code=USAGE)
    assert "cannot be taken" in wrong.err
    assert tenantctl.world.rows("onboarding_step") == {}
