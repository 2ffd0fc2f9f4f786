"""Personal values of the log at a terminal: opened, granted, erased."""

from __future__ import annotations

from pathlib import Path

from control_plane.cli.errors import HIDDEN, REFUSED, USAGE
from control_plane.domain.actor import Role
from tests.unit.cli.terminal import Terminal

AUDITOR, ADMIN, OPS = Role.AUDITOR, Role.PLATFORM_ADMIN, Role.OPS_APPROVER
EMAIL = "ida@example.com"
WHY = ("--reason", "they asked")
LAW = ("--legal-reference", "GDPR Art. 17")


def submitted(tenantctl: Terminal) -> tuple[str, int, str]:
    """Return a tenant's slug, and the index and id of the entry that has a contact."""
    slug = str(tenantctl.submit("B")["tenant"]["slug"])
    events = tenantctl("audit", "events", slug, "--json", who=AUDITOR).json
    entry = next(each for each in events if each["body"]["action"] == "request.accepted")
    return slug, entry["idx"], entry["body"]["id"]


def test_a_value_is_opened_and_the_opening_is_in_the_log(tenantctl: Terminal) -> None:
    slug, idx, _ = submitted(tenantctl)
    command = ("audit", "disclose", slug, str(idx), "--path", "contacts.0.email", *WHY)
    shown = tenantctl(*command, who=AUDITOR).out
    assert EMAIL in shown
    assert "what the entry committed to" in shown
    assert "NOT" not in shown
    found = tenantctl(*command, "--json", who=AUDITOR).json["values"]
    assert [(each["path"], each["value"], each["matches"]) for each in found] == [
        ("contacts.0.email", EMAIL, True)
    ]
    log = tenantctl("audit", "events", slug, "--action", "disclosure.opened", "--json", who=AUDITOR)
    assert [each["body"]["data"] for each in log.json] == [
        {"path": "contacts.0.email", "index": idx}
    ] * 2
    assert EMAIL not in log.out
    tenantctl(*command, who=OPS, code=HIDDEN)


def test_two_people_erase_a_person_and_the_log_says_what(tenantctl: Terminal) -> None:
    slug, idx, event = submitted(tenantctl)
    asked = tenantctl("audit", "erase", slug, "--subject", EMAIL, *LAW, *WHY, who=AUDITOR).out
    assert f"{event} contacts.0.email" in asked
    assert f"{event} contacts.0.name" in asked
    (erasure,) = tenantctl("audit", "erasures", slug, "--json", who=AUDITOR).json
    confirm = ("audit", "confirm-erasure", slug, erasure["id"], *WHY)
    tenantctl(*confirm, "--digest", erasure["digest"], who=AUDITOR, code=REFUSED)
    tenantctl(*confirm, "--digest", "sha256:" + "0" * 64, who=ADMIN, code=REFUSED)
    done = tenantctl(*confirm, "--digest", erasure["digest"], "--json", who=ADMIN).json
    assert (done["status"], done["count"]) == ("done", 2)
    assert tenantctl("audit", "erasure", slug, erasure["id"], "--json", who=AUDITOR).json == done
    shown = tenantctl("audit", "disclose", slug, str(idx), *WHY, who=AUDITOR).out
    assert EMAIL not in shown
    assert "erased (evt_" in shown
    log = tenantctl("audit", "events", slug, "--action", "erasure.done", "--json", who=AUDITOR).json
    assert [each["body"]["data"]["values"] for each in log] == [
        [f"{event} contacts.0.email", f"{event} contacts.0.name"]
    ]


def test_values_are_named_in_a_file(tenantctl: Terminal, tmp_path: Path) -> None:
    slug, _, event = submitted(tenantctl)
    file = tmp_path / "values"
    command = ("audit", "erase", slug, "--values", str(file), *LAW, *WHY)
    assert "No such file" in tenantctl(*command, who=AUDITOR, code=USAGE).err
    file.write_text(f"{event} contacts.0.name\n{event}\n")
    assert "line 2" in tenantctl(*command, who=AUDITOR, code=USAGE).err
    file.write_text(f"\n{event} contacts.0.name\n")
    assert tenantctl(*command, "--json", who=AUDITOR).json["count"] == 1


def test_a_grant_is_asked_for_and_given_by_another(tenantctl: Terminal) -> None:
    slug, _, _ = submitted(tenantctl)
    assert tenantctl("audit", "grants", slug, who=AUDITOR).out == "no grants\n"
    ask = ("audit", "grant", slug, "--path", "contacts", "--from", "0", "--to", "9", *WHY)
    said = tenantctl(*ask, who=AUDITOR).out
    assert "tenantctl audit confirm-grant" in said
    (grant,) = tenantctl("audit", "grants", slug, "--json", who=AUDITOR).json
    assert (grant["status"], grant["paths"], grant["last_idx"]) == ("requested", ["contacts"], 9)
    confirm = ("audit", "confirm-grant", slug, grant["id"], *WHY)
    tenantctl(*confirm, who=AUDITOR, code=REFUSED)
    assert tenantctl(*confirm, "--json", who=ADMIN).json["status"] == "granted"
    tenantctl(*confirm, who=ADMIN, code=REFUSED)
