"""Playbook documents: the shipped one is valid, wrong ones are refused with line and reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_plane.adapters.rules.journeys import load_playbooks
from control_plane.adapters.rules.playbooks import read_playbook
from control_plane.domain.actions import ACTIONS
from control_plane.domain.errors import SettingInvalid
from control_plane.domain.playbook import Playbook

RULES = Path(__file__).parents[2] / "rules"
SCHEMAS = RULES / "schemas"
DAY_0 = RULES / "playbooks" / "day-0.yaml"

ONE = """\
document: {key: sample, version: 1, status: active, owner_role: csm, next_review: "2030-01-01"}
title: A sample
applies_to: {trigger: contract.signed, mode: [A, B]}
steps:
  - {key: record, kind: action, title: Record, owner: sales, action: crm.upsert_company}
  - {key: assign, kind: action, title: Who, owner: csm, action: people.assign, with: {role: csm},
     undo: people.release, needs: [record]}
  - {key: review, kind: approval, title: Go, owner: csm, needs: [assign], outcomes: [go, rescope],
     again: [{outcome: rescope, back_to: assign, limit: 2}]}
  - {key: launch, kind: task, title: Launch, owner: csm, needs: [{step: review, outcome: go}],
     starts: {after: review, amount: 1, unit: day}, due: {after: review, amount: 3, unit: day}}
