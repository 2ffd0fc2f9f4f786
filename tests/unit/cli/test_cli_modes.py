"""The mode of a tenant at a terminal: confirmed, raised, followed, withdrawn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from control_plane.cli.errors import HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from control_plane.domain.handover import manifest_digest
from tests.unit.cli.terminal import Terminal
from tests.workflows.handed import Handed
from tests.workflows.raised import PETRA, Raised
from tests.workflows.removed import follow

ADMIN, ARCHITECT, OPS = Role.PLATFORM_ADMIN, Role.SOLUTIONS_ARCHITECT, Role.OPS_APPROVER
REASON = ("--reason", "the customer grows")
RAISE = ("--change", "b", "--amendment", "AM-7", *REASON)


@pytest.fixture
def slug(tenantctl: Terminal) -> str:
    """A ready Mode A tenant with data."""
    return Raised(tenantctl.world).tenant().slug


def test_the_mode_is_confirmed(tenantctl: Terminal, slug: str) -> None:
    mode = ("tenant", "mode", slug)
    shown = tenantctl("tenant", "show", slug, "--json", who=ARCHITECT).json
    assert "mode" in shown["allowed_actions"]
    tenantctl(*mode, who=OPS, code=HIDDEN)  # there was no change of it
    tenantctl(*mode, "--confirm", who=ARCHITECT, code=USAGE)
    confirmed = tenantctl(*mode, "--confirm", *REASON, "--json", who=ARCHITECT).json
    assert (confirmed["way"], confirmed["mode"], confirmed["saga_id"]) == ("confirm", "A", None)
    refused = tenantctl(*mode, *RAISE, who=ARCHITECT, code=REFUSED)
    assert "--upgrade" in refused.err


def test_an_upgrade_is_shown_before_while_and_after_it_is_done(
    tenantctl: Terminal, slug: str
) -> None:
    mode = ("tenant", "mode", slug)
    dry = tenantctl(*mode, *RAISE, "--upgrade", "--dry-run", who=ARCHITECT).out
    assert "Denies the application every write" in dry
    assert not tenantctl.world.rows("saga")
    asked = tenantctl(*mode, *RAISE, "--upgrade", who=ARCHITECT).out
    assert re.search(r"way +upgrade", asked)
    assert f"tenantctl tenant mode {slug}" in asked
    follow(tenantctl.world)
    shown = tenantctl(*mode, who=OPS).out
    assert re.search(r"step +build", shown)
    assert "step 4 of 15" in shown
    assert "tenantctl saga withdraw" in shown
    found = tenantctl(*mode, "--json", who=OPS).json
    assert {each["kind"]: (each["count"], each["of"]) for each in found["moved"]} == {
        "object": (0, 2), "item": (0, 1), "secret": (0, 1), "parameter": (0, 1)
    }  # fmt: skip
    (run,) = [step["run_id"] for step in found["steps"] if step["name"] == "build"]
    tenantctl.world.approve(run, PETRA)
    follow(tenantctl.world)
    found = tenantctl(*mode, "--json", who=OPS).json
    assert (found["step"], found["mode"]) == ("keep", "B")
    assert all(each["count"] == each["of"] for each in found["moved"])
    assert re.search(r"frozen_seconds +\d", tenantctl(*mode, who=OPS).out)
    tenantctl("saga", "withdraw", found["id"], *REASON, who=OPS, code=REFUSED)


def test_an_upgrade_is_withdrawn(tenantctl: Terminal, slug: str) -> None:
    mode = ("tenant", "mode", slug)
    saga = tenantctl(*mode, *RAISE, "--upgrade", "--json", who=ARCHITECT).json["saga_id"]
    follow(tenantctl.world)
    tenantctl("saga", "withdraw", saga, *REASON, who=OPS)
    follow(tenantctl.world)
    assert tenantctl(*mode, "--json", who=OPS).json["status"] == "undone"
    assert tenantctl("tenant", "show", slug, "--json", who=OPS).json["mode"] == "A"


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--change", "D", *REASON), USAGE, "change_to"),
        (("--change", "A", *REASON), REFUSED, "mode A"),
        (("--change", "C", *REASON), USAGE, "amendment"),
        (("--change", "B", *REASON), USAGE, "amendment"),
        (("--change", "B", "--confirm", *REASON), USAGE, "either"),
        ((*RAISE, "--keep-days", "91"), USAGE, "keep_days"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    tenantctl: Terminal, slug: str, more: tuple[str, ...], code: int, says: str
) -> None:
    refused = tenantctl("tenant", "mode", slug, *more, who=ARCHITECT, code=code)
    assert says in refused.err
    tenantctl("tenant", "mode", slug, "--confirm", *REASON, who=OPS, code=HIDDEN)


def test_a_hand_over_says_on_whom_it_waits_and_takes_what_people_say(tenantctl: Terminal) -> None:
    handed = Handed(tenantctl.world, "B")
    key = handed.tenant_id
    mode = ("tenant", "mode", key)
    asked = tenantctl(
        *mode, "--change", "c", "--amendment", "AM-9", *REASON, "--json", who=ARCHITECT
    ).json
    assert (asked["way"], asked["mode"]) == ("handover", "C")
    handed.go(until="apply")
    found = tenantctl(*mode, "--json", who=OPS).json
    assert (found["step"], found["waiting_on"]) == ("apply", "customer")
    handed.go(until="first_copy")
    shown = tenantctl(*mode, who=OPS).out
    assert f"to continue: tenantctl tenant first-copy {key} --reason" in shown
    assert re.search(r"waiting_on +ops", shown)
    tenantctl("tenant", "first-copy", key, *REASON, who=OPS)
    handed.go(until="dump")
    dump = "sha256:" + "d" * 64
    tenantctl("tenant", "record-dump", key, "--digest", "x", *REASON, who=OPS, code=USAGE)
    tenantctl("tenant", "record-dump", key, "--digest", dump, *REASON, who=OPS)
    handed.go(until="import")
    file = str(handed.world.folder / "m.json")
    tenantctl("tenant", "handover-manifest", key, "--file", file, who=OPS)
    assert manifest_digest(Path(file).read_bytes()) == handed.report()["manifest_digest"]
    assert Path(f"{file}.minisig").read_text("utf-8")
    assert "# Hand-over of the data of" in Path(file).with_name("HANDOVER.md").read_text("utf-8")
    wrong = tenantctl.file(handed.report(tenant="somebody-else"), "wrong.json")
    refused = tenantctl("tenant", "import-report", key, wrong, who=ARCHITECT, code=REFUSED)
    assert "tenant must be" in refused.err
    right = tenantctl.file(handed.report(), "right.json")
    tenantctl("tenant", "import-report", key, right, who=ARCHITECT)
    handed.go(until="keep")
    assert tenantctl(*mode, "--json", who=OPS).json["mode"] == "C"
    outputs = tenantctl("tenant", "outputs", key, "--json", who=OPS).json
    assert [each["position"] for each in outputs] == ["current", "former"]
    refused = tenantctl("tenant", "check-drift", key, who=OPS, code=REFUSED)
    assert "the customer looks, with `terraform plan`" in refused.err
