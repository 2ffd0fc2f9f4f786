"""The pages of runs and approvals: what they show, and deciding on them."""

from __future__ import annotations

import json
import re
from html import unescape

import httpx
import pytest

from api.schemas.plan_reading import LONGEST
from control_plane.domain.actor import Role
from control_plane.domain.approval import ApprovalStatus
from control_plane.domain.run import RunStatus
from control_plane.services import runs
from control_plane.services.performing import perform
from tests.unit.api.scene import Api
from tests.unit.api.visitors import Visitor, fields_of
from tests.workflows.deciding import OTTO, PETRA, Site
from tests.world import World

ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
TABLE = "aws:dynamodb/table:Table"
HOSTILE = "<img src=x onerror=alert(1)>\u202egnp.exe"


def policy(action: str) -> str:
    statement = {"Sid": "Read", "Effect": "Allow", "Action": action,
                 "Resource": "arn:aws:s3:::data/a/*"}  # fmt: skip
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


@pytest.fixture
def grace(site: Site, api: Api) -> Visitor:
    """An approver who asked for nothing."""
    visitor = Visitor(api)
    visitor.sign_in(Role.OPS_APPROVER, name="grace")
    return visitor


def path_of(site: Site) -> str:
    return f"/console/runs/{site.run_id}"


def send(visitor: Visitor, page: httpx.Response, site: Site, verdict: str,
         *more: tuple[str, str], reason: str = "read it") -> httpx.Response:  # fmt: skip
    ending = "withdrawal" if verdict == "withdraw" else "decision"
    action = f"/console/approvals/{site.approval.id}/{ending}"
    fields = fields_of(page, f'{action}" id="{verdict}'.removesuffix('"'))
    return visitor.post(action, [*fields, ("reason", reason), *more])


def words(page: httpx.Response) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page.text)))


def test_values_of_each_property_policies_in_sentences_and_what_got_wider(
    site: Site, grace: Visitor
) -> None:
    rule = {"securityGroupId": "sg-1", "ipProtocol": "tcp", "fromPort": 443, "toPort": 443}
    site.more = {
        (ROLE_POLICY, "more"): {"role": "app", "policy": policy("s3:GetObject")},
        (RULE, "door"): {**rule, "cidrIpv4": "10.0.0.0/16"},
    }
    site.change()
    site.world.approve(site.run_id)
    site.more = {
        (ROLE_POLICY, "more"): {"role": "app", "policy": policy("s3:*")},
        (RULE, "door"): {**rule, "cidrIpv4": "0.0.0.0/0"},
    }
    site.change()
    shown = grace.get(path_of(site))
    assert shown.status_code == 200
    text = words(shown)
    assert "Read: allows s3:GetObject on arn:aws:s3:::data/a/*" in text
    assert "Read: allows s3:* on arn:aws:s3:::data/a/*" in text
    assert "wider allows s3:* on arn:aws:s3:::data/a/*" in text
    assert "Let through before: from 10.0.0.0/16: tcp, port 443" in text
    assert "Lets through after: from 0.0.0.0/0: tcp, port 443" in text
    assert "cidr_ipv4: 10.0.0.0/16 becomes 0.0.0.0/0" in text
    answer = grace.api.call("GET", f"/v1/runs/{site.run_id}/plan", Role.OPS_APPROVER).json()
    (read,) = [each for each in answer["changes"] if each["name"] == "more"]
    (row,) = read["properties"]
    assert row["statements_after"] == ["Read: allows s3:* on arn:aws:s3:::data/a/*"]
    assert row["widened"] == ["allows s3:* on arn:aws:s3:::data/a/*"]


def test_hostile_and_long_values_are_shown_and_do_nothing(site: Site, grace: Visitor) -> None:
    secret = {"secret": True}
    site.more = {(TABLE, "t"): {"name": HOSTILE, "long": "x" * 5000, "password": secret}}
    site.change()
    shown = grace.get(path_of(site))
    assert "<img" not in shown.text
    assert "\u202e" not in shown.text
    text = words(shown)
    assert "<img src=x onerror=alert(1)>\\u202egnp.exe" in text
    assert "5000 characters in all, sha256:" in text
    assert "x" * (LONGEST + 1) not in text
    assert "(secret)" in text


def test_approving_with_every_tick_applies_and_what_is_missing_is_named(
    site: Site, grace: Visitor
) -> None:
    site.more = {(TABLE, "old"): {"name": "old"}}
    site.change()
    site.world.approve(site.run_id)
    site.more = {}
    site.change()
    page = grace.get(path_of(site))
    assert words(page).index("Cannot be undone") < words(page).index("What changes")
    missed = send(grace, page, site, "approve", reason="I <b>read</b> it")
    assert missed.status_code == 409
    assert "not acknowledged: old" in words(missed)
    assert "I &lt;b&gt;read&lt;/b&gt; it</textarea>" in missed.text  # nothing is lost
    assert site.approval.status is ApprovalStatus.WAITING
    (urn,) = re.findall(r'name="tick" value="([^"]*)"', missed.text)
    done = send(grace, missed, site, "approve", ("tick", unescape(urn)))
    assert "1 of 2 people approve" in words(done)
    assert "You may not decide: you have decided already." in words(done)
    back = send(grace, done, site, "withdraw", reason="doubts")
    assert "0 of 2 people approve" in words(back)
    assert "doubts" in words(back)