"""


def read(tmp_path: Path, text: str) -> Playbook:
    file = tmp_path / "sample.yaml"
    file.write_text(text, encoding="utf-8")
    return read_playbook(file, SCHEMAS)


def test_the_shipped_document_is_valid_and_in_the_owner_s_order() -> None:
    playbook = read_playbook(DAY_0, SCHEMAS)
    keys = [step.key for step in playbook.steps]
    asked = ["customer_record", "provision", "portal_link", "csm", "welcome_sponsor",
             "welcome_it_admin", "kickoff_invitation", "channel", "kickoff"]  # fmt: skip
    assert [key for key in keys if key in asked] == asked


@pytest.mark.requirement("P-002")
def test_a_playbook_is_read_as_it_says(tmp_path: Path) -> None:
    playbook = read(tmp_path, ONE)
    review = playbook.by_key["review"]
    assert (playbook.key, playbook.version) == ("sample", 1)
    assert review.again[0].back_to == "assign"
    assert playbook.from_step("assign") == {"assign", "review", "launch"}
    assert playbook.fits("contract.signed", {"mode": "B"})
    assert not playbook.fits("contract.signed", {"mode": "C"})
    assert not playbook.fits("tenant.ready", {"mode": "A"})


def folder(tmp_path: Path, *documents: str) -> Path:
    """Return a rules folder with these playbooks."""
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "schemas").symlink_to(SCHEMAS)
    for number, text in enumerate(documents, 1):
        (tmp_path / "playbooks" / f"{number}.yaml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.requirement("K-002")
@pytest.mark.parametrize("status", ["draft", "retired"])
def test_what_is_not_active_is_not_in_force(tmp_path: Path, status: str) -> None:
    other = ONE.replace("key: sample", "key: other")
    rules = folder(tmp_path, ONE.replace("status: active", f"status: {status}"), other)
    assert [each.key for each in load_playbooks(rules).active()] == ["other"]


@pytest.mark.requirement("K-001")
def test_two_in_force_with_one_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingInvalid, match=r"2\.yaml.*1\.yaml is in force with that key"):
        load_playbooks(folder(tmp_path, ONE, ONE.replace("version: 1", "version: 2")))


def test_the_digest_is_that_of_the_content_and_not_of_the_text(tmp_path: Path) -> None:
    plain = read(tmp_path, ONE)
    assert read(tmp_path, f"# a comment\n{ONE}").digest == plain.digest
    assert read(tmp_path, ONE.replace("A sample", "Another")).digest != plain.digest


WRONG = {
    "an unknown action": (
        "action: crm.upsert_company", "action: crm.upsert_compny", 5,
        "there is no 'crm.upsert_compny'; did you mean 'crm.upsert_company'?",
    ),
    "an unknown step": (
        "needs: [record]", "needs: [recrod]", 7, "there is no 'recrod'; did you mean 'record'?",
    ),
    "an unknown owner": (
        "owner: sales", "owner: seles", 5, "there is no 'seles'; did you mean 'sales'?",
    ),
    "an unknown trigger": ("contract.signed", "contract.sined", 3, "mean 'contract.signed'?"),
    "an unknown fact": ("mode: [A, B]", "mod: [A, B]", 3, "did you mean 'mode'?"),
    "an unknown value of a fact": ("mode: [A, B]", "mode: [A, D]", 3, "there is no 'D'"),
    "an unknown argument": (
        "with: {role: csm}", "with: {rolle: csm}", 6, "there is no 'rolle'; did you mean 'role'?",
    ),
    "a missing argument": (", with: {role: csm}", "", 6, "people.assign needs role in `with`"),
    "an undo of another action": (
        "undo: people.release", "undo: link.revoke", 7,
        "people.assign is not undone by link.revoke: people.release takes it back",
    ),
    "a key twice": ("key: assign,", "key: record,", 6, "record is the key of another step"),
    "a circle": (
        "owner: sales, action", "owner: sales, needs: [review], action", 5,
        "a circle: record needs review, review needs assign, assign needs record",
    ),
    "a step that needs itself": (
        "needs: [record]", "needs: [assign]", 7, "a circle: assign needs assign",
    ),
    "an unknown outcome": ("outcome: go}", "outcome: gone}", 10, "there is no 'gone'"),
    "a way back by an unknown outcome": (
        "again: [{outcome: rescope", "again: [{outcome: rescpe", 9,
        "there is no 'rescpe'; did you mean 'rescope'?",
    ),
    "a way back to elsewhere": (
        "back_to: assign", "back_to: launch", 9, "launch does not lead to review",
    ),
    "a loop without a limit": (", limit: 2", "", 9, "'limit' is a required property"),
    "a loop with a limit of nought": ("limit: 2", "limit: 0", 9, "0 is less than the minimum of 1"),
    "a window that ends before it begins": (
        "due: {after: review, amount: 3", "due: {after: review, amount: 1", 11,
        "it is due 1 day after what it starts 1 after",
    ),
    "a time after a step that is not needed": (
        "starts: {after: review", "starts: {after: launch", 11, "a step cannot follow itself",
    ),
    "a time from nothing": (
        "{after: review, amount: 1, unit: day}", "{amount: 1, unit: day}", 11, "not valid under",
    ),
    "an action of a person": (
        "kind: task", "kind: task, action: link.issue", 10, "no other does",
    ),
    "an action without a name": (", action: crm.upsert_company", "", 5, "names its action"),
    "retries of a person": ("kind: task", "kind: task, retries: {attempts: 2}", 10, "only an"),
    "checks of no gate": ("kind: task", "kind: task, checks: [no_hold]", 10, "a gate has checks"),
    "a gate without checks": ("kind: task", "kind: gate", 10, "a gate has checks"),
    "an unknown check": (
        "kind: task", "kind: gate, checks: [no_holt]", 10, "did you mean 'no_hold'?",
    ),
    "an unknown unit": ("unit: day}, due", "unit: days}, due", 11, "did you mean 'day'?"),
    "a time of day for hours": (
        "unit: day}, due", 'unit: elapsed_hour, at: "10:00"}, due', 11, "only a day has a time",
    ),
    "an unknown role": ("with: {role: csm}", "with: {role: csmm}", 6, "there is no 'csmm'"),
    "an amount of nought": (
        "with: {role: csm}", "with: {role: csm, within: {amount: 0, unit: day}}", 6,
        "0 is less than the minimum of 1",
    ),
    "an amount of hours for days": (
        "with: {role: csm}", "with: {role: csm, within: {amount: 1, unit: elapsed_hour}}", 6,
        "'elapsed_hour' is not one of",
    ),
    "a meeting that nobody is invited to": (
        "people.assign, with: {role: csm},\n     undo: people.release",
        "calendar.invite, with: {meeting: lunch, minutes: 60},\n     undo: calendar.cancel", 6,
        "there is no 'lunch'",
    ),
    "a meeting of a day": (
        "people.assign, with: {role: csm},\n     undo: people.release",
        "calendar.invite, with: {meeting: kickoff, minutes: 481},\n     undo: calendar.cancel", 6,
        "481 is greater than the maximum of 480",
    ),
    "an attendee that nobody is": (
        "people.assign, with: {role: csm},\n     undo: people.release",
        "calendar.invite, with: {meeting: kickoff, minutes: 9, attendees: [it_admim]}", 6,
        "did you mean 'it_admin'?",
    ),
    "needless after an unknown step": (
        "owner: csm, needs: [{step", "owner: csm, unless: {step: recrod}, needs: [{step", 10,
        "there is no 'recrod'; did you mean 'record'?",
    ),
    "needless after itself": (
        "owner: csm, needs: [{step", "owner: csm, unless: {step: launch}, needs: [{step", 10,
        "launch begins only when launch has ended",
    ),
    "needless after what needs it": (
        "owner: sales, action", "owner: sales, unless: {step: assign}, action", 5,
        "assign begins only when record has ended",
    ),
    "a grace of a year": (
        "owner: csm, needs: [{step",
        "owner: csm, unless: {step: record, grace_hours: 8760}, needs: [{step", 10,
        "8760 is greater than the maximum of 720",
    ),
    "a key of YAML twice": ("title: A sample", "title: A sample\ntitle: B", 3, "is duplicated"),
}  # fmt: skip


@pytest.mark.requirement("P-001")
@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_wrong_document_is_refused_with_line_and_reason(tmp_path: Path, name: str) -> None:
    old, new, line, reason = WRONG[name]
    assert ONE.count(old) >= 1, "the test would change nothing"
    with pytest.raises(SettingInvalid) as refused:
        read(tmp_path, ONE.replace(old, new, 1))
    assert reason in refused.value.message
    assert re.search(rf"line {line}\b", refused.value.message), refused.value.message


def test_every_action_is_undone_by_one_that_exists() -> None:
    for name, action in ACTIONS.items():
        assert action.undone_by is None or action.undone_by in ACTIONS, name


VALUES = {"role": "csm", "meeting": "kickoff", "minutes": 30}


def test_every_action_of_the_catalogue_can_be_written(tmp_path: Path) -> None:
    document: dict[str, Any] = yaml.safe_load(ONE)
    document["steps"] = [
        {"key": name.replace(".", "_"), "kind": "action", "title": name, "owner": "csm",
         "action": name, "with": {each: VALUES.get(each, "x") for each in action.takes}}
        for name, action in ACTIONS.items()
    ]  # fmt: skip
    assert len(read(tmp_path, yaml.safe_dump(document)).steps) == len(ACTIONS)
