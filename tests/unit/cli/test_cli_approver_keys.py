"""Signing on the command line: keys of approvers, and decisions over the plan as it was fetched."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from control_plane.adapters.approvers import FileApprovers
from control_plane.cli.refusing import Refused
from control_plane.cli.signing import require_same_digest
from control_plane.domain.actor import Role
from control_plane.domain.sshsig import armored
from tests.approver_hands import ADA, BEN, HOST, OLGA, Hand
from tests.unit.cli.helped import flags_of
from tests.unit.cli.terminal import Terminal
from tests.workflows.deciding import Site

OPS, ADMIN = Role.OPS_APPROVER, Role.PLATFORM_ADMIN
HIDDEN, REFUSED, USAGE = 4, 3, 2
REASON = ("--reason", "read it")
pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed here, and signs"
)


@pytest.fixture
def mine(tmp_path: Path, tenantctl: Terminal) -> str:
    """The key file of whoever has the role ops_approver, whose clock the control plane has too."""
    passed = datetime.now(UTC) - tenantctl.world.clock.now()
    tenantctl.world.clock.advance(seconds=passed.total_seconds())
    return str(OLGA.write(tmp_path))


def enrolled(tenantctl: Terminal, mine: str) -> dict[str, Any]:
    """Let the approver's key be confirmed by an admin whose own is confirmed."""
    for hand in (ADA, BEN):
        hand.enroll(tenantctl.world)
    ADA.confirm(tenantctl.world, BEN)
    BEN.confirm(tenantctl.world, ADA)
    found: dict[str, Any] = tenantctl(
        "approver", "key", "enroll", "--key", mine, "--json", who=OPS
    ).json
    owner = Hand(f"some-{OPS}")
    owner.fingerprint = found["fingerprint"]
    ADA.confirm(tenantctl.world, owner)
    return found


def waiting(tenantctl: Terminal, folder: Path, *, signed: bool) -> Site:
    """A change that waits for a decision."""
    site = Site(tenantctl.world)

    def change(content: dict[str, Any]) -> None:
        for rule in content["rules"]:
            if rule["id"] == "dedicated" and signed:
                rule["signed"] = "required"

    site.follow(folder / "rules", change)
    file = folder / "approvers.keys"
    file.write_text(f"some-{OPS} {OLGA.public}\n", encoding="utf-8")
    site.world.core = replace(site.world.core, approvers=FileApprovers(host=HOST, file=file))
    site.change()
    tenantctl.server.app.state.shared = tenantctl.server.shared(site.world)
    return site


@pytest.mark.parametrize(("command", "wanted"), [
    ("approver key enroll", {"--key", "--json"}),
    ("approver key confirm", {"--fingerprint", "--key", "--json"}),
    ("approver key revoke", {"--reason", "--json"}),
    ("approver key list", {"--actor", "--limit", "--json"}),
    ("approver key show", {"--json"}),
    ("approver key export", {"--limit", "--json"}),
    ("approval reject", {"--reason", "--digest", "--key", "--json"}),
])  # fmt: skip
def test_each_command_says_its_options(command: str, wanted: set[str]) -> None:
    assert flags_of(*command.split()) == wanted


def test_a_key_is_enrolled_shown_exported_and_revoked(
    tenantctl: Terminal, mine: str, tmp_path: Path
) -> None:
    assert tenantctl("approver", "key", "list", who=OPS).out == "no keys\n"
    said = tenantctl("approver", "key", "enroll", "--key", f"{mine}.pub", who=OPS).out
    assert OLGA.fingerprint in said
    assert f"--fingerprint {OLGA.fingerprint} --key FILE.pub" in said
    (listed,) = tenantctl("approver", "key", "list", "--json", who=OPS).json
    found = tenantctl("approver", "key", "show", listed["id"], "--json", who=OPS).json
    assert (found["actor_id"], found["status"]) == (f"some-{OPS}", "enrolled")
    assert tenantctl("approver", "key", "export", who=OPS).out == ""
    again = tenantctl("approver", "key", "enroll", "--key", mine, who=OPS, code=REFUSED)
    assert "this key was enrolled before" in again.err
    revoked = tenantctl(
        "approver", "key", "revoke", found["id"], "--reason", "it was lost", who=OPS
    ).out
    assert "it was lost" in revoked
    tenantctl("approver", "key", "show", "apk_none", who=OPS, code=HIDDEN)
    tenantctl("approver", "key", "list", who=Role.AUTOMATION, code=HIDDEN)