def test_a_stale_page_decides_nothing_and_says_who_did(site: Site, grace: Visitor) -> None:
    site.change()
    page = grace.get(path_of(site))
    site.decide(OTTO, "reject", reason="not on a Friday")
    late = send(grace, page, site, "approve", reason="looks fine")
    assert late.status_code == 409
    text = words(late)
    assert "Nothing was done" in text
    assert "already rejected" in text
    assert "looks fine" in text
    assert "otto" in text
    assert site.run.status is RunStatus.REJECTED
    assert len([each for each in site.actions() if each == "decision.refused"]) == 1


def test_a_form_sent_twice_and_the_back_button_decide_once(site: Site, grace: Visitor) -> None:
    site.change()
    page = grace.get(path_of(site))
    assert send(grace, page, site, "approve").status_code == 200
    again = send(grace, page, site, "approve")
    assert again.status_code == 409
    assert len(again.history) == 0
    with site.world.core.uow() as uow:
        assert len(uow.decisions.find(approval_id=site.approval.id)) == 1


def test_a_form_of_another_plan_is_refused(site: Site, grace: Visitor) -> None:
    site.change()
    page = grace.get(path_of(site))
    action = f"/console/approvals/{site.approval.id}/decision"
    fields = [(name, "sha256:" + "0" * 64 if name == "plan_digest" else value)
              for name, value in fields_of(page, action)]  # fmt: skip
    answer = grace.post(action, [*fields, ("reason", "r")])
    assert answer.status_code == 409
    assert "does not match the waiting plan" in words(answer)


def test_an_ended_session_keeps_the_decision_to_be_sent_again(site: Site, grace: Visitor) -> None:
    site.change()
    page = grace.get(path_of(site))
    grace.cookies.clear()
    answer = send(grace, page, site, "approve", reason="I read it all")
    assert answer.status_code == 401
    assert "I read it all" in words(answer)
    assert site.approval.status is ApprovalStatus.WAITING


def test_the_queue_says_who_may_decide_and_why_not_me(site: Site, grace: Visitor) -> None:
    site.change()
    text = words(grace.get("/console/approvals"))
    assert "may decide" in text
    assert "0 of 1" in text
    auditor = Visitor(grace.api)
    auditor.sign_in(Role.AUDITOR, name="iris")
    assert "it takes the role ops approver" in words(auditor.get("/console/approvals"))
    assert "Reason to approve" not in words(auditor.get(path_of(site)))
    assert grace.get("/console/approvals?status=sleeping").status_code == 422
    assert words(grace.get("/console/approvals?status=expired")).count("No approval has") == 1
    assert grace.get(f"/console/approvals/{site.approval.id}").status_code == 200
    assert grace.seen[-1] == path_of(site)


def test_a_moved_plan_shows_both_side_by_side(site: Site, grace: Visitor) -> None:
    site.change()
    first = site.run_id
    site.decide(OTTO, "reject")
    site.more = {(TABLE, "extra"): {"name": "extra"}}
    site.run_id = perform(site.world.core, PETRA, runs.retry_run, first).id
    site.world.work()
    text = words(grace.get(path_of(site)))
    assert f"takes the place of the one of {first}" in text
    assert "new create extra" in text
    assert "The plan before" in text
    assert "This plan" in text


def test_the_tree_is_sent_live_and_ends_with_the_run(site: Site, grace: Visitor) -> None:
    site.change()
    site.decide()
    site.world.work()
    answer = grace.ask("GET", f"{path_of(site)}/live")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.startswith("event: part\ndata: ")
    assert "done" in answer.text
    assert answer.text.rstrip().endswith(json.dumps({"run_id": site.run_id}))
    assert "event: end" in answer.text
    nobody = Visitor(grace.api).ask("GET", f"{path_of(site)}/live")
    assert nobody.status_code == 303


def test_a_run_that_the_cloud_stopped_says_what_differs_with_both_values(
    site: Site, grace: Visitor
) -> None:
    site.change()
    stack = site.world.engine.stacks
    (name,) = [each for each in stack if any("database" in urn for urn in stack[each].resources)]
    site.world.engine.change(name, "database", value="<i>by hand</i>")
    site.decide()
    site.world.work()
    assert site.run.status is RunStatus.BLOCKED
    shown = grace.get(path_of(site))
    assert "What stopped it" in words(shown)
    assert "&lt;i&gt;by hand&lt;/i&gt;" in shown.text
    first = site.run_id
    site.run_id = perform(site.world.core, PETRA, runs.retry_run, first).id
    site.world.work()
    after = words(grace.get(path_of(site)))
    assert "what our record says exists" in after
    assert "What differed in the cloud" in after