def test_two_admins_confirm_with_the_fingerprint_that_they_were_told(
    tenantctl: Terminal, mine: str, tmp_path: Path
) -> None:
    own = str(BEN.write(tmp_path))
    tenantctl("approver", "key", "enroll", "--key", own, who=ADMIN)
    command = ("approver", "key", "confirm", ADA.enroll(tenantctl.world).id, "--key", own)
    wrong = tenantctl(*command, "--fingerprint", OLGA.fingerprint, who=ADMIN, code=REFUSED)
    assert f"the key has the fingerprint {ADA.fingerprint}; it was not confirmed" in wrong.err
    done = tenantctl(*command, "--fingerprint", ADA.fingerprint, "--json", who=ADMIN).json
    assert (done["status"], done["confirmed_by"]) == ("confirmed", f"some-{ADMIN}")
    (line,) = tenantctl("approver", "key", "export", who=ADMIN).out.splitlines()
    file = tmp_path / "exported"
    file.write_text(f"{line}\n", encoding="utf-8")
    known = FileApprovers(host=HOST, file=file).known() or ()
    assert [(each.actor, each.fingerprint) for each in known] == [("ada-admin", ADA.fingerprint)]


def test_a_decision_is_signed_over_the_plan_that_was_read(
    tenantctl: Terminal, mine: str, tmp_path: Path
) -> None:
    enrolled(tenantctl, mine)
    site = waiting(tenantctl, tmp_path, signed=True)
    digest = ("--digest", site.approval.plan_digest)
    command = ("approval", "approve", site.approval.id, *digest, *REASON)
    unsigned = tenantctl(*command, who=OPS, code=REFUSED)
    assert f"tenantctl approval approve {site.approval.id} --key FILE.pub" in unsigned.err
    other = ("approval", "approve", site.approval.id, "--digest", "sha256:" + "0" * 64, *REASON)
    wrong = tenantctl(*other, "--key", mine, who=OPS, code=REFUSED)
    assert "nothing was signed" in wrong.err
    tenantctl(*command, "--key", mine, who=OPS)
    site.world.work()
    assert site.run.status == "applied"
    shown = tenantctl("approval", "show", site.approval.id, "--json", who=OPS).json
    assert shown["signed"] is True
    assert [each["approver_key"] for each in shown["decisions"]] == [OLGA.fingerprint]


def test_a_rejection_is_signed_and_ssh_keygen_verifies_what_the_log_holds(
    tenantctl: Terminal, mine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled(tenantctl, mine)
    site = waiting(tenantctl, tmp_path, signed=False)
    monkeypatch.setenv("TENANTPLANE_APPROVER_KEY", mine)
    given = ("--digest", site.approval.plan_digest, *REASON)
    tenantctl("approval", "reject", site.approval.id, *given, who=OPS)
    event = next(e for e in reversed(site.world.events()) if e.action == "decision.given")
    (tmp_path / "signature").write_text(armored(event.data["signature"]), encoding="ascii")
    (tmp_path / "allowed").write_text(f"some-{OPS} {OLGA.public}\n", encoding="utf-8")
    done = subprocess.run(
        ["ssh-keygen", "-Y", "verify", "-f", tmp_path / "allowed", "-I", f"some-{OPS}", "-n",
         "approval@tenantplane", "-s", tmp_path / "signature"],
        input=event.data["statement"], capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_keys_that_cannot_sign_are_refused_in_a_sentence(
    tenantctl: Terminal, mine: str, tmp_path: Path
) -> None:
    rsa = tmp_path / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", rsa], check=True)
    command = ("approver", "key", "enroll", "--key")
    refused = tenantctl(*command, str(rsa), who=OPS, code=USAGE)
    assert "only ssh-ed25519; make one with: ssh-keygen -t ed25519" in refused.err
    assert "No such file" in tenantctl(*command, str(tmp_path / "none"), who=OPS, code=1).err
    Path(mine).unlink()
    lonely = tenantctl(*command, mine, who=OPS, code=REFUSED)
    assert "ssh-keygen did not sign" in lonely.err


@pytest.mark.parametrize("parts", [{}, {"spec": "sha256:0"}])
def test_a_plan_whose_digest_cannot_be_recomputed_is_not_signed(parts: dict[str, str]) -> None:
    with pytest.raises(Refused) as ended:
        require_same_digest({"parts": parts, "digest": "sha256:0"})
    assert ended.value.exit_code == REFUSED
